package ctrld_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// dialAs logs in as another administrator, whose password is "pw".
func dialAs(t *testing.T, s *servertest.Server, user string) *ctrl.Client {
	t.Helper()
	c, err := ctrl.Dial(t.Context(), s.Addr, user, "pw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// setRights adds a control account.
func setRights(t *testing.T, c *ctrl.Client, user, rights string) {
	t.Helper()
	want(t, c, "+00000", "ctrluseradd", user, "pw")
	want(t, c, "+00000", "adminset", user, rights)
}

// anyArgs are as many arguments as a command needs.
func anyArgs(c commands.Command) []string {
	args := make([]string, max(c.Min, 0))
	for i := range args {
		args[i] = "x"
	}
	return args
}

// answer sends a command with an upload where it takes one, and returns its code and, of a
// list, the lines.
func answer(t *testing.T, c *ctrl.Client, content string, args ...string) (string, []string) {
	t.Helper()
	if known, _ := commands.Lookup(args[0]); known.Kind == commands.Upload {
		return upload(t, c, content, args...), nil
	}
	return do(t, c, args...)
}

// A delegatedCase is a command of an administrator of own.test: one line that is good,
// and lines that reach out of the domain.
type delegatedCase struct {
	inside  string
	outside []string
	content string // of the upload
}

// delegatedCases has the commands that are about domains, in an order in which what is
// inside works. Fields are separated by blanks; _ is an empty one.
var delegatedCases = []delegatedCase{
	{"useradd own.test ann pw U", []string{"useradd other.test ann pw U", "useradd *.test ann pw U", "useradd @own.test ann pw U", "useradd own.test.other.test x pw U"}, ""},
	{"useradd OWN.test list _ M", []string{"useradd _ list pw M"}, ""},
	{"useradd own.test tom pw U", []string{"useradd .own.test tom pw U"}, ""},
	{"userpasswd own.test ann new", []string{"userpasswd other.test joe new", "userpasswd alias.test joe new", "userpasswd own.test ann 1512 stored", "useradd own.test sid 1512 U stored"}, ""},
	{"userauth own.test ann new", []string{"userauth other.test joe secret", "userauth * joe secret"}, ""},
	{"userstat own.test ann", []string{"userstat other.test joe", "userstat alias.test joe"}, ""},
	{"uservars own.test ann", []string{"uservars other.test joe"}, ""},
	{"uservarsset own.test ann RealName Ann HomePage x Address y Telephone z",
		[]string{"uservarsset other.test joe RealName x", "uservarsset own.test ann SmtpPerms MRZ", "uservarsset own.test ann MaxMBSize 0",
			"uservarsset own.test ann RealName x MaxMBSize .|rm", "uservarsset own.test ann MaxMessageSize 0", "uservarsset own.test ann realname x"}, ""},
	{"usersetmproc own.test ann", []string{"usersetmproc other.test joe", "usersetmproc other.test joe D"}, "mailbox\n"},
	{"usersetmproc own.test ann D", []string{"usersetmproc * ann D"}, "\"redirect\"\t\"x@far.example\"\n"},
	{"usergetmproc own.test ann", []string{"usergetmproc other.test joe", "usergetmproc other.test joe D"}, ""},
	{"userlist * *", nil, ""},
	{"aliasadd own.test info ann", []string{"aliasadd other.test info joe", "aliasadd own.test out joe@other.test", "aliasadd *.test x ann", "aliasadd * x ann@own.test", "aliasadd own.* x ann@own.test"}, ""},
	{"aliasadd own.test in ann@OWN.test", []string{"aliasadd own.test out joe@own.test@other.test"}, ""},
	{"aliaslist * * *", nil, ""},
	{"aliasdel own.test in", []string{"aliasdel other.test postmaster", "aliasdel * any"}, ""},
	{"exaliasadd ann@own.test ann@far.example", []string{"exaliasadd joe@other.test joe@far.example", "exaliasadd ann@own.test joe@other.test", "exaliasadd ann@own.test joe@alias.test",
		"exaliasadd ann@own.test@other.test x@far.example", "exaliasadd own.test x@far.example"}, ""},
	{"exaliaslist", nil, ""},
	{"exaliasdel ann@far.example", []string{"exaliasdel other@far.example"}, ""},
	{"mluseradd own.test list x@far.example", []string{"mluseradd other.test others x@far.example"}, ""},
	{"mluserlist own.test list", []string{"mluserlist other.test others"}, ""},
	{"mluserdel own.test list x@far.example", []string{"mluserdel other.test others m@far.example"}, ""},
	{"poplnkadd own.test ann pop.example ann pw CLR", []string{"poplnkadd other.test joe pop.example ann pw CLR", "poplnkadd @own.test ann pop.example ann pw CLR", "poplnkadd ?own.test,other.test ann pop.example ann pw CLR"}, ""},
	{"poplnklist", nil, ""},
	{"poplnkenable 0 own.test ann", []string{"poplnkenable 0 other.test joe", "poplnkenable own.test other.test joe"}, ""},
	{"poplnkdel own.test ann pop.example ann", []string{"poplnkdel other.test joe pop.example joe"}, ""},
	{"domainlist", nil, ""},
	{"queuelist", nil, ""},
	{"aliasdomainlist", nil, ""},
	{"userrename own.test tom tim", []string{"userrename other.test joe jim"}, ""},
	{"userdisable own.test ann", []string{"userdisable other.test joe"}, ""},
	{"userenable own.test ann", []string{"userenable other.test joe"}, ""},
	{"userusage", nil, ""},
	{"userdel own.test ann", []string{"userdel other.test joe", "userdel alias.test joe"}, ""},
}

func words(line string) []string {
	args := strings.Fields(line)
	for i, a := range args {
		if a == "_" {
			args[i] = ""
		}
	}
	return args
}

// startDelegated is a server with two domains, and bob who administers one of them.
func startDelegated(t *testing.T) (s *servertest.Server, admin, bob *ctrl.Client) {
	s = servertest.Start(t)
	admin = s.Dial(t)
	for _, line := range []string{
		"domainadd own.test", "domainadd other.test", "aliasdomainadd other.test alias.test", "aliasdomainadd own.test mine.test",
		"useradd other.test joe secret U", "useradd other.test others secret M", "mluseradd other.test others m@far.example",
		"aliasadd other.test postmaster joe", "aliasadd * any joe@other.test", "exaliasadd joe@other.test other@far.example",
		"poplnkadd other.test joe pop.example joe secret CLR",
	} {
		want(t, admin, "+00000", words(line)...)
	}
	setRights(t, admin, "bob", "own.test")
	return s, admin, dialAs(t, s, "bob")
}

func TestDelegatedAdministratorCommandByCommand(t *testing.T) {
	s, admin, bob := startDelegated(t)
	tried := make(map[string]bool)
	for _, q := range delegatedCases {
		args := words(q.inside)
		known, ok := commands.Lookup(args[0])
		if !ok {
			continue // comes with the command
		}
		tried[known.Name] = true
		want(t, admin, "+00000", "sync")
		before := files(t, s.Dir)
		for _, line := range q.outside {
			if code, lines := answer(t, bob, q.content, words(line)...); code != "-00150" {
				t.Errorf("outside: %q was answered %s %q, want -00150", line, code, lines)
			}
			if code, lines := do(t, bob, append([]string{"try"}, words(line)...)...); code != "-00150" {
				t.Errorf("outside: try %q was answered %s %q, want -00150", line, code, lines)
			}
		}
		want(t, admin, "+00000", "sync")
		if diff := cmp.Diff(before, files(t, s.Dir)); diff != "" {
			t.Errorf("outside: %s changed files, -before +after\n%s", known.Name, diff)
		}
		code, lines := answer(t, bob, q.content, args...)
		if code != "+00000" && code != "+00100" {
			t.Errorf("inside: %q was answered %s %q", q.inside, code, lines)
		}
		if column := known.Access().Column; column >= 0 {
			wantOwnRows(t, admin, known, column, lines)
		}
	}
	for _, known := range commands.All() {
		switch a := known.Access(); {
		case tried[known.Name]:
		case known.Name == "queueshow": // needs mail in the queue: testdata/exchanges/57-queue.txt
		case a.Need == commands.Own:
			if known.Name == "quit" || known.Name == "begin" {
				continue
			}
			if code, lines := do(t, bob, append([]string{known.Name}, anyArgs(known)...)...); code == "-00150" {
				t.Errorf("%s was answered %s %q; it is for everybody", known.Name, code, lines)
			}
		case a.Domains():
			t.Errorf("%s is for administrators of domains, and nothing here says what is inside and outside", known.Name)
		default:
			for _, prefix := range [][]string{nil, {"try"}} {
				args := slices.Concat(prefix, []string{known.Name}, anyArgs(known))
				if code, lines := answer(t, bob, "", args...); code != "-00150" {
					t.Errorf("%q was answered %s %q, want -00150", args, code, lines)
				}
			}
			// Naming the own domain does not help.
			if known.Min > 0 {
				args := append([]string{known.Name, "own.test"}, anyArgs(known)[1:]...)
				if code, lines := answer(t, bob, "", args...); code != "-00150" {
					t.Errorf("%q was answered %s %q, want -00150", args, code, lines)
				}
			}
		}
	}
}

// wantOwnRows looks at a list that bob got: it has the rows of own.test that everybody
// with all rights gets, without passwords, and no others.
func wantOwnRows(t *testing.T, admin *ctrl.Client, known commands.Command, column int, lines []string) {
	t.Helper()
	_, all := do(t, admin, known.Name)
	if known.Name == "aliaslist" || known.Name == "userlist" {
		_, all = do(t, admin, known.Name, "*", "*")
	}
	password := slices.Index(known.Rows, "password")
	var own []string
	for _, line := range all {
		fields := strings.Split(line, "\t")
		if !strings.EqualFold(fields[column], `"own.test"`) {
			continue
		}
		if password >= 0 {
			fields[password] = `""`
		}
		own = append(own, strings.Join(fields, "\t"))
	}
	if len(own) == 0 || len(own) == len(all) {
		t.Errorf("%s: %d rows of %d are of own.test, which tests nothing", known.Name, len(own), len(all))
	}
	if diff := cmp.Diff(own, lines); diff != "" {
		t.Errorf("%s: -want +got\n%s", known.Name, diff)
	}
}

func TestReadOnlyAdministratorCommandByCommand(t *testing.T) {
	s, admin, _ := startDelegated(t)
	setRights(t, admin, "eve", "read")
	setRights(t, admin, "keeper", "read,secrets")
	eve, keeper := dialAs(t, s, "eve"), dialAs(t, s, "keeper")
	want(t, admin, "+00000", "sync")
	before := files(t, s.Dir)
	for _, known := range commands.All() {
		if known.Name == "quit" || known.Name == "begin" {
			continue
		}
		args := append([]string{known.Name}, anyArgs(known)...)
		need := known.Access().Need
		for _, q := range []struct {
			c    *ctrl.Client
			name string
			may  bool
		}{
			{eve, "read", need == commands.Own || need == commands.Read},
			{keeper, "read,secrets", need == commands.Own || need == commands.Read || need == commands.Secrets},
		} {
			code, lines := answer(t, q.c, "", args...)
			if (code != "-00150") != q.may {
				t.Errorf("%s: %q was answered %s %q, allowed should be %v", q.name, args, code, lines, q.may)
			}
		}
	}
	want(t, admin, "+00000", "sync")
	if diff := cmp.Diff(before, files(t, s.Dir)); diff != "" {
		t.Errorf("a read-only administrator changed files, -before +after\n%s", diff)
	}
	for _, known := range commands.All() {
		if column := slices.Index(known.Rows, "password"); column >= 0 && known.Access().Need == commands.Read {
			_, all := do(t, admin, known.Name)
			_, lines := do(t, eve, known.Name)
			if len(lines) != len(all) {
				t.Errorf("%s: %d rows without passwords, want %d", known.Name, len(lines), len(all))
			}
			for _, line := range lines {
				if got := strings.Split(line, "\t")[column]; got != `""` {
					t.Errorf("%s shows the password %s", known.Name, got)
				}
			}
		}
	}
}

func TestFilesOfReadOnlyAdministrators(t *testing.T) {
	for level := range 2 {
		s := servertest.Start(t, servertest.CompatLevel(level))
		admin := s.Dial(t)
		setRights(t, admin, "eve", "read")
		setRights(t, admin, "keeper", "read,secrets")
		setRights(t, admin, "full", "all,secrets")
		s.Write(t, "domains/xmailserver.test/xmailuser/Maildir/new/1.a", "Subject: x\n")
		s.Write(t, "spool/0/0/mess/1", "x\n")
		s.Write(t, "logs/audit-200001", "x\n")
		clients := []*ctrl.Client{admin, dialAs(t, s, "full"), dialAs(t, s, "eve"), dialAs(t, s, "keeper")}
		for _, q := range []struct {
			path  string
			codes [2]string // of the clients, + or -, a string a level
		}{
			{"domains.tab", [2]string{"++++", "++++"}},
			{"ctrlrights.tab", [2]string{"++++", "++++"}},
			{"mailusers.tab", [2]string{"++-+", "-+-+"}},
			{"./CtrlAccounts.tab/", [2]string{"++-+", "-+-+"}},
			{"server.key", [2]string{"++-+", "-+-+"}},
			{"domains/xmailserver.test/xmailuser/Maildir/new/1.a", [2]string{"++-+", "++-+"}},
			{"spool/0/0/mess/1", [2]string{"++-+", "++-+"}},
			{"logs/audit-200001", [2]string{"++--", "++--"}},
		} {
			got := ""
			for _, c := range clients {
				code, _ := do(t, c, "cfgfileget", q.path)
				got += map[string]string{"+00100": "+", "-00150": "-"}[code]
				if code == "-00019" { // the name in other letters is no file here
					got += map[bool]string{true: "+", false: "-"}[q.codes[level][len(got)] == '+']
				}
			}
			if got != q.codes[level] {
				t.Errorf("level %d: admin, full, read and read,secrets get %s: %s, want %s", level, q.path, got, q.codes[level])
			}
		}
	}
}

func TestRightsCountFromTheNextCommandOn(t *testing.T) {
	s := servertest.Start(t)
	admin := s.Dial(t)
	setRights(t, admin, "bob", "all")
	bob := dialAs(t, s, "BOB")
	want(t, bob, "+00000", "domainadd", "a.test")
	want(t, bob, "+00000", "begin")
	want(t, bob, "+00000", "domainadd", "b.test")
	want(t, admin, "+00000", "adminset", "bob", "read")
	want(t, bob, "-00150", "commit")
	want(t, bob, "-00150", "domainadd", "c.test")
	want(t, admin, "+00000", "ctrluserdel", "bob")
	want(t, bob, "-00150", "domainlist")
	want(t, bob, "+00000", "noop")
	if _, lines := do(t, admin, "domainlist", "?.test"); len(lines) != 1 {
		t.Errorf("domains %q, want a.test alone", lines)
	}
}

func TestRefusalsByRightsAreLogged(t *testing.T) {
	s, _, bob := startDelegated(t)
	want(t, bob, "-00150", "userpasswd", "other.test", "joe", "verysecret")
	if log := s.Log(); !strings.Contains(log, "refused by rights") || strings.Contains(log, "verysecret") {
		t.Errorf("the log does not tell of the refusal, or has the password:\n%s", log)
	}
	audit := ""
	for name, text := range logs(t, s) {
		if strings.HasPrefix(name, "audit-") {
			audit += text
		}
	}
	if !strings.Contains(audit, `"bob"`) || !strings.Contains(audit, `"other.test joe *"`) || strings.Contains(audit, "verysecret") {
		t.Errorf("the audit log does not tell of the refusal, or has the password:\n%s", audit)
	}
}

// A rejected upload leaves the session in order, also for those whose right is missing.
func TestUploadWithoutTheRightIsRefusedBeforeItsData(t *testing.T) {
	_, _, bob := startDelegated(t)
	r, err := bob.Do(t.Context(), "cfgfileset", "domains.tab")
	if refused := (*ctrl.Error)(nil); !errors.As(err, &refused) || refused.Code != ctrl.CodeForbidden {
		t.Errorf("answered %v, %v, want %v", r, err, ctrl.CodeForbidden)
	}
	want(t, bob, "+00000", "noop")
}

func logs(t *testing.T, s *servertest.Server) map[string]string {
	t.Helper()
	found := make(map[string]string)
	_, lines := do(t, s.Dial(t), "filelist", "logs", "*")
	for _, line := range lines {
		name := strings.Trim(strings.Split(line, "\t")[0], `"`)
		found[name] = s.Read(t, fmt.Sprintf("logs/%s", name))
	}
	return found
}
