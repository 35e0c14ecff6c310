package check

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/selfcert"
)

func fresh(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "MailRoot")
	cert, key, err := selfcert.New([]string{"localhost"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	err = mailroot.Create(dir, mailroot.NewRoot{
		Domains: []string{"example.test"}, Account: "user", AccountPassword: "x", Admin: "admin", AdminPassword: "y",
		Cert: cert, Key: key,
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(strings.ReplaceAll(content, "|", "\t")), 0o600); err != nil {
		t.Fatal(err)
	}
}

func findings(t *testing.T, dir string) []string {
	t.Helper()
	found, err := MailRoot(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{}
	for _, f := range found {
		lines = append(lines, f.String())
	}
	return lines
}

func TestFreshMailRootIsFine(t *testing.T) {
	if got := findings(t, fresh(t)); len(got) > 0 {
		t.Errorf("findings %q, want none", got)
	}
}

func TestFindings(t *testing.T) {
	for _, test := range []struct {
		file, content string
		want          []string
	}{
		{"smtprelay.tab", "# fine\n\"10.0.0.0\"|\"255.0.255\"\n\"::1/128\"\n\"192.168.0.0.\"|\"255.255.0.0\"\n\"0.0.0.0\"|\"0.0.0.0\"\n", []string{
			`smtprelay.tab:2: bad netmask "255.0.255"`,
			`smtprelay.tab:4: "192.168.0.0." ends in a dot; it is read as 192.168.0.0`,
			`smtprelay.tab:5: risky: this row lets everybody send mail through the server`,
		}},
		{"ctrl.ipmap.tab", "\"10.0.0.0/8\"|\"ALLOW\"|1\n\"10.0.0.0/8\"|\"\"|\"PERMIT\"|1\n", []string{
			"ctrl.ipmap.tab:1: 3 fields where 4 are needed",
			`ctrl.ipmap.tab:2: permission "PERMIT" is neither ALLOW nor DENY; it denies`,
		}},
		{"pop3.ipmap.tab", "\"10.0.0.0/8\"|\"\"|\"DENY\"|1|\"expires=4000000000\"\n\"10.0.0.0/9\"|\"\"|\"DENY\"|1|\"expires=soon\"\n", []string{
			`pop3.ipmap.tab:2: expires="soon" is no time in seconds since 1970; the row stands for good`,
		}},
		{"spammers.tab", "\"10.0.0.0/8\"|\"code=0,expires=4000000000\"\n\"10.0.0.0\"|\"255.0.0.0\"|\"code=0,expires=soon\"\n", []string{
			`spammers.tab:2: expires="soon" is no time in seconds since 1970; the row stands for good`,
		}},
		{"smtp.ipprot.tab", "\"10.0.0.0/8\"|\"WhiteList=1\"\n", []string{"smtp.ipprot.tab: is not read; the name of the table is smtp.ipprop.tab"}},
		{"mailuser.tab", "", []string{"mailuser.tab: is not read; the name of the table is mailusers.tab"}},
		{"SPAMMERS.TAB", "", []string{"SPAMMERS.TAB: is not read; the name of the table is spammers.tab"}},
		{"webmail.tab", "anything", []string{}},
		{"server.tab", "\"CompatLevel\"|\"1\"\n\"SmtpPerms\"|\"M\"\n\"RootDoman\"|\"a\"\n\"Unheard\"|\"a\"\n\"SmtpConfig-10.0.0.1,25\"|\"MailAuth\"\n" +
			"\"AllowSmtpVRFY\"|\"yes\"\n\"MaxMTAOps\"|\"16x\"\n\"CompatLevel\"|\"0\"\n", []string{
			"server.tab:2: the name of the variable is DefaultSmtpPerms; this one counts as long as that is absent",
			"server.tab:3: unknown variable RootDoman; is RootDomain meant?",
			"server.tab:4: unknown variable Unheard",
			`server.tab:6: AllowSmtpVRFY is "yes", which counts as off; write 1 or 0`,
			`server.tab:7: MaxMTAOps is "16x", which counts as the number 16`,
			"server.tab:8: says again what line 1 says; the first one counts",
		}},
		{"server.tab", "\ufeff\"CompatLevel\"|\"1\"\n", []string{
			"server.tab: risky: CompatLevel is 0: the defaults are those of XMail 1.27, and the control port is open on all addresses unless -CI and -WI say otherwise",
			"server.tab:1: begins with a byte order mark, which counts as part of the first field; save it without",
			"server.tab:1: unknown variable \ufeff\"CompatLevel\"",
		}},
		{"mailusers.tab", "\"example.test\"|\"user\"|\"1d\"|1|\"user\"|\"U\"\n\"example.test\"|\"b\"|\"zz\"|2|\"b\"|\"U\"\n\"other.test\"|\"c\"|\"1d\"|1|\"c\"|\"U\"\n" +
			"\"example.test\"|\"gone\"|\"1d\"|4|\"gone\"|\"U\"\n", []string{
			`mailusers.tab:2: `,
			"mailusers.tab:3: other.test is no domain of domains.tab",
			"mailusers.tab:3: the number 1 is that of line 1",
			"mailusers.tab:4: the folder domains/example.test/gone is missing",
		}},
		{"mailusers.tab", "\"example.test\"|\"user\"|\"1d\"|1|\"user\"|\"U\"\n\"example.test\"|\"bare\"|\"1d\"|2|\"user/Maildir\"|\"U\"\n\"example.test\"|\"list\"|\"1d\"|3|\"user/Maildir\"|\"M\"\n", []string{
			"mailusers.tab:2: domains/example.test/user/Maildir has neither a Maildir nor a mailbox, so mail for it has to wait",
		}},
		{"aliases.tab", "\"example.test\"|\"x\"|\"nobody\"\n\"*\"|\"y\"|\"user\"\n\"example.test\"|\"USER\"|\"user@example.test\"\n", []string{
			"aliases.tab:1: nobody@example.test is no account, so the alias leads nowhere",
			"aliases.tab:3: USER@example.test is an account, which counts before the alias",
		}},
		{"aliasdomain.tab", "\"a.test\"|\"example.test\"\n\"b.test\"|\"other.test\"\n", []string{"aliasdomain.tab:2: other.test is no domain of domains.tab"}},
		{"ctrlaccounts.tab", "\"admin\"|\"secret\"\n", []string{
			"ctrlaccounts.tab: has no account, so nobody can log in at the control port",
			"ctrlaccounts.tab:1: ",
		}},
		{"ctrlrights.tab", "\"gone\"|\"all\"\n\"admin\"|\"example.test,none.test\"\n\"admin\"|\"all,read\"\n", []string{
			"ctrlrights.tab: no control account has all rights",
			"ctrlrights.tab:1: gone is no control account",
			"ctrlrights.tab:2: none.test is no domain of domains.tab",
			"ctrlrights.tab:3: says again what line 2 says; the first one counts",
			"ctrlrights.tab:3: admin has no rights at all: the rights are either all or read",
		}},
		{"ctrlrights.tab", "\"admin\"\n", []string{
			"ctrlrights.tab: no control account has all rights",
			"ctrlrights.tab:1: admin has no rights at all: its row does not say which",
		}},
		{"ctrlrights.tab", "\"Admin\"|\"all,secrets\"\n", []string{}},
		{"custdomains/.tab", "\"redirect\"|\"a.test\"\n", []string{"custdomains/.tab: risky: a catch-all custom domain takes mail for every domain; at CompatLevel 0 that is an open relay"}},
		{"domains/example.test/user/pop3.ipmap.tab", "\"10.0.0.0\"|\"255.0.0.0\"|\"DENY\"\n", []string{"domains/example.test/user/pop3.ipmap.tab:1: 3 fields where 4 are needed"}},
	} {
		dir := fresh(t)
		write(t, dir, test.file, test.content)
		got := findings(t, dir)
		// Where the reason is another package's to word, its place counts.
		for i := range got {
			if i < len(test.want) && strings.HasSuffix(test.want[i], ": ") && strings.HasPrefix(got[i], test.want[i]) {
				got[i] = test.want[i]
			}
		}
		if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%s: findings (-want +got):\n%s", test.file, d)
		}
	}
}

func TestSettingsAloneLeaveTheOtherTables(t *testing.T) {
	dir := fresh(t)
	write(t, dir, "server.tab", "\"Unheard\"|\"a\"\n\"short\"\n")
	write(t, dir, "smtp.hnprot.tab", "")
	write(t, dir, "aliases.tab", "\"broken\"\n")
	found, err := Settings(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, f.String())
	}
	want := []string{
		"server.tab:1: unknown variable Unheard",
		"server.tab:2: 1 fields where 2 are needed",
		"smtp.hnprot.tab: is not read; the name of the table is smtp.hnprop.tab",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("findings (-want +got):\n%s", d)
	}
}

func TestKeyThatOthersCanReadIsARisk(t *testing.T) {
	dir := fresh(t)
	if err := os.Chmod(filepath.Join(dir, "server.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	found, err := MailRoot(t.Context(), dir)
	if err != nil || len(found) != 1 || !found[0].Risk || found[0].File != "server.key" {
		t.Errorf("findings %v, %v, want the risk of server.key alone", found, err)
	}
}

func TestReadmeListsTheVariablesOfOurs(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, settings, found := strings.Cut(string(readme), "\n## Settings of ours\n")
	if !found {
		t.Fatal("README.md has no section on the settings of ours")
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Za-z0-9-]+)` \\|").FindAllStringSubmatch(settings, -1) {
		listed[m[1]] = true
		if _, known := mailroot.LookupServerVar(m[1]); !known {
			t.Errorf("README.md has the variable %s, which is not known here", m[1])
		}
	}
	reference, err := os.ReadFile("../../../docs/reference/tables.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range mailroot.ServerVariables() {
		if !strings.Contains(string(reference), v.Name) && !listed[v.Name] {
			t.Errorf("README.md lacks the variable %s", v.Name)
		}
	}
}

func TestFolderThatIsNoMailRoot(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "absent")} {
		if _, err := MailRoot(t.Context(), dir); err == nil {
			t.Errorf("%s: no error", dir)
		}
	}
}

func TestCommandsAndFilters(t *testing.T) {
	dir := fresh(t)
	plain := filepath.Join(dir, "plain") // no program
	write(t, dir, "plain", "x")
	write(t, dir, "domains/example.test/mailproc.tab", `"mailbox"
"mailboxx"
"smtp"
"external"|"0"|"9"
"external"|"0"|"9"|"/nonexistent/program"|"@@FILE"
"filter"|"0"|"9"|"`+plain+`"
"external"|"0"|"9"|"true"
"redirect"
"external"|"-1"|"9s"|"true"
`)
	write(t, dir, "custdomains/.example.net.tab", "\"smtp\"\n\"mailbox\"\n\"smtprelay\"|\"\"\n")
	write(t, dir, "cmdaliases/example.test/info.tab", "\"redirect\"|\"a@b.test\"\n")
	write(t, dir, "filters.in.tab", "\"*\"|\"*\"|\"0.0.0.0/0\"|\"0.0.0.0/0\"|\"here.tab\"\n\"*\"|\"*\"|\"0.0.0.0/0\"|\"0.0.0.0/0\"|\"gone.tab\"\n")
	write(t, dir, "filters/here.tab", "\"!aex,timo=3\"|\"true\"|\"@@FILE\"\n\"!wlex\"\n\"no-such-program-anywhere\"\n\"$(FROM)\"\n")
	write(t, dir, "filters/unused", "anything")
	write(t, dir, "filters.post-data.tab", "\"/nonexistent/program\"|\"@@FILE\"\n\"true\"\n")
	want := []string{
		"custdomains/.example.net.tab:2: there is no command \"mailbox\" here; the row is skipped",
		"custdomains/.example.net.tab:3: smtprelay needs a host",
		"domains/example.test/mailproc.tab:2: there is no command \"mailboxx\" here; the row is skipped",
		"domains/example.test/mailproc.tab:3: there is no command \"smtp\" here; the row is skipped",
		"domains/example.test/mailproc.tab:4: external needs a priority, a time limit and a program",
		"domains/example.test/mailproc.tab:5: the program cannot be run: stat /nonexistent/program: no such file or directory",
		"domains/example.test/mailproc.tab:6: the program cannot be run: " + plain + ": permission denied",
		"domains/example.test/mailproc.tab:8: redirect needs an address or a domain",
		"domains/example.test/mailproc.tab:9: \"9s\" is no number, and counts as 0",
		"filters.in.tab:2: there is no file filters/gone.tab",
		"filters.post-data.tab:1: the program cannot be run: stat /nonexistent/program: no such file or directory",
		"filters/here.tab:1: there is no flag \"timo\"",
		"filters/here.tab:2: a row without a program",
		"filters/here.tab:3: the program cannot be run: no-such-program-anywhere: executable file not found in $PATH",
	}
	got := findings(t, dir)
	for i, line := range got {
		got[i] = strings.ReplaceAll(line, fs.ErrPermission.Error(), "permission denied")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings differ from those wanted:\n%s", diff)
	}
}
