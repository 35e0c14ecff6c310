package ctrld_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/ctrld"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

func TestRefusedTransactionChangesNothing(t *testing.T) {
	s := servertest.Start(t)
	c := s.Dial(t)
	want(t, c, "+00000", "sync")
	before := files(t, s.Dir)
	want(t, c, "+00000", "begin")
	for _, line := range []string{
		"domainadd new.test", "useradd new.test ann pw U", "uservarsset new.test ann RealName Ann", "aliasadd new.test info ann",
		"userdel xmailserver.test xmailuser", "svarset PostMaster root@new.test", "spammeradd 10.0.0.1", "aliasdel new.test none", "domainadd late.test",
	} {
		want(t, c, "+00000", strings.Fields(line)...)
	}
	_, err := c.Do(t.Context(), "commit")
	refused := (*ctrl.Error)(nil)
	if !errors.As(err, &refused) || refused.Code != ctrl.CodeNoAlias || !strings.HasPrefix(refused.Text, "command 8 (aliasdel): ") {
		t.Errorf("commit was answered %v, want %v of command 8", err, ctrl.CodeNoAlias)
	}
	want(t, c, "+00000", "sync")
	if diff := cmp.Diff(before, files(t, s.Dir)); diff != "" {
		t.Errorf("a refused transaction changed files, -before +after\n%s", diff)
	}
	s.Restart(t)
	before[".xmaild.lock"] = s.Read(t, ".xmaild.lock")
	if diff := cmp.Diff(before, files(t, s.Dir)); diff != "" {
		t.Errorf("after a restart, -before +after\n%s", diff)
	}
}

func TestLostConnectionForgetsItsTransaction(t *testing.T) {
	s := servertest.Start(t)
	c := s.Dial(t)
	want(t, c, "+00000", "begin")
	want(t, c, "+00000", "domainadd", "new.test")
	c.Close()
	other := s.Dial(t)
	want(t, other, "-00251", "commit")
	if _, lines := do(t, other, "domainlist"); len(lines) != 1 {
		t.Errorf("domains %q, want one", lines)
	}
}

// Two transactions at once: what one has committed the other one meets.
func TestTransactionsOfTwoSessions(t *testing.T) {
	s := servertest.Start(t)
	a, b := s.Dial(t), s.Dial(t)
	for _, c := range []*ctrl.Client{a, b} {
		want(t, c, "+00000", "begin")
		want(t, c, "+00000", "domainadd", "new.test")
		want(t, c, "+00000", "useradd", "new.test", "ann", "pw", "U")
	}
	want(t, a, "+00000", "commit")
	want(t, b, "-00231", "commit")
	want(t, b, "+00000", "begin")
	want(t, b, "+00000", "useradd", "new.test", "bob", "pw", "U")
	want(t, b, "+00000", "commit")
}

func TestLargeTransaction(t *testing.T) {
	s := servertest.Start(t)
	c := s.Dial(t)
	const users = 1000
	p := c.Pipeline(t.Context())
	receive := func() {
		if _, err := p.Receive(); err != nil {
			t.Fatal(err)
		}
	}
	send := func(args ...string) {
		if err := p.Send(args...); err != nil {
			t.Fatal(err)
		}
		for p.Full() {
			receive()
		}
	}
	send("begin")
	send("domainadd", "big.test")
	for i := range users {
		send("useradd", "big.test", fmt.Sprintf("u%d", i), "pw", "U")
	}
	for p.Len() > 0 {
		receive()
	}
	p.Stop()
	if _, lines := do(t, c, "commit", "check"); len(lines) > 0 {
		t.Fatalf("refused: %q", lines[0])
	}
	if code, text := do(t, c, "commit"); code != "+00000" || text[0] != fmt.Sprintf("OK %d changes", users+1) {
		t.Fatalf("commit was answered %s %q", code, text)
	}
	if _, lines := do(t, c, "userlist", "big.test"); len(lines) != users {
		t.Errorf("%d accounts, want %d", len(lines), users)
	}
}

// handler is one without a server, for what would take long over a connection.
func handler(t *testing.T) (*ctrld.Handler, *ctrl.Session) {
	t.Helper()
	dir := t.TempDir()
	if err := servertest.NewMailRoot(dir); err != nil {
		t.Fatal(err)
	}
	root, err := mailroot.Open(t.Context(), dir, mailroot.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	})
	return ctrld.New(admin.New(root, admin.Options{}), slog.New(slog.DiscardHandler)), &ctrl.Session{User: servertest.User}
}

func TestLimitsOfATransaction(t *testing.T) {
	for _, q := range []struct {
		what string
		args []string
		most int
	}{
		{"commands", []string{"none.test", "ann"}, 100_000},
		{"bytes", []string{"none.test", strings.Repeat("x", 1<<20)}, 63},
	} {
		h, session := handler(t)
		send := func(command string, args ...string) ctrl.Reply {
			return h.ServeCtrl(t.Context(), &ctrl.Request{Command: command, Args: args, Session: session})
		}
		if r := send("begin"); r.Code() != ctrl.CodeOK {
			t.Fatal(r.Text())
		}
		for i := range q.most {
			if r := send("userdel", q.args...); r.Code() != ctrl.CodeOK {
				t.Fatalf("%s: command %d was answered %v", q.what, i, r.Code())
			}
		}
		if r := send("userdel", q.args...); r.Code() != ctrl.CodeTooMany {
			t.Errorf("%s: one too many was answered %v, want %v", q.what, r.Code(), ctrl.CodeTooMany)
		}
		if r := send("commit"); r.Code() != ctrl.CodeTooMany {
			t.Errorf("%s: commit was answered %v, want %v, since a command is missing", q.what, r.Code(), ctrl.CodeTooMany)
		}
	}
}

// collectable has every command that may stand in a transaction, in an order in which
// all of them work. Fields are separated by blanks; _ is an empty one.
const collectable = `domainadd new.test
useradd new.test ann pw U
userpasswd new.test ann other
uservarsset new.test ann RealName Ann Extra x
userdisable new.test ann away
userenable new.test ann
useradd new.test list _ M
mluseradd new.test list ann@new.test
mluseradd new.test list x@far.example R
mluserdel new.test list x@far.example
aliasadd new.test info ann
aliasadd new.test sales ann
aliasdel new.test sales
exaliasadd ann@new.test ann@far.example
exaliasadd ann@new.test bob@far.example
exaliasdel bob@far.example
poplnkadd new.test ann pop.example ann pw CLR
poplnkadd new.test ann pop.example bob pw CLR
poplnkenable 0 new.test ann pop.example ann
poplnkdel new.test ann pop.example bob
userrename new.test ann anna keep-alias
aliasdomainadd new.test alias.test
aliasdomainadd new.test other.test
aliasdomaindel other.test
useradd xmailserver.test gone pw U
userdel xmailserver.test gone
domainadd late.test
domaindel late.test
relayadd 192.0.2.0/24
relayadd 198.51.100.1
relaydel 198.51.100.1
spammeradd 192.0.2.0/24 code=0
spammeradd 198.51.100.1
spammerdel 198.51.100.1
spamaddradd *@spam.example
spamaddradd x@spam.example
spamaddrdel x@spam.example
ipmapadd smtp 192.0.2.0/24 DENY 5
ipmapadd pop3:xmailuser@xmailserver.test 192.0.2.0/24 DENY 5
ipmapadd smtp 198.51.100.1 DENY 5
ipmapdel smtp 198.51.100.1
ippropadd 192.0.2.0/24 WhiteList=1
ippropadd 198.51.100.1/32 WhiteList=1
ippropdel 198.51.100.1/32
hnpropadd a.example WhiteList=1
hnpropadd b.example WhiteList=1
hnpropdel b.example
smtpgwadd gw.example @relay.example
smtpgwadd gx.example @relay.example
smtpgwdel gx.example
smtpfwdadd fw.example mx.example
smtpfwdadd fx.example mx.example
smtpfwddel fx.example
smtpauthadd sender pw MR
smtpauthadd other pw MR
smtpauthpasswd sender new
smtpauthdel other
ctrluseradd bob pw
ctrluseradd eve pw
ctrluserpasswd bob new
ctrluserdel eve
adminset bob new.test
svarset PostMaster root@new.test`

func TestTransactionDoesWhatItsCommandsDo(t *testing.T) {
	clock := servertest.Clock(func() time.Time { return time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC) })
	var trees []map[string]string
	lines := strings.Split(collectable, "\n")
	for _, known := range commands.All() {
		if known.Collectable() && !slices.ContainsFunc(lines, func(l string) bool { return strings.Fields(l)[0] == known.Name }) {
			t.Errorf("%s may stand in a transaction, and is not tried in one", known.Name)
		}
	}
	for _, together := range []bool{false, true} {
		s := servertest.Start(t, clock)
		for _, table := range []string{"smtp.ipprop.tab", "smtp.hnprop.tab", "smtpgw.tab", "smtpfwd.tab", "smtpauth.tab", "spam-address.tab", "spammers.tab",
			"smtp.ipmap.tab", "domains/xmailserver.test/xmailuser/pop3.ipmap.tab"} {
			s.Write(t, table, "")
		}
		s.Restart(t)
		c := s.Dial(t)
		if together {
			want(t, c, "+00000", "begin")
		}
		for _, line := range lines {
			known, ok := commands.Lookup(strings.Fields(line)[0])
			switch {
			case !ok: // comes with the command
			case !known.Collectable():
				t.Errorf("%s cannot stand in a transaction", known.Name)
			default:
				want(t, c, "+00000", words(line)...)
			}
		}
		if together {
			if _, refused := do(t, c, "commit", "check"); len(refused) > 0 {
				t.Errorf("refused: %q", refused)
			}
			want(t, c, "+00000", "commit")
		}
		want(t, c, "+00000", "sync")
		tree := files(t, s.Dir)
		delete(tree, ".xmaild.lock")
		delete(tree, "server.key")
		delete(tree, "server.cert")
		trees = append(trees, tree)
	}
	if diff := cmp.Diff(trees[0], trees[1]); diff != "" {
		t.Errorf("one by one and together make a difference, -one by one +together\n%s", diff)
	}
}
