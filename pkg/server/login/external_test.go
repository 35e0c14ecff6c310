//go:build unix

package login

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
)

// recorder is a script that appends its arguments and its input to a file, and then does
// what more says.
func recorder(t *testing.T, more string) (path string, ran func() string) {
	t.Helper()
	file := filepath.Join(programtest.Dir(t), "ran")
	path = programtest.Script(t, `{ printf '%s|' "$@"; cat; } >>`+file+"\n"+more+"\n")
	return path, func() string {
		b, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return string(b)
	}
}

func TestExternalPOP3Authentication(t *testing.T) {
	path, ran := recorder(t, `[ "$3" = right ]`)
	f := start(t, map[string]string{
		"userauth/pop3/.tab":             "userauth " + path + " $(USER) $(DOMAIN) @@PASSWD @@PATH\n",
		"userauth/pop3/bar.test.tab":     "useradd /bin/false\n",
		"domains/foo.test/hash/user.tab": "PopEnable 0\n",
	})
	if u, err := f.POP3(t.Context(), "foo.test", pop3("ann", "right")); err != nil || u.Name != "ann" {
		t.Errorf("%v, %v", u.Name, err)
	}
	for _, cr := range []Credentials{pop3("ann", "pw"), pop3("none", "right"), pop3("hash", "right"), pop3("team", "right"), pop3("ann", "right\nx")} {
		if _, err := f.POP3(t.Context(), "foo.test", cr); !errors.Is(err, ErrBadLogin) {
			t.Errorf("%s with %q: %v", cr.Name, cr.Password, err)
		}
	}
	apop := Credentials{Name: "ann@FOO.test", Mechanism: "APOP", Challenge: "<1@x>", Response: "abcdef", Service: "pop3", Remote: stranger}
	if _, err := f.POP3(t.Context(), "bar.test", apop); !errors.Is(err, ErrBadLogin) {
		t.Errorf("APOP: %v", err)
	}
	if _, err := f.POP3(t.Context(), "bar.test", pop3("ann", "bar")); err != nil {
		t.Errorf("a domain whose own table has no program: %v", err)
	}
	want := "ann|foo.test|right||right\n" + "ann|foo.test|pw||pw\n" + "none|foo.test|right||right\n" + "hash|foo.test|right||right\n" + "team|foo.test|right||right\n" +
		"ann|FOO.test|abcdef||abcdef\n"
	if got := ran(); got != want {
		t.Errorf("the program got\n%swant\n%s", got, want)
	}
	if strings.Contains(f.logged(), "right") {
		t.Errorf("the log has a password:\n%s", f.logged())
	}
}

// TestDomainThatWouldLeaveTheFolder has tables beside and above userauth/pop3 that would
// let everybody in.
func TestDomainThatWouldLeaveTheFolder(t *testing.T) {
	path, ran := recorder(t, "")
	table := "userauth " + path + "\n"
	f := start(t, map[string]string{"userauth/x.tab": table, "userauth/pop3/sub/x.tab": table, "x.tab": table, "userauth/pop3/.tab": table})
	for _, domain := range []string{"../x", "../../x", "sub/x", "/x", f.dir + "/x", "..", ".", "../pop3/", "x\x00", `..\x`} {
		if _, err := f.POP3(t.Context(), "foo.test", pop3("ann@"+domain, "pw")); !errors.Is(err, ErrBadLogin) {
			t.Errorf("%q: %v", domain, err)
		}
	}
	if got := ran(); got != "" {
		t.Errorf("a program ran for a domain that is none of ours: %q", got)
	}
}

func TestExternalProgramThatCannotBeAskedIsNoBadLogin(t *testing.T) {
	for name, command := range map[string]string{
		"missing": "/nonexistent/program", "killed": programtest.Script(t, "kill -9 $$"), "255": programtest.Script(t, "exit 255"),
	} {
		f := start(t, map[string]string{"userauth/pop3/.tab": "userauth " + command + "\n", "smtpextauth.tab": "PLAIN " + command + "\n", "server.tab": "LOGIN-MaxFailures 1\n"})
		if _, err := f.POP3(t.Context(), "foo.test", pop3("ann", "pw")); !errors.Is(err, ErrTemporary) || errors.Is(err, ErrBadLogin) {
			t.Errorf("%s: POP3 %v, want %v", name, err, ErrTemporary)
		}
		if _, err := f.SMTP(t.Context(), smtp("ann@foo.test", "pw")); !errors.Is(err, ErrTemporary) || errors.Is(err, ErrBadLogin) {
			t.Errorf("%s: SMTP %v, want %v", name, err, ErrTemporary)
		}
	}
}

func TestAccountDisabledWhileAProgramRunsCannotLogIn(t *testing.T) {
	dir := programtest.Dir(t)
	asked, answer := filepath.Join(dir, "asked"), filepath.Join(dir, "answer")
	for _, name := range []string{asked, answer} {
		if err := errors.Join(syscall.Mkfifo(name, 0o666), os.Chmod(name, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	f := start(t, map[string]string{"smtpextauth.tab": "PLAIN " + programtest.Script(t, "echo >"+asked+"\nread x <"+answer+"\n") + "\n"})
	done := make(chan error)
	go func() {
		_, err := f.SMTP(t.Context(), smtp("ann@foo.test", "pw"))
		done <- err
	}()
	if _, err := os.ReadFile(asked); err != nil { // the program runs now
		t.Fatal(err)
	}
	err := f.root.Update(t.Context(), func(tx *mailroot.Tx) error {
		u, _ := tx.User("foo.test", "ann")
		vars, err := tx.ChangeUserVars(u)
		if err != nil {
			return err
		}
		return vars.Append(mailroot.VarDisabled, "why")
	})
	if err := errors.Join(err, os.WriteFile(answer, []byte("\n"), 0)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrBadLogin) {
		t.Errorf("%v, want %v", err, ErrBadLogin)
	}
}

func TestExternalSMTPAuthentication(t *testing.T) {
	path, ran := recorder(t, `case "$3" in right) printf 'Other=1,Perms=MRx\r\nPerms=S\n' >"$6";; plain) ;; *) [ "$5" = abcdef ] ;; esac`)
	temp := programtest.Dir(t)
	f := start(t, map[string]string{
		"smtpextauth.tab":               "plain " + path + " $(AUTH) @@USER @@PASS @@CHALL @@DGEST @@RFILE\nCRAM-MD5 " + path + " $(AUTH) @@USER @@PASS @@CHALL @@DGEST @@RFILE\n",
		"domains/foo.test/ann/user.tab": "MaxMessageSize 3\n",
		"domains/bar.test/ann/user.tab": "Disabled why\n",
	})
	f.use(Options{TempDir: temp})
	i, err := f.SMTP(t.Context(), smtp("ann@foo.test", "right"))
	if err != nil || i.Perms != "MR" || i.Address() != "ann@foo.test" || i.MaxMessage != 3<<10 {
		t.Errorf("%+v, %v", i, err)
	}
	if i, err := f.SMTP(t.Context(), smtp("somebody", "plain")); err != nil || i.Perms != "" || i.IsAccount || i.MaxMessage != -1 {
		t.Errorf("without a response file: %+v, %v", i, err)
	}
	cram := Credentials{Name: "somebody", Mechanism: auth.CRAMMD5, Challenge: "<1@x>", Response: "abcdef", Service: "smtp", Remote: stranger}
	if i, err := f.SMTP(t.Context(), cram); err != nil || i.Name != "somebody" {
		t.Errorf("CRAM-MD5: %+v, %v", i, err)
	}
	for _, cr := range []Credentials{smtp("ann@foo.test", "pw"), smtp("tool", "secret"), smtp("ann@bar.test", "right"), smtp("a\x00b", "right"), smtp("a", "right\n")} {
		if i, err := f.SMTP(t.Context(), cr); !errors.Is(err, ErrBadLogin) {
			t.Errorf("%q with %q: %+v, %v", cr.Name, cr.Password, i, err)
		}
	}
	login := smtp("ann@foo.test", "pw")
	login.Mechanism = "LOGIN"
	if _, err := f.SMTP(t.Context(), login); err != nil {
		t.Errorf("a mechanism without a program: %v", err)
	}
	lines := strings.Split(ran(), "\n")
	if len(lines) != 7 || !strings.HasPrefix(lines[0], "PLAIN|ann@foo.test|right|-|-|"+temp+"/") || !strings.HasSuffix(lines[0], "|right") ||
		!strings.HasPrefix(lines[2], "CRAM-MD5|somebody|-|<1@x>|abcdef|") || !strings.HasSuffix(lines[2], "|abcdef") {
		t.Errorf("the program got\n%s", strings.Join(lines, "\n"))
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("response files stay: %v, %v", left, err)
	}
}

// TestResponseFileThatIsNone has programs that leave something else under the name.
func TestResponseFileThatIsNone(t *testing.T) {
	secret := filepath.Join(programtest.Dir(t), "perms")
	if err := os.WriteFile(secret, []byte("Perms=MRVTZS\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"a link": `ln -s ` + secret + ` "$1"`, "a pipe": `mkfifo "$1"`, "a folder": `mkdir "$1"`,
		"a flood": `head -c 20000 /dev/zero | tr '\0' x >"$1"; echo ,Perms=MR >>"$1"`, "noise": `printf 'perms=MR\nPerms\n\0=' >"$1"`,
	} {
		temp := programtest.Dir(t)
		f := start(t, map[string]string{"smtpextauth.tab": "PLAIN " + programtest.Script(t, text) + " @@RFILE\n"})
		f.use(Options{TempDir: temp})
		if i, err := f.SMTP(t.Context(), smtp("somebody", "x")); err != nil || i.Perms != "" {
			t.Errorf("%s gave %+v, %v; want a login without permissions", name, i, err)
		}
		if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
			t.Errorf("%s stays: %v, %v", name, left, err)
		}
	}
}
