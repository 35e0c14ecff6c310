package commands

import (
	"bufio"
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

var update = flag.Bool("update", false, "write the files that are made from the table")

func TestNamesAreSortedAndUnique(t *testing.T) {
	commands := All()
	for i := range commands[1:] {
		if commands[i].Name >= commands[i+1].Name {
			t.Errorf("%q is before %q", commands[i].Name, commands[i+1].Name)
		}
	}
	if n := len(slices.Concat(tables...)); len(commands) != n {
		t.Errorf("All has %d commands, the tables %d", len(commands), n)
	}
}

func TestLookupFindsWhatAllHas(t *testing.T) {
	for _, c := range All() {
		// The second time it is remembered.
		for _, name := range []string{c.Name, strings.ToUpper(c.Name)} {
			if got, ok := Lookup(name); !ok || !cmp.Equal(got, c) {
				t.Errorf("Lookup(%q) is %v, %t; want %v", name, got, ok, c)
			}
		}
	}
	if c, ok := Lookup("nosuch"); ok {
		t.Errorf("Lookup found %v by the name of no command", c)
	}
}

// The 43 commands of the reference, control-protocol.md 0.
const reference = `useradd userdel userpasswd uservars uservarsset userlist usergetmproc usersetmproc userauth
userstat aliasadd aliasdel aliaslist exaliasadd exaliasdel exaliaslist mluseradd mluserdel mluserlist domainadd
domaindel domainlist custdomget custdomset custdomlist poplnkadd poplnkdel poplnklist poplnkenable filelist
cfgfileget cfgfileset frozlist frozsubmit frozdel frozgetlog frozgetmsg aliasdomainadd aliasdomaindel
aliasdomainlist etrn noop quit`

func TestEveryCommandOfTheReferenceIsThere(t *testing.T) {
	names := strings.Fields(reference)
	if len(names) != 43 {
		t.Fatalf("%d names of the reference, want 43", len(names))
	}
	ours := 0
	for _, c := range All() {
		if c.Ours {
			ours++
		} else if !slices.Contains(names, c.Name) {
			t.Errorf("%s is not a command of the reference and not marked as ours", c.Name)
		}
	}
	for _, name := range names {
		if _, ok := Lookup(name); !ok {
			t.Errorf("%s is missing", name)
		}
	}
	if got, want := len(All())-ours, len(names); got != want {
		t.Errorf("%d commands of the reference, want %d", got, want)
	}
}

func TestEveryTableEntryIsComplete(t *testing.T) {
	for _, c := range All() {
		if c.Meaning == "" || strings.ContainsAny(c.Meaning, "\"\t\n") || !strings.HasSuffix(c.Meaning, ".") {
			t.Errorf("%s: meaning %q", c.Name, c.Meaning)
		}
		if c.Kind != List && len(c.Rows) > 0 {
			t.Errorf("%s: columns without a list", c.Name)
		}
		for _, code := range c.Codes {
			if strings.HasPrefix(code.Text(), "error ") {
				t.Errorf("%s: code %v has no text", c.Name, code)
			}
			if slices.Contains(Common(), code) {
				t.Errorf("%s: code %v is one of every command", c.Name, code)
			}
		}
	}
	for key := range values {
		name, arg, _ := strings.Cut(key, " ")
		if c, ok := Lookup(name); !ok || c.arg(arg) < 0 {
			t.Errorf("values of %q: no such argument", key)
		}
	}
}

// exchanges calls f for each command line of the recorded exchanges that is sent in a
// session, with its reply.
func exchanges(t *testing.T, f func(file string, fields []string, reply string)) {
	files, err := filepath.Glob("../../../testdata/conformance/control/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded exchanges: %v", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var fields []string
		noauth := false
		for s := bufio.NewScanner(bytes.NewReader(content)); s.Scan(); {
			line := s.Text()
			switch {
			case strings.HasPrefix(line, "! conn"):
				noauth = strings.Contains(line, "noauth")
			case strings.HasPrefix(line, "> ") && !noauth:
				fields = nil
				for f := range strings.SplitSeq(line[2:], `\t`) {
					if f != "" {
						fields = append(fields, strings.Trim(f, `"`))
					}
				}
			case strings.HasPrefix(line, "< ") && len(fields) > 0:
				f(filepath.Base(file), fields, line[2:])
				fields = nil
			}
		}
	}
}

func TestRecordedCommandsAreInTheTable(t *testing.T) {
	unknown := []string{"nosuchcommand", "frozget"}
	n := 0
	exchanges(t, func(file string, fields []string, reply string) {
		n++
		c, ok := Lookup(fields[0])
		if !ok {
			if !slices.Contains(unknown, fields[0]) {
				t.Errorf("%s: %s is not in the table", file, fields[0])
			}
			return
		}
		err := c.CheckArgs(fields[1:])
		if refused := strings.HasPrefix(reply, "-00103"); refused != (err != nil) {
			t.Errorf("%s: %q was answered %q, CheckArgs says %v", file, fields, reply, err)
		}
		if n := len(reply); n > 6 && reply[0] == '-' && reply[:6] != "-00103" {
			if !slices.ContainsFunc(c.Codes, func(code ctrl.Code) bool { return code.String() == reply[:6] }) {
				t.Errorf("%s: %q was answered %q, which the table does not have", file, fields, reply)
			}
		}
		want := map[Kind]string{Plain: "+00000", List: "+00100", Upload: "+00101"}[c.Kind]
		if reply[0] == '+' && reply[:6] != want {
			t.Errorf("%s: %q was answered %q, its kind is %s", file, fields, reply, c.Kind)
		}
	})
	if n < 200 {
		t.Errorf("%d exchanges found, want more", n)
	}
}

// Numbers of arguments that are taken and refused, control-protocol.md 3.0.
func TestNumbersOfArguments(t *testing.T) {
	const many = 9
	for _, c := range []struct {
		names string
		taken []int
	}{
		{"useradd poplnkdel", []int{4}},
		{"userdel uservars userstat mluserlist filelist exaliasadd aliasdel aliasdomainadd", []int{2}},
		{"userpasswd userauth aliasadd mluserdel", []int{3}},
		{"uservarsset", []int{4, 6, 8}},
		{"userlist poplnklist exaliaslist aliasdomainlist", []int{0, 1, 2}},
		{"aliaslist", []int{0, 1, 2, 3}},
		{"usergetmproc usersetmproc", []int{2, 3, 4, 5, 6, 7, 8, 9}},
		{"mluseradd poplnkenable frozsubmit frozdel frozgetlog frozgetmsg", []int{3, 4, 5, 6, 7, 8, 9}},
		{"exaliasdel aliasdomaindel domainadd domaindel custdomget custdomset cfgfileget", []int{1}},
		{"cfgfileset", []int{1, 2}},
		{"custdomlist noop quit sync", []int{0}},
		{"help", []int{0, 1}},
		{"poplnkadd", []int{6}},
		{"frozlist domainlist", []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"etrn try", []int{1, 2, 3, 4, 5, 6, 7, 8, 9}},
	} {
		for name := range strings.FieldsSeq(c.names) {
			command, _ := Lookup(name)
			for n := range many + 1 {
				err := command.CheckArgs(make([]string, n))
				if want := slices.Contains(c.taken, n); want != (err == nil) {
					t.Errorf("%s with %d arguments: error %v, want taken: %v", name, n, err, want)
				}
			}
		}
	}
}

func TestUsage(t *testing.T) {
	for name, want := range map[string]string{
		"noop":         "noop",
		"useradd":      "useradd domain user password type [stored]",
		"aliaslist":    "aliaslist [domain-pattern [alias-pattern [account-pattern]]]",
		"uservarsset":  "uservarsset domain user (name value)...",
		"etrn":         "etrn pattern...",
		"domainlist":   "domainlist [pattern...]",
		"try":          "try command [argument...]",
		"poplnkenable": "poplnkenable enable domain user [remote-host [remote-user]]",
	} {
		c, _ := Lookup(name)
		if got := c.Usage(); got != want {
			t.Errorf("usage %q, want %q", got, want)
		}
	}
	c, _ := Lookup("useradd")
	want := "useradd: too few arguments, usage: useradd domain user password type [stored]"
	if err := c.CheckArgs([]string{"a"}); err == nil || err.Error() != want {
		t.Errorf("CheckArgs: %v, want %s", err, want)
	}
}

func TestLookupIgnoresCase(t *testing.T) {
	if c, ok := Lookup("UserAdd"); !ok || c.Name != "useradd" {
		t.Errorf("Lookup(UserAdd) = %q, %v", c.Name, ok)
	}
	for _, name := range []string{"", "useradd ", "usera", "\u212Anoop"} {
		if c, ok := Lookup(name); ok {
			t.Errorf("Lookup(%q) = %q", name, c.Name)
		}
	}
}

func TestHelpRowsRebuildTheCommand(t *testing.T) {
	for _, want := range All() {
		row := want.HelpRow()
		if len(row) != len(HelpColumns()) {
			t.Errorf("%s: %d columns, want %d", want.Name, len(row), len(HelpColumns()))
		}
		if n := len(strings.Join(row, "\"\t\"")); n > 1000 { // clients have small buffers
			t.Errorf("%s: a row of %d bytes", want.Name, n)
		}
		for _, field := range row {
			if strings.ContainsAny(field, "\"\t\r\n\x00") {
				t.Errorf("%s: a list cannot hold the field %q", want.Name, field)
			}
		}
		got, err := ParseHelpRow(append(row, "a column of the future"))
		if err != nil {
			t.Errorf("%s: %v", want.Name, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", want.Name, diff)
		}
	}
}

func TestMalformedHelpRowsAreErrors(t *testing.T) {
	c, _ := Lookup("useradd")
	for i, bad := range map[int]string{1: "a ] b", 3: "x", 4: "", 9: "-00x"} {
		row := c.HelpRow()
		row[i] = bad
		if _, err := ParseHelpRow(row); err == nil {
			t.Errorf("column %d with %q: no error", i, bad)
		}
	}
	if _, err := ParseHelpRow([]string{"useradd"}); err == nil {
		t.Error("a short row: no error")
	}
}

func TestSecretsAreMasked(t *testing.T) {
	for _, c := range []struct{ name, args, want string }{
		{"useradd", "d u secret U", "d u * U"},
		{"USERPASSWD", "d u secret", "d u *"},
		{"userauth", "d u secret", "d u *"},
		{"poplnkadd", "d u h r secret CLR", "d u h r * CLR"},
		{"try", "useradd d u secret U", "useradd d u * U"},
		{"try", "try useradd d u secret U", "try useradd d u * U"},
		{"userdel", "d u", "d u"},
		{"userdel", "d u x", "d u x"},
		{"useradd", "d secret", "d *"},
		{"useradd", "d u my secret U", "d * * * *"},
		{"userad", "d u secret U", "* * * *"},
		{"admin", "secret", "*"},
		{"ctrluserpasswd", "a secret", "a *"},
		{"ctrluserpasswd", "secret", "*"},
		{"try", "admin secret", "admin *"},
		{"userlist", "d u", "d u"},
	} {
		if got := strings.Join(Mask(c.name, strings.Fields(c.args)), " "); got != c.want {
			t.Errorf("Mask(%s, %s) = %s, want %s", c.name, c.args, got, c.want)
		}
	}
	if got := Mask("noop", nil); len(got) != 0 {
		t.Errorf("Mask(noop) = %q", got)
	}
	if got := Mask("try", nil); len(got) != 0 {
		t.Errorf("Mask(try) = %q", got)
	}
}

func TestDetailRows(t *testing.T) {
	c, _ := Lookup("mluserdel")
	want := [][]string{
		{"usage", "mluserdel domain list address"},
		{"meaning", "Removes a member from a mailing list."},
		{"kind", "plain"}, {"min", "3"}, {"max", "3"},
		{"right", "change", "full administrators, and those of the domain"},
		{"argument", "domain", "required"}, {"argument", "list", "required"}, {"argument", "address", "required"},
		{"code", "-00012", "no such user"},
	}
	if diff := cmp.Diff(want, c.DetailRows()[:len(want)]); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestManualIsCurrent(t *testing.T) {
	const file = "../../../docs/commands.md"
	if *update {
		if err := os.WriteFile(file, []byte(Markdown()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Markdown(), strings.ReplaceAll(string(got), "\r\n", "\n")); diff != "" {
		t.Errorf("%s is not made from the table as it is now; run go test ./pkg/ctrl/commands -update. -want +got\n%s", file, diff)
	}
}

func TestKeywordIsThereOrNot(t *testing.T) {
	for _, test := range []struct {
		args  string
		taken bool
	}{
		{"useradd d u p U", true},
		{"useradd d u p U stored", true},
		{"useradd d u p U extra", false},
		{"useradd d u p U STORED", false},
		{"useradd d u p U stored stored", false},
		{"userpasswd d u p stored", true},
		{"userpasswd d u p extra", false},
		{"userrename d u n", true},
		{"userrename d u n keep-alias", true},
		{"userrename d u n keep", false},
		{"userdisable d u receive", true},
		{"userdisable d u why receive", true},
		{"userdisable d u why not", false},
	} {
		words := strings.Fields(test.args)
		c, _ := Lookup(words[0])
		if err := c.CheckArgs(words[1:]); (err == nil) != test.taken {
			t.Errorf("%s: error %v, want taken: %v", test.args, err, test.taken)
		}
	}
	if got := strings.Join(Mask("useradd", []string{"d", "u", "secret", "U", "stored"}), " "); got != "d u * U stored" {
		t.Errorf("mask of a stored password: %s", got)
	}
}
