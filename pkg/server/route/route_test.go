package route_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/route"
)

func TestAddressesLeadWhereTheTablesSay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "MailRoot")
	if err := mailroot.Create(dir, mailroot.NewRoot{Domains: []string{"foo.test"}, Account: "ann", AccountPassword: "a", Admin: "x", AdminPassword: "x"}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"mailusers.tab": `"foo.test"` + "\t\"ann\"\t\"04\"\t1\t\"ann\"\t\"U\"\n" + `"foo.test"` + "\t\"news\"\t\"04\"\t2\t\"news\"\t\"M\"\n" +
			`"foo.test"` + "\t\"robot\"\t\"04\"\t3\t\"robot\"\t\"U\"\n",
		"aliases.tab":                   `"foo.test"` + "\t\"help*\"\t\"ann\"\n",
		"aliasdomain.tab":               `"alias.test"` + "\t\"foo.test\"\n",
		"cmdaliases/foo.test/robot.tab": `"external"` + "\n",
		"custdomains/.part.test.tab":    `"redirect"` + "\n",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := mailroot.Open(t.Context(), dir, mailroot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, c := range []struct {
		name, domain string
		kind         route.Kind
		address      string
		file         string
	}{
		{"ann", "foo.test", route.User, "ann@foo.test", ""},
		{"ANN", "Foo.Test", route.User, "ann@foo.test", ""},
		{"ann", "alias.test", route.User, "ann@foo.test", ""},
		{"helpdesk", "alias.test", route.User, "ann@foo.test", ""},
		{"news", "foo.test", route.List, "news@foo.test", ""},
		{"nobody", "foo.test", route.NoUser, "", ""},
		{"Robot", "alias.test", route.CommandAlias, "", "cmdaliases/foo.test/robot.tab"},
		{"../../../etc/x", "foo.test", route.NoUser, "", ""},
		{"x", "sub.part.test", route.CustomDomain, "", "custdomains/.part.test.tab"},
		{"x", "part.test", route.Remote, "", ""},
		{"x", "../etc.part.test", route.Remote, "", ""},
		{"x", "else.test", route.Remote, "", ""},
		{"x\x00y", "foo.test", route.NoUser, "", ""},
	} {
		r, err := route.Find(root, c.name, c.domain)
		if err != nil {
			t.Errorf("%s@%s: %v", c.name, c.domain, err)
			continue
		}
		if r.Kind != c.kind || r.Address() != c.address || r.File != c.file {
			t.Errorf("%s@%s leads to %v %q %q, want %v %q %q", c.name, c.domain, r.Kind, r.Address(), r.File, c.kind, c.address, c.file)
		}
	}
}
