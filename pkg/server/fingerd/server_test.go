package fingerd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/session"
)

// files are put into a MailRoot before it is opened.
type files map[string]string

const twoDomains = "\"RootDomain\"\t\"xmailserver.test\"\n\"POP3Domain\"\t\"xmailserver.test\"\n"

// base is what the exchanges were recorded on, with alice and news of foo.test.
func base() files {
	row := func(domain, name string, id int, kind string) string {
		return fmt.Sprintf("\"%s\"\t\"%s\"\t\"%s\"\t%d\t\"%s\"\t\"%s\"\n", domain, name, auth.Scramble("x"), id, name, kind)
	}
	return files{
		"server.tab":  twoDomains,
		"domains.tab": "\"xmailserver.test\"\n\"foo.test\"\n",
		"aliases.tab": "\"foo.test\"\t\"al\"\t\"alice\"\n",
		"mailusers.tab": row("xmailserver.test", "xmailuser", 1, "U") + row("foo.test", "alice", 2, "U") + row("foo.test", "news", 3, "M") +
			row("foo.test", "bare", 4, "U") + row("foo.test", "odd", 5, "U"),
		"domains/xmailserver.test/xmailuser/user.tab": "\"RealName\"\t\"Example User\"\n\"HomePage\"\t\"http://xmailserver.test/\"\n\"Telephone\"\t\"secret\"\n",
		"domains/foo.test/alice/user.tab":             "\"RealName\"\t\"Alice A.\"\n\"HomePage\"\t\"http://a.test/\"\n",
		"domains/foo.test/odd/user.tab":               "\"RealName\"\t\"\x1b[2JÖdd\"\n\"HomePage\"\t\"\"\n",
		"domains/foo.test/news/mlusers.tab":           "\"alice@foo.test\"\t\"RW\"\n",
	}
}

// serve returns the address of a server on that MailRoot.
func serve(t *testing.T, more files, change func(*Server)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "root")
	err := mailroot.Create(dir, mailroot.NewRoot{
		Domains: []string{"xmailserver.test"}, Account: "xmailuser", AccountPassword: "x",
		Admin: "admin", AdminPassword: "x", Cert: []byte("-"), Key: []byte("-"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []files{base(), more} {
		for name, text := range set {
			name = filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	root, err := mailroot.Open(t.Context(), dir, mailroot.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Root: root}
	if change != nil {
		change(s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front := &session.Server{Name: "finger", Handle: s.ServeConn}
	ctx := context.WithoutCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { front.Serve(ctx, l, false) })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := front.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		wait.Wait()
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// finger sends a query as it is and returns the answer.
func finger(t *testing.T, addr, query string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, query) // a denied client is not listened to
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("%q: %v", query, err)
	}
	return string(answer)
}

const (
	alice = "EMail       : alice@foo.test\r\n  Real Name : Alice A.\r\n  Home Page : http://a.test/\r\n"
	user  = "EMail       : xmailuser@xmailserver.test\r\n  Real Name : Example User\r\n  Home Page : http://xmailserver.test/\r\n"
)

func TestQueries(t *testing.T) {
	addr := serve(t, nil, nil)
	for query, want := range map[string]string{
		"alice@foo.test\r\n":         alice,
		"ALICE@Foo.Test\n":           alice,
		"al@foo.test\r\n":            alice,
		"/W alice@foo.test\r\n":      alice,
		"/walice@foo.test\r\n":       alice,
		"  xmailuser \r\r\n":         user,
		"bare@foo.test\r\n":          "EMail       : bare@foo.test\r\n  Real Name : ??\r\n  Home Page : ??\r\n",
		"odd@foo.test\r\n":           "EMail       : odd@foo.test\r\n  Real Name : [2JÖdd\r\n  Home Page : ??\r\n",
		"nobody\r\n":                 "User not found\r\n",
		"nobody@foo.test\r\n":        "User not found\r\n",
		"alice@other.test\r\n":       "User not found\r\n",
		"../../alice\r\n":            "User not found\r\n",
		"news@foo.test\r\n":          "",
		"\r\n":                       "Empty query not allowed\r\n",
		"  \r\n":                     "Empty query not allowed\r\n",
		"/W\r\n":                     "Empty query not allowed\r\n",
		"/\r\n":                      "Invalid query\r\n",
		"/Q alice@foo.test\r\n":      "Invalid query\r\n",
		"alice@foo.test@a.test\r\n":  "Invalid query\r\n",
		"@foo.test\r\n":              "Invalid query\r\n",
		"alice@\r\n":                 "Invalid query\r\n",
		"@a.test:alice@foo.test\r\n": "Invalid query\r\n",
		"alice@foo.test>x\r\n":       "Invalid query\r\n",
		"alice@foo.test\x00\r\n":     "Invalid query\r\n",
		strings.Repeat("x", 2000):    "",
	} {
		if got := finger(t, addr, query); got != want {
			t.Errorf("%.40q is answered %q, want %q", query, got, want)
		}
	}
}

func TestDeniedClientsGetNoAnswer(t *testing.T) {
	addr := serve(t, files{"finger.ipmap.tab": "\"0.0.0.0\"\t\"0.0.0.0\"\t\"DENY\"\t1\n"}, nil)
	if got := finger(t, addr, "xmailuser\r\n"); got != "" {
		t.Errorf("a denied client is answered %q", got)
	}
}

func TestASilentClientIsClosed(t *testing.T) {
	addr := serve(t, nil, func(s *Server) { s.Timeout = 20 * time.Millisecond })
	if got := finger(t, addr, "xmailuser"); got != "" {
		t.Errorf("half a query is answered %q", got)
	}
}

func TestTheDomainOfBareNames(t *testing.T) {
	named := func(name string) func(*Server) {
		return func(s *Server) {
			s.LocalName = func(context.Context, netip.Addr) string { return name }
		}
	}
	for _, test := range []struct {
		vars, name, query, want string
	}{
		{twoDomains, "host.foo.test", "alice", "User not found\r\n"},
		{"\"RootDomain\"\t\"xmailserver.test\"\n", "host.foo.test", "alice", alice},
		{"\"RootDomain\"\t\"xmailserver.test\"\n", "", "xmailuser", user},
		{"\"RootDomain\"\t\"xmailserver.test\"\n", "localhost", "xmailuser", user},
	} {
		addr := serve(t, files{"server.tab": test.vars}, named(test.name))
		if got := finger(t, addr, test.query+"\r\n"); got != test.want {
			t.Errorf("%+v: %q", test, got)
		}
	}
}

type log chan []string

func (l log) Write(fields ...string) error {
	l <- fields
	return nil
}

func TestQueriesAreLogged(t *testing.T) {
	lines := make(log, 2)
	change := func(s *Server) {
		s.FingerLog = lines
		s.Clock = func() time.Time { return time.Date(2026, 11, 5, 3, 4, 5, 0, time.Local) }
		s.LocalName = func(context.Context, netip.Addr) string { return "host.foo.test" }
	}
	finger(t, serve(t, nil, change), "/W nobody\r\n")
	want := []string{"host", "foo.test", "127.0.0.1", "2026-11-05 03:04:05", "/W nobody"}
	if diff := cmp.Diff(want, <-lines); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

// TestRecordedQueries plays the queries that were recorded from the reference.
func TestRecordedQueries(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "conformance", "services", "24-finger.txt"))
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, nil, nil)
	parts := strings.Split(string(text), "! finger\n")[1:]
	if len(parts) == 0 {
		t.Fatal("there are no queries")
	}
	for _, part := range parts {
		lines := strings.Split(strings.TrimSuffix(part, "\n"), "\n")
		want := ""
		for _, line := range lines[1:] {
			want += strings.TrimPrefix(line, "<| ") + "\r\n"
		}
		query := strings.TrimPrefix(lines[0], "> ")
		if query == lines[0] {
			query = ""
		}
		if got := finger(t, addr, query+"\r\n"); got != want {
			t.Errorf("%q is answered %q, want %q", query, got, want)
		}
	}
}
