package mailroot

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRights(t *testing.T) {
	for _, c := range []struct {
		text string
		want Rights
		out  string
	}{
		{"all", Rights{All: true}, "all"},
		{"read", Rights{Read: true}, "read"},
		{"All, Secrets", Rights{All: true, Secrets: true}, "all,secrets"},
		{"secrets,read", Rights{Read: true, Secrets: true}, "read,secrets"},
		{"secrets", Rights{All: true, Secrets: true}, "all,secrets"},
		{"B.test,a.test,b.TEST", Rights{Domains: []string{"b.test", "a.test"}}, "b.test,a.test"},
	} {
		got, err := ParseRights(c.text)
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%q: %v, -want +got\n%s", c.text, err, diff)
		}
		if got.String() != c.out {
			t.Errorf("%q is written %q, want %q", c.text, got, c.out)
		}
	}
	for _, text := range []string{"", ",", "all,", "all,read", "all,a.test", "a.test,secrets", "*.test", "a test"} {
		if got, err := ParseRights(text); err == nil {
			t.Errorf("%q is taken for %+v, want an error", text, got)
		}
	}
}

func TestRightsOwnTheirDomainsOnly(t *testing.T) {
	own := Rights{Domains: []string{"own.test"}}
	for domain, want := range map[string]bool{"own.test": true, "OWN.test": true, "x.own.test": false, "*": false, "own.*": false, "": false, "@own.test": false} {
		if own.Owns(domain) != want {
			t.Errorf("own.test owns %q: %v, want %v", domain, !want, want)
		}
	}
	if (Rights{Read: true}).Owns("own.test") || !(Rights{All: true}).Owns("own.test") {
		t.Error("only the right to all owns every domain")
	}
}

func TestRightsOfAccounts(t *testing.T) {
	r := rootWith(t, map[string]string{
		"ctrlaccounts.tab": "\"admin\"\t\"16\"\n\"Keeper\"\t\"16\"\t\"secrets\"\n\"bob\"\t\"16\"\n\"eve\"\t\"16\"\n\"joe\"\t\"16\"\n\"kim\"\t\"16\"\t\"secrets\"\n",
		"ctrlrights.tab":   "\"bob\"\t\"own.test\"\n\"EVE\"\n\"joe\"\t\"everything!\"\t\"all\"\n\"kim\"\t\"all\"\n\"gone\"\t\"all\"\n\"bob\"\t\"all\"\n",
	})
	for name, want := range map[string]Rights{
		"Admin":  {All: true},
		"keeper": {All: true, Secrets: true},
		"bob":    {Domains: []string{"own.test"}},
		"eve":    {},
		"joe":    {Domains: []string{"everything!"}},
		"kim":    {All: true},
		"gone":   {},
	} {
		if diff := cmp.Diff(want, r.RightsOf(name)); diff != "" {
			t.Errorf("rights of %s: -want +got\n%s", name, diff)
		}
	}
	if !r.HasFullAdministrator() {
		t.Error("nobody has all rights, want admin")
	}
	if problems := r.Problems(); len(problems) > 0 {
		t.Errorf("problems %v, want none: a row that is not read would give all rights", problems)
	}
}

func TestTablesWithinDomainsLeadNowhereElse(t *testing.T) {
	const pw = "\"16\""
	r := rootWith(t, map[string]string{
		"domains.tab":     "\"own.test\"\n\"foo.test\"\n",
		"aliasdomain.tab": "\"*.test\"\t\"foo.test\"\n",
		"aliases.tab":     "\"own.test\"\t\"out\"\t\"joe@foo.test\"\n\"own.test\"\t\"in\"\t\"ann\"\n",
		"mailusers.tab":   "\"own.test\"\t\"ann\"\t" + pw + "\t1\t\"ann\"\t\"U\"\n\"foo.test\"\t\"joe\"\t" + pw + "\t2\t\"joe\"\t\"U\"\n",
	})
	within := r.Within(Rights{Domains: []string{"own.test"}}.Owns)
	for _, c := range []struct {
		name          string
		login, mail   bool // for everybody
		login1, mail1 bool // within own.test
	}{
		{"ann", true, true, true, true},
		{"in", false, true, false, true},
		{"out", false, true, false, false},
		{"joe", true, true, false, false},
	} {
		var got []string
		for _, tables := range []Tables{r.Tables, within} {
			_, login := tables.Login("own.test", c.name)
			_, mail := tables.Resolve("own.test", c.name)
			for _, ok := range []bool{login, mail} {
				got = append(got, map[bool]string{true: "yes", false: "no"}[ok])
			}
		}
		var want []string
		for _, ok := range []bool{c.login, c.mail, c.login1, c.mail1} {
			want = append(want, map[bool]string{true: "yes", false: "no"}[ok])
		}
		if diff := cmp.Diff(strings.Join(want, " "), strings.Join(got, " ")); diff != "" {
			t.Errorf("%s@own.test found by login, mail, and both within the domain: -want +got\n%s", c.name, diff)
		}
	}
}
