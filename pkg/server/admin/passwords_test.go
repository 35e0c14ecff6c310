package admin

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
)

// stored returns the password of an account as the table has it.
func (f *fixture) stored(domain, name string) string {
	f.t.Helper()
	u, ok := f.Root().User(domain, name)
	if !ok {
		f.t.Fatalf("there is no account %s@%s", name, domain)
	}
	return u.Stored
}

func TestNewPasswordsAreStoredByTheScheme(t *testing.T) {
	f := start(t, nil)
	ctx := t.Context()
	const domain = "xmailserver.test"
	for i, c := range []struct{ vars, defaults, want string }{
		{"", "", auth.Reversible}, {"CompatLevel\t1\n", "", auth.Argon2id}, {"PasswordScheme\tbcrypt\n", "", auth.Bcrypt},
		{"CompatLevel\t1\nPasswordScheme\treversible\n", "", auth.Reversible}, {"CompatLevel\t1\n", "PasswordScheme\treversible\nMaxMBSize\t7\n", auth.Reversible},
		{"", "PasswordScheme\tbcrypt\n", auth.Bcrypt},
	} {
		f.stop()
		f.put("server.tab", c.vars)
		f.put("domains/"+domain+"/userdef.tab", c.defaults)
		f.open(Options{})
		name := fmt.Sprint("u", i)
		f.ok(f.UserAdd(ctx, domain, name, "a pässword", "U"))
		if got := auth.Scheme(f.stored(domain, name)); got != c.want {
			t.Errorf("%q, %q: a new account has %s, want %s", c.vars, c.defaults, got, c.want)
		}
		f.ok(f.UserAuth(ctx, domain, name, "a pässword"))
		f.wantKind(f.UserAuth(ctx, domain, name, "a password"), WrongPassword)
		f.ok(f.UserPasswd(ctx, domain, name, "new"))
		if got := auth.Scheme(f.stored(domain, name)); got != c.want {
			t.Errorf("%q, %q: a changed password is %s, want %s", c.vars, c.defaults, got, c.want)
		}
		f.ok(f.UserAuth(ctx, domain, name, "new"))
		if vars := f.read("domains/" + domain + "/" + name + "/user.tab"); strings.Contains(vars, "PasswordScheme") ||
			strings.Contains(c.defaults, "MaxMBSize") && !strings.Contains(vars, "MaxMBSize") {
			t.Errorf("%q: the account has the variables\n%s", c.defaults, vars)
		}
		f.ok(f.UserAdd(ctx, domain, "list"+name, "", "M"))
		if got := f.stored(domain, "list"+name); got != "" {
			t.Errorf("a list without a password has %q", got)
		}
	}
}

func TestRefusalsKeepTheirOrderWherePasswordsAreHashed(t *testing.T) {
	f := start(t, map[string]string{"server.tab": "PasswordScheme bcrypt\n"})
	ctx := t.Context()
	long := strings.Repeat("x", 73)
	f.wantKind(f.UserAdd(ctx, "none.test", "x", "pw", "U"), NoDomain)
	f.wantKind(f.UserAdd(ctx, "xmailserver.test", "xmailuser", long, "U"), UserExists)
	f.wantKind(f.UserAdd(ctx, "xmailserver.test", "bob", long, "X"), Invalid)
	f.wantKind(f.UserAdd(ctx, "xmailserver.test", "bob", "", "U"), Invalid)
	f.wantKind(f.UserAdd(ctx, "xmailserver.test", "bob", "a\tb", "U"), Invalid)
	f.wantKind(f.UserAdd(ctx, "xmailserver.test", "bob", strings.Repeat("x", 300), "U"), Invalid)
	f.wantKind(f.UserPasswd(ctx, "xmailserver.test", "none", "pw"), NoRecord)
	f.wantKind(f.UserPasswd(ctx, "xmailserver.test", "xmailuser", ""), Invalid)
	err := f.UserAdd(ctx, "xmailserver.test", "bob", long, "U")
	if f.wantKind(err, Invalid); err == nil || !strings.Contains(err.Error(), "72 bytes") || strings.Contains(err.Error(), "xxx") {
		t.Errorf("a password that bcrypt would cut: %v", err)
	}
	f.wantKind(f.Try().UserAdd(ctx, "xmailserver.test", "bob", long, "U"), Invalid)
	f.ok(f.Try().UserAdd(ctx, "xmailserver.test", "bob", "pw", "U"))
	if _, ok := f.Root().User("xmailserver.test", "bob"); ok {
		t.Error("a refused account is there")
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := f.UserAdd(ended, "xmailserver.test", "bob", "pw", "U"); err == nil {
		t.Error("an account was made when nobody waited any more")
	}
}

func TestHashesAreCarriedOver(t *testing.T) {
	f := start(t, nil)
	ctx := t.Context()
	const hash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW" // U*U
	f.ok(f.UserAddStored(ctx, "xmailserver.test", "bob", hash, "U"))
	f.ok(f.UserAuth(ctx, "xmailserver.test", "bob", "U*U"))
	f.ok(f.UserPasswdStored(ctx, "xmailserver.test", "xmailuser", hash))
	if got := f.stored("xmailserver.test", "xmailuser"); got != hash {
		t.Errorf("the hash is now %q", got)
	}
	f.ok(f.UserAuth(ctx, "xmailserver.test", "xmailuser", "U*U"))
	for _, bad := range []string{"$2a$05$short", "$argon2id$v=19$m=10485760,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "$", "hello"} {
		f.wantKind(f.UserAddStored(ctx, "xmailserver.test", "eve", bad, "U"), Invalid)
	}
	f.stop()
	f.open(Options{})
	f.ok(f.UserAuth(ctx, "xmailserver.test", "bob", "U*U"))
	f.ok(f.UserRename(ctx, "xmailserver.test", "bob", "rob", false))
	f.ok(f.UserAuth(ctx, "xmailserver.test", "rob", "U*U"))
}

func TestBatchHashesBeforeItsTransaction(t *testing.T) {
	f := start(t, map[string]string{"server.tab": "PasswordScheme argon2id\n"})
	const domain = "foo.test"
	var steps []step
	steps = append(steps, addDomain(domain))
	for i := range 8 {
		steps = append(steps, addUser(domain, fmt.Sprint("u", i)))
	}
	steps = append(steps, func(ctx context.Context, s *Service) error { return s.UserPasswd(ctx, domain, "u0", "first") },
		func(ctx context.Context, s *Service) error { return s.UserPasswd(ctx, domain, "u0", "second") },
		func(ctx context.Context, s *Service) error { return s.SMTPAuthAdd(ctx, "tool", "pw", "MR") })
	f.put("smtpauth.tab", "")
	inside := 0
	n, err := f.Batch(t.Context(), len(steps), func(s *Service, i int) error {
		if i == 0 {
			inside++
		}
		return steps[i](t.Context(), s)
	})
	if n != len(steps) || err != nil {
		t.Fatalf("step %d: %v", n, err)
	}
	if inside != 2 {
		t.Errorf("the steps ran %d times, want once to see which passwords there are, and once with their hashes", inside)
	}
	seen := map[string]bool{}
	for i := range 8 {
		stored := f.stored(domain, fmt.Sprint("u", i))
		if auth.Scheme(stored) != auth.Argon2id || seen[stored] {
			t.Errorf("u%d has %q", i, stored)
		}
		seen[stored] = true
	}
	f.ok(f.UserAuth(t.Context(), domain, "u7", "pw"))
	f.ok(f.UserAuth(t.Context(), domain, "u0", "second"))
	for l := range f.Root().SMTPLogins() {
		if !l.Password().Verify("pw") || auth.LoginScheme(l.Stored) != auth.Argon2id {
			t.Errorf("the SMTP login has %q", l.Stored)
		}
	}
	inside = 0
	refused, err := f.CheckBatch(t.Context(), 2, func(s *Service, i int) error {
		inside++
		return []step{addUser(domain, "u1"), addUser(domain, "new")}[i](t.Context(), s)
	})
	if err != nil || refused[0] == nil || refused[1] != nil || inside != 2 {
		t.Errorf("a batch that is checked: %v, %v, %d steps", refused, err, inside)
	}
	inside = 0
	n, err = f.Batch(t.Context(), 2, func(s *Service, i int) error {
		inside++
		return []step{addUser(domain, "new"), addUser(domain, "u1")}[i](t.Context(), s)
	})
	if n != 1 || err == nil || inside != 2 {
		t.Errorf("a batch that is refused: step %d, %v, %d steps; want no second run", n, err, inside)
	}
}

// TestHashingHoldsNobodyUp has a batch that is hashing while others make changes.
func TestHashingHoldsNobodyUp(t *testing.T) {
	f := start(t, map[string]string{"server.tab": "PasswordScheme argon2id\n"})
	f.ok(f.DomainAdd(t.Context(), "foo.test"))
	const accounts = 100
	seen := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		runs := 0
		_, err := f.Batch(t.Context(), accounts, func(s *Service, i int) error {
			if i == accounts-1 {
				if runs++; runs == 1 {
					close(seen)
				}
			}
			return addUser("foo.test", fmt.Sprint("u", i))(t.Context(), s)
		})
		done <- err
	}()
	<-seen
	f.ok(f.UserAddStored(t.Context(), "foo.test", "other", auth.Scramble("pw"), "U"))
	select {
	case err := <-done:
		t.Errorf("the batch was ready before another change: %v", err)
	default:
	}
	f.ok(<-done)
	if want := min(runtime.NumCPU(), runtime.GOMAXPROCS(0)); f.hasher.Size() != want {
		t.Errorf("%d passwords are hashed at a time, want %d", f.hasher.Size(), want)
	}
}

func TestUpgradePassword(t *testing.T) {
	f := start(t, map[string]string{"server.tab": "CompatLevel 1\n"})
	ctx := t.Context()
	old := auth.Scramble("pw")
	f.ok(f.UserAddStored(ctx, "xmailserver.test", "bob", old, "U"))
	u, _ := f.Root().User("xmailserver.test", "bob")
	f.ok(f.UpgradePassword(ctx, u, "pw"))
	hashed := f.stored("xmailserver.test", "bob")
	if auth.Scheme(hashed) != auth.Argon2id {
		t.Errorf("after the upgrade it is %q", hashed)
	}
	f.ok(f.UserAuth(ctx, "xmailserver.test", "bob", "pw"))
	f.ok(f.UpgradePassword(ctx, u, "pw"))
	if got := f.stored("xmailserver.test", "bob"); got != hashed {
		t.Error("a password that is another than what was read was replaced")
	}
	f.ok(f.UserDel(ctx, "xmailserver.test", "bob"))
	f.ok(f.UpgradePassword(ctx, u, "pw"))
}

func TestPasswordsOfSMTPLogins(t *testing.T) {
	f := start(t, map[string]string{"smtpauth.tab": ""})
	ctx := t.Context()
	stored := func(name string) string {
		for l := range f.Root().SMTPLoginsNamed(name) {
			return l.Stored
		}
		return ""
	}
	f.ok(f.SMTPAuthAdd(ctx, "old", "$ecret", "MR"))
	if got := stored("old"); got != "$ecret" {
		t.Errorf("at CompatLevel 0 it is %q, want it in clear", got)
	}
	const likeHash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
	f.wantKind(f.SMTPAuthAdd(ctx, "x", likeHash, "MR"), Invalid)
	f.wantKind(f.SMTPAuthAdd(ctx, "old", likeHash, "MR"), Exists)
	f.wantKind(f.SMTPAuthPasswd(ctx, "old", likeHash), Invalid)
	f.put("domains/xmailserver.test/userdef.tab", "PasswordScheme\treversible\n")
	f.ok(f.SetServerVars(ctx, Setting{"PasswordScheme", "bcrypt"}))
	f.ok(f.SMTPAuthPasswd(ctx, "old", likeHash))
	if got := stored("old"); got == likeHash || auth.LoginScheme(got) != auth.Bcrypt {
		t.Errorf("a new password is %q, want a hash", got)
	}
	f.ok(f.SMTPAuthAdd(ctx, "new", "secret", "MR"))
	if got := stored("new"); auth.LoginScheme(got) != auth.Bcrypt {
		t.Errorf("a new login is %q, want a hash", got)
	}
	f.wantKind(f.SMTPAuthAdd(ctx, "new", "x", "MR"), Exists)
	f.wantKind(f.SMTPAuthAdd(ctx, "newer", "x", "Q"), Invalid)
	f.wantKind(f.SMTPAuthAdd(ctx, "newer", "", "M"), Invalid)
	f.wantKind(f.SMTPAuthPasswd(ctx, "none", "x"), NoRecord)
}

func TestUserAuthAsksTheProgramOfTheDomain(t *testing.T) {
	f := start(t, map[string]string{"server.tab": "PasswordScheme argon2id\n"})
	ctx := t.Context()
	out := filepath.Join(programtest.Dir(t), "ran")
	script := programtest.Script(t, `printf '%s|' "$@" >>`+out+`; cat >>`+out+`; [ "$3" = right ]`)
	f.put("userauth/pop3/.tab", "userauth\t"+script+"\t$(USER)\t$(DOMAIN)\t$(PASSWD)\t@@PATH\tend\n")
	f.ok(f.UserAdd(ctx, "xmailserver.test", "bob", "pw", "U"))
	f.ok(f.UserAuth(ctx, "xmailserver.test", "bob", "right"))
	f.wantKind(f.UserAuth(ctx, "xmailserver.test", "bob", "pw"), WrongPassword)
	f.wantKind(f.UserAuth(ctx, "xmailserver.test", "bob", "right\n"), WrongPassword)
	f.wantKind(f.UserAuth(ctx, "xmailserver.test", "none", "right"), NoRecord)
	want := "bob|xmailserver.test|right||end|right\nbob|xmailserver.test|pw||end|pw\n"
	if got := programtest.Read(t, out); got != want {
		t.Errorf("the program got\n%swant\n%s", got, want)
	}
	f.put("userauth/pop3/.tab", "userauth\t/nonexistent/program\n")
	f.ok(f.Sync(ctx))
	f.wantKind(f.UserAuth(ctx, "xmailserver.test", "bob", "pw"), Internal)
	if strings.Contains(f.log.String(), "right") {
		t.Errorf("the log has a password:\n%s", f.log.String())
	}
}
