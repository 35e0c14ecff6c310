package ctrld_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// do sends a command and returns what it was answered: the status or the code,
// and the lines of a list.
func do(t *testing.T, c *ctrl.Client, args ...string) (string, []string) {
	t.Helper()
	r, err := c.Do(t.Context(), args...)
	if refused := (*ctrl.Error)(nil); errors.As(err, &refused) {
		documented(t, args[0], refused.Code)
		return refused.Code.String(), []string{refused.Text}
	}
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	if r.Status != ctrl.StatusList {
		return r.Status.String(), []string{r.Text}
	}
	lines := []string{}
	for line, err := range r.Lines() {
		if err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		lines = append(lines, line)
	}
	return r.Status.String(), lines
}

// documented fails the test when the manual does not know that a command may be
// refused so.
func documented(t *testing.T, name string, code ctrl.Code) {
	t.Helper()
	known, ok := commands.Lookup(name)
	if ok && known.Name != "try" && known.Name != "commit" && !slices.Contains(known.Codes, code) && !slices.Contains(commands.Common(), code) {
		t.Errorf("%s was refused by %v, which the table of commands does not have", name, code)
	}
}

func want(t *testing.T, c *ctrl.Client, code string, args ...string) {
	t.Helper()
	if got, lines := do(t, c, args...); got != code {
		t.Errorf("%q was answered %s %q, want %s", args, got, lines, code)
	}
}

func upload(t *testing.T, c *ctrl.Client, content string, args ...string) string {
	t.Helper()
	err := c.Upload(t.Context(), strings.NewReader(content), args...)
	if refused := (*ctrl.Error)(nil); errors.As(err, &refused) {
		return refused.Code.String()
	}
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return "+00000"
}

// files returns what is in a MailRoot, logs and the server's own files apart.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (name == "journal" || name == "logs" || name == "tmp") {
			return fs.SkipDir
		}
		if d.Type()&fs.ModeNamedPipe != 0 {
			return nil // it comes and goes with the services
		}
		all[name] = ""
		if d.Type().IsRegular() {
			text, err := os.ReadFile(filepath.Join(dir, name))
			all[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTryAnswersAsTheCommandWouldAndChangesNothing(t *testing.T) {
	s := servertest.Start(t)
	s.Write(t, "userauth/pop3/.tab", "useradd\t/bin/sh\t-c\techo ran >"+filepath.Join(s.Dir, "ran")+"\n")
	c := s.Dial(t)
	before := files(t, s.Dir)
	for _, q := range []struct{ code, command string }{
		{"+00000", "useradd xmailserver.test bob pw U"},
		{"-00013", "useradd xmailserver.test xmailuser pw U"},
		{"-00059", "useradd none.test bob pw U"},
		{"-00103", "useradd xmailserver.test bob"},
		{"-00103", "nosuchcommand"},
		{"-00103", "quit now"},
		{"+00000", "quit"},
		{"+00000", "noop"},
		{"+00000", "sync"},
		{"+00000", "help"},
		{"+00000", "try useradd xmailserver.test bob pw U"},
		{"+00000", "USERLIST"},
		{"+00000", "cfgfileget server.tab"},
		{"-00019", "cfgfileget none.tab"},
		{"+00000", "cfgfileset new.tab"},
		{"-00214", "cfgfileset ../new.tab"},
		{"+00000", "domaindel xmailserver.test"},
		{"+00000", "userdel xmailserver.test xmailuser"},
		{"+00000", "domainadd new.test"},
		{"-00054", "frozdel 0 0 x"},
		{"-00046", "poplnkenable 1 a b"},
		{"+00000", "etrn *"},
	} {
		got, lines := do(t, c, append([]string{"try"}, strings.Fields(q.command)...)...)
		if got != q.code {
			t.Errorf("try %s was answered %s %q, want %s", q.command, got, lines, q.code)
		}
	}
	want(t, c, "-00103", "try")
	if diff := cmp.Diff(before, files(t, s.Dir)); diff != "" {
		t.Errorf("try changed something (-before +after):\n%s", diff)
	}
}

func TestHelpIsTheTableOfCommands(t *testing.T) {
	c := servertest.Start(t).Dial(t)
	code, lines := do(t, c, "help")
	if code != "+00100" || len(lines) != len(commands.All()) {
		t.Fatalf("help was answered %s with %d lines, want %d", code, len(lines), len(commands.All()))
	}
	for i, known := range commands.All() {
		got, err := commands.ParseHelpRow(ctrl.SplitRow(lines[i]))
		if err != nil {
			t.Errorf("row %q: %v", lines[i], err)
			continue
		}
		if diff := cmp.Diff(known, got); diff != "" {
			t.Errorf("row of %s (-want +got):\n%s", known.Name, diff)
		}
	}
	if code, lines := do(t, c, "help", "UserAdd"); code != "+00100" || len(lines) < 3 || !strings.Contains(strings.Join(lines, "\n"), "password") {
		t.Errorf("help UserAdd was answered %s %q", code, lines)
	}
	want(t, c, "-00103", "help", "none")
}

func TestPasswordsAreShownAtLevel0Only(t *testing.T) {
	for level, password := range map[int]string{0: "xmail", 1: ""} {
		s := servertest.Start(t, servertest.CompatLevel(level))
		c := s.Dial(t)
		want(t, c, "+00000", "poplnkadd", "xmailserver.test", "xmailuser", "pop.test", "me", "xmail", "CLR")
		_, users := do(t, c, "userlist")
		if row := `"xmailserver.test"	"xmailuser"	"` + password + `"	"U"`; !slices.Equal(users, []string{row}) {
			t.Errorf("level %d: users %q, want %q", level, users, row)
		}
		_, links := do(t, c, "poplnklist")
		if row := `"xmailserver.test"	"xmailuser"	"pop.test"	"me"	"` + password + `"	"CLR"	"ON"`; !slices.Equal(links, []string{row}) {
			t.Errorf("level %d: links %q, want %q", level, links, row)
		}
		code, _ := do(t, c, "cfgfileget", "mailusers.tab")
		if wantCode := []string{"+00100", "-00150"}[level]; code != wantCode {
			t.Errorf("level %d: cfgfileget of passwords was answered %s, want %s", level, code, wantCode)
		}
		if log := s.Log(); strings.Contains(log, `"xmail"`) || strings.Contains(log, " xmail ") {
			t.Errorf("level %d: the password is in the log:\n%s", level, log)
		}
	}
}

func TestRightOfTheAdministratorWhoAsks(t *testing.T) {
	s := servertest.Start(t, servertest.CompatLevel(1))
	c := s.Dial(t)
	rows := s.Read(t, "ctrlaccounts.tab")
	if got := upload(t, c, strings.TrimSuffix(rows, "\n")+"\t\"secrets\"\n", "cfgfileset", "ctrlaccounts.tab"); got != "+00000" {
		t.Fatalf("upload was answered %s", got)
	}
	want(t, c, "+00100", "cfgfileget", "mailusers.tab")
	want(t, c, "+00100", "cfgfileget", "server.key")
}

func TestFilesAreCutWhereAListCutsThem(t *testing.T) {
	s := servertest.Start(t)
	long := strings.Repeat("0123456789", 10_000)
	s.Write(t, "long.txt", "first\r\n.dot\n\n"+long+"\nlast")
	_, lines := do(t, s.Dial(t), "cfgfileget", "long.txt")
	want := []string{"first", ".dot", ""}
	for rest := long; rest != ""; {
		n := min(len(rest), 2046)
		want = append(want, rest[:n])
		rest = rest[n:]
	}
	if diff := cmp.Diff(append(want, "last"), lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestEnableIsOneOrZero(t *testing.T) {
	c := servertest.Start(t).Dial(t)
	want(t, c, "-00046", "poplnkenable", "yes", "xmailserver.test", "xmailuser")
	want(t, c, "+00000", "poplnkadd", "xmailserver.test", "xmailuser", "pop.test", "me", "pw", "CLR")
	want(t, c, "-00230", "poplnkenable", "yes", "xmailserver.test", "xmailuser")
	want(t, c, "+00000", "poplnkenable", "0", "xmailserver.test", "xmailuser", "pop.test", "me", "ignored")
	if _, lines := do(t, c, "poplnklist", "xmailserver.test"); len(lines) != 1 || !strings.HasSuffix(lines[0], `"OFF"`) {
		t.Errorf("links %q, want one that is off", lines)
	}
}

const message = "[192.0.2.7]:51234;[198.51.100.1]:25;Tue, 14 Nov 2023 22:13:20 +0100\r\nmail.test\r\nS1A2B\r\nMAIL FROM:<a@x.test> SIZE=1\r\n" +
	"RCPT TO:<@r.test:bob@y.test>\r\n<<MAIL-DATA>>\r\nSubject: x\r\n\r\n..dot\r\n"

func TestFrozenMessages(t *testing.T) {
	s := servertest.Start(t)
	const name = "1700000000000.1.2.3.host"
	s.Write(t, "spool/2/10/froz/"+name, message)
	s.Write(t, "spool/2/10/slog/"+name, "[PeekTime] 1700000000 : x\n<<\nErrCode = -1\n>>\n[PeekTime] 1700000500 : y\n")
	s.Write(t, "spool/2/9/froz/second", strings.Replace(message, "a@x.test", "", 1))
	s.Write(t, "spool/2/9/froz/broken", "not a spool file\n")
	s.Write(t, "spool/2/9/froz/.hidden", message)
	for _, dir := range []string{"mess", "temp"} {
		if err := os.MkdirAll(filepath.Join(s.Dir, "spool/2/9", dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c := s.Dial(t)
	_, lines := do(t, c, "frozlist")
	when := time.Unix(1700000500, 0).Format("2006-01-02 15:04:05")
	first := `"` + name + `"	"2"	"10"	"<a@x.test>"	"<@r.test:bob@y.test>"	"` + when + `"	"` + strconv.Itoa(len(message)) + `"	"2"	"froz"`
	if len(lines) != 2 || !strings.HasPrefix(lines[0], `"second"	"2"	"9"	"<>"	"<@r.test:bob@y.test>"	"`) || lines[1] != first {
		t.Errorf("frozen messages %q, want second and %q", lines, first)
	}
	if _, lines := do(t, c, "frozgetmsg", "2", "10", name); strings.Join(lines, "\r\n")+"\r\n" != message {
		t.Errorf("frozgetmsg: %q", lines)
	}
	if _, lines := do(t, c, "frozgetlog", "2", "10", name); len(lines) != 5 {
		t.Errorf("frozgetlog: %q", lines)
	}
	want(t, c, "-00054", "frozgetlog", "2", "9", "second")
	want(t, c, "-00230", "frozgetmsg", "x", "0", name)
	want(t, c, "-00230", "frozdel", "-1", "0", name)
	for _, bad := range []string{"../froz/" + name, "..", `..\x`, "/etc/passwd", "a/b"} {
		for _, command := range []string{"frozgetmsg", "frozgetlog", "frozdel", "frozsubmit"} {
			want(t, c, "-00214", command, "2", "10", bad)
		}
	}
	want(t, c, "+00000", "try", "frozdel", "2", "10", name)
	want(t, c, "+00000", "frozdel", "2", "10", name)
	want(t, c, "-00054", "frozdel", "2", "10", name)
	if left, err := filepath.Glob(filepath.Join(s.Dir, "spool/2/10/*/*")); err != nil || len(left) > 0 {
		t.Errorf("left of the message: %q, %v", left, err)
	}
	s.DNS.Silence(true) // or it would be frozen again at once
	want(t, c, "+00000", "try", "frozsubmit", "2", "9", "second")
	want(t, c, "+00000", "frozsubmit", "2", "9", "second")
	if live, err := filepath.Glob(filepath.Join(s.Dir, "spool/live/*-2-9-second.msg")); err != nil || len(live) != 1 {
		t.Errorf("in the queue is %q, %v, want the message", live, err)
	}
	want(t, c, "-00054", "frozsubmit", "2", "9", "second")
	s.Write(t, "spool/2/9/froz/second", message)
	want(t, c, "-00164", "try", "frozsubmit", "2", "9", "second")
	want(t, c, "-00164", "frozsubmit", "2", "9", "second")
}

func TestRefusalsSayWhereATableIsWrong(t *testing.T) {
	s := servertest.Start(t)
	c := s.Dial(t)
	err := c.Upload(t.Context(), strings.NewReader("10.0.0.0\t255.0.0.0\nx\t255.0.255\n"), "cfgfileset", "smtprelay.tab")
	refused := (*ctrl.Error)(nil)
	if !errors.As(err, &refused) || refused.Code != ctrl.CodeBadFile || !strings.Contains(refused.Text, "smtprelay.tab:2: ") {
		t.Errorf("upload was answered %v, want %v and smtprelay.tab:2", err, ctrl.CodeBadFile)
	}
	want(t, c, "+00000", "noop")
}

// TestRefusalsAreInTheManual has those that nothing else here comes across.
func TestRefusalsAreInTheManual(t *testing.T) {
	c := servertest.Start(t).Dial(t)
	for _, q := range []struct{ code, command string }{
		{"-00059", "aliasadd none.test x xmailuser@xmailserver.test"},
		{"-00260", "aliasadd bad/dom x xmailuser@xmailserver.test"},
		{"-00230", "filelist \x01 *"},
		{"-00230", "cfgfileget \x01"},
		{"-00230", "cfgfileset \x01"},
		{"-00230", "custdomget \x01"},
		{"-00040", "custdomset [x]"},
		{"-00040", "mluseradd xmailserver.test xmailuser a@[x]"},
		{"-00033", "exaliasdel @r:a@b"},
		{"-00040", "exaliaslist a@[x]"},
		{"-00216", "exaliasadd a@b c*@d"},
		{"-00230", "usersetmproc xmailserver.test xmailuser Q"},
		{"-00230", "usergetmproc xmailserver.test xmailuser Q"},
	} {
		want(t, c, q.code, strings.Fields(q.command)...)
	}
}
