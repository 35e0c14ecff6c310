package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/selfcert"
)

// shown returns the common name of the certificate that a client is shown who
// asks for host.
func shown(t *testing.T, s *Store, host string) string {
	t.Helper()
	config, err := s.Config(Policy{})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := config.GetCertificate(&tls.ClientHelloInfo{ServerName: host})
	if err != nil {
		t.Fatal(err)
	}
	return cert.Leaf.Subject.CommonName
}

// logged is a store whose log can be read, and whose files are looked at each time.
func logged(root string, clock func() time.Time) (*Store, *logText) {
	log := new(logText)
	s := New(root, slog.New(slog.NewTextHandler(log, nil)), clock)
	s.rest = 0
	return s, log
}

type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestCertificateByTheNameAskedFor(t *testing.T) {
	root := t.TempDir()
	now := time.Now()
	newCert(t, root, "server", now, "own.test", "other.test")
	newCert(t, root, "tls/mail.example.org", now, "mail", "mail.example.org")
	newCert(t, root, "tls/Upper.Test", now, "upper", "upper.test")
	newCert(t, root, "tls/wild", now, "wild", "*.wild.test")
	newCert(t, root, "tls/other.test", now, "for other")
	writeFile(t, []byte("rubbish"), root, "tls/broken.test.cert")
	writeFile(t, []byte("rubbish"), root, "tls/broken.test.key")
	writeFile(t, []byte("no certificate"), root, "tls/README")
	s, log := logged(root, nil)
	for host, want := range map[string]string{
		"":                       "own.test",
		"own.test":               "own.test",
		"mail.example.org":       "mail",
		"MAIL.Example.org.":      "mail",
		"upper.test":             "upper",
		"a.wild.test":            "wild",
		"a.b.wild.test":          "own.test",
		"other.test":             "for other", // the files named after it win
		"nobody.test":            "own.test",
		"broken.test":            "own.test",
		"../server":              "own.test",
		strings.Repeat("x", 300): "own.test",
	} {
		if got := shown(t, s, host); got != want {
			t.Errorf("who asks for %q is shown %q, want %q", host, got, want)
		}
	}
	if n := log.count("tls/broken.test.cert"); n != 1 {
		t.Errorf("the broken pair is logged %d times, want once:\n%s", n, log)
	}
}

func TestNamedPairsComeAndGo(t *testing.T) {
	root := t.TempDir()
	newServerCert(t, root)
	s, _ := logged(root, nil)
	if got := shown(t, s, "new.test"); got != "localhost" {
		t.Errorf("before there are files: shown %q", got)
	}
	newCert(t, root, "tls/new.test", time.Now(), "new")
	if got := shown(t, s, "new.test"); got != "new" {
		t.Errorf("with files of its own: shown %q, want new", got)
	}
	if err := os.RemoveAll(filepath.Join(root, "tls")); err != nil {
		t.Fatal(err)
	}
	if got := shown(t, s, "new.test"); got != "localhost" {
		t.Errorf("after they went away: shown %q, want localhost", got)
	}
}

func TestServerWithNamedPairsOnly(t *testing.T) {
	root := t.TempDir()
	newCert(t, root, "tls/mail.test", time.Now(), "mail.test")
	s, _ := logged(root, nil)
	if got := shown(t, s, "nobody.test"); got != "mail.test" {
		t.Errorf("shown %q, want the only one that there is", got)
	}
}

// TestKeyThatCouldNotBeReadIsTriedAgain has a folder in the place of a key, as one that
// root has copied and not given away yet. To give it away changes neither size nor time.
func TestKeyThatCouldNotBeReadIsTriedAgain(t *testing.T) {
	root := t.TempDir()
	newServerCert(t, root)
	s, log := logged(root, nil)
	shown(t, s, "")
	newCert(t, root, "next", time.Now(), "next.test")
	for name, of := range map[string]string{"server.cert": "next.cert", "key": "server.key"} {
		if err := os.Rename(filepath.Join(root, of), filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "server.key"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := shown(t, s, ""); got != "localhost" {
			t.Errorf("without rights: shown %q, want the old certificate", got)
		}
	}
	if n := log.count("the one before serves on"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, log)
	}
	if err := os.Remove(filepath.Join(root, "server.key")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(root, "next.key"), filepath.Join(root, "server.key")); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.own.stamp, err = stamps(s.own.cert, s.own.key); err != nil {
		t.Fatal(err)
	}
	if got := shown(t, s, ""); got != "next.test" {
		t.Errorf("with rights: shown %q, want the new certificate", got)
	}
}

func TestBrokenReplacementIsToldOnce(t *testing.T) {
	root := t.TempDir()
	newServerCert(t, root)
	s, log := logged(root, nil)
	shown(t, s, "")
	writeFile(t, []byte("rubbish"), root, "server.cert")
	for range 3 {
		if got := shown(t, s, ""); got != "localhost" {
			t.Errorf("with a broken file: shown %q, want the old certificate", got)
		}
	}
	if err := os.Remove(filepath.Join(root, "server.key")); err != nil {
		t.Fatal(err)
	}
	if got := shown(t, s, ""); got != "localhost" {
		t.Errorf("without a key: shown %q, want the old certificate", got)
	}
	if n := log.count("the one before serves on"); n != 2 {
		t.Errorf("told %d times, want once for each mistake:\n%s", n, log)
	}
	if err := os.Remove(filepath.Join(root, "server.cert")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Config(Policy{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after both files were removed: %v, want that they do not exist", err)
	}
}

func TestExpiryIsToldBeforehand(t *testing.T) {
	root := t.TempDir()
	now := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		made time.Time
		want string
	}{
		"good":    {now, ""},
		"soon":    {now.Add(29*24*time.Hour - selfcert.Life), "certificate expires in 29 days"},
		"not yet": {now.Add(31*24*time.Hour - selfcert.Life), ""},
		"over":    {now.Add(-time.Hour - selfcert.Life), "certificate has expired"},
		"future":  {now.Add(2 * time.Hour), "certificate is not good yet"},
	} {
		newCert(t, root, "server", test.made, name)
		s, log := logged(root, func() time.Time { return now })
		shown(t, s, "")
		shown(t, s, "")
		if n := log.count("level=WARN"); test.want == "" && n != 0 || test.want != "" && log.count(test.want) != 1 {
			t.Errorf("%s: want %q logged, got:\n%s", name, test.want, log)
		}
		s.Remind()
		if test.want != "" && log.count(test.want) != 2 {
			t.Errorf("%s: want it told again the next day, got:\n%s", name, log)
		}
	}
}

func TestWatchLooksAtFilesThoughNobodyConnects(t *testing.T) {
	root := t.TempDir()
	newServerCert(t, root)
	s, log := logged(root, func() time.Time { return time.Now().Add(selfcert.Life) })
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.watch(ctx, time.Millisecond, time.Millisecond)
	}()
	writeFile(t, []byte("rubbish"), root, "server.cert")
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for log.count("the one before serves on") == 0 || log.count("has expired") < 3 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("ten seconds later the log is:\n%s", log)
		}
	}
	cancel()
	<-done
}

func TestSessionsAreResumedUnlessClientsAreChecked(t *testing.T) {
	root := t.TempDir()
	newServerCert(t, root)
	s := New(root, nil, nil)
	for _, test := range []struct {
		policy Policy
		want   bool
	}{
		{Policy{}, true},
		{Policy{MinVersion: tls.VersionTLS13}, true},
		{Policy{WantVerify: true}, false},
	} {
		cache := tls.NewLRUClientSessionCache(4)
		var resumed bool
		for range 2 {
			config, err := s.Config(test.policy)
			if err != nil {
				t.Fatal(err)
			}
			client, server := net.Pipe()
			go func() {
				c := tls.Server(server, config)
				c.Write([]byte("x"))
				c.Close()
			}()
			c := tls.Client(client, &tls.Config{InsecureSkipVerify: true, ClientSessionCache: cache, ServerName: "localhost"})
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			resumed = c.ConnectionState().DidResume
			client.Close()
		}
		if resumed != test.want {
			t.Errorf("with %+v the second session was resumed: %v, want %v", test.policy, resumed, test.want)
		}
	}
}

func TestNewestVersionOnly(t *testing.T) {
	root := t.TempDir()
	newServerCert(t, root)
	config, err := New(root, nil, nil).Config(Policy{MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	if _, serverErr, _ := handshake(t, config, nil, tls.VersionTLS12); serverErr == nil {
		t.Error("TLS 1.2 was spoken, want it refused")
	}
	if _, serverErr, clientErr := handshake(t, config, nil, tls.VersionTLS13); serverErr != nil || clientErr != nil {
		t.Errorf("TLS 1.3: server %v, client %v, want it spoken", serverErr, clientErr)
	}
}

func TestLoadSeesWhatHasJustBeenMade(t *testing.T) {
	root := t.TempDir()
	s := New(root, nil, nil)
	if err := s.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("without files: %v, want %v", err, fs.ErrNotExist)
	}
	newServerCert(t, root)
	if err := s.Load(); err != nil {
		t.Errorf("right after they were made: %v, want them read", err)
	}
}
