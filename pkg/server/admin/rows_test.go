package admin

import (
	"fmt"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

func TestAliasRefusals(t *testing.T) {
	f := start(t, map[string]string{"aliasdomain.tab": "al.test xmailserver.test\n", "aliases.tab": "d * x\n"})
	ctx := t.Context()
	f.ok(f.DomainAdd(ctx, "foo.test"))
	for _, c := range []struct {
		domain, name, account string
		want                  Kind
	}{
		{"none.test", "bad alias", "nobody", NoRecord},
		{"al.test", "bad alias", "nobody", NoUser},
		{"*", "x", "xmailuser", NoRecord},
		{"foo.test", "x", "xmailuser", NoRecord},
		{"xmailserver.test", "XMAILUSER", "xmailuser", UserExists},
		{"al.test", "xmailuser", "xmailuser", UserExists},
		{"D", "*", "xmailuser@xmailserver.test", AliasExists},
		{"bad dom", "bad alias", "xmailuser@xmailserver.test", BadName},
		{"bad dom", "x", "xmailuser@xmailserver.test", BadDomain},
		{"none.test", "x", "xmailuser@xmailserver.test", NoDomain},
		{"al.test", "x", "xmailuser", fine},
		{"*.none.test", "x", "xmailuser@xmailserver.test", fine},
		{"foo.test", "[a-c]*", "xmailuser@al.test", fine},
	} {
		f.wantKind(f.AliasAdd(ctx, c.domain, c.name, c.account), c.want)
	}
	f.wantKind(f.AliasDel(ctx, "foo.test", "b"), NoAlias)
	f.ok(f.AliasDel(ctx, "FOO.test", "[A-C]*"))
}

func TestAliasDomainRefusals(t *testing.T) {
	f := start(t, map[string]string{"aliasdomain.tab": "al.test xmailserver.test\n"})
	ctx := t.Context()
	f.wantKind(f.AliasDomainAdd(ctx, "al.test", "bad dom"), NoDomain)
	f.wantKind(f.AliasDomainAdd(ctx, "xmailserver.test", "XMAILSERVER.test"), AliasDomainExists)
	f.wantKind(f.AliasDomainAdd(ctx, "xmailserver.test", "AL.test"), AliasDomainExists)
	f.wantKind(f.AliasDomainAdd(ctx, "xmailserver.test", "bad dom"), BadDomain)
	f.ok(f.AliasDomainAdd(ctx, "XMailServer.test", "*.Al.test"))
	f.wantKind(f.DomainAdd(ctx, "x.al.test"), Exists)
	f.wantKind(f.UserAuth(ctx, "x.al.test", "xmailuser", "bad"), WrongPassword)
	f.ok(f.UserAuth(ctx, "x.al.test", "xmailuser", "xmail"))
	f.ok(f.UserPasswd(ctx, "x.al.test", "xmailuser", "new"))
	f.ok(f.UserAuth(ctx, "xmailserver.test", "xmailuser", "new"))
	f.wantKind(f.UserDel(ctx, "x.al.test", "xmailuser"), NoUser)
	f.wantKind(f.AliasDomainDel(ctx, "x.al.test"), NoAliasDomain)
	f.ok(f.AliasDomainDel(ctx, "*.AL.TEST"))
}

func TestExternalAliasRefusals(t *testing.T) {
	f := start(t, nil)
	ctx := t.Context()
	f.ok(f.ExtAliasAdd(ctx, "nobody@none.test", "a@ext.test"))
	for _, c := range []struct {
		local, remote string
		want          Kind
	}{
		{"a", "b", BadAddress},
		{"a@b", "noat", BadAddress},
		{"a@b c", "x@y", BadDomain},
		{"a@b", "@r:x@y", BadMailAddress},
		{"a*@b", "A@EXT.test", ExtAliasExists},
		{"a*@b", "x@y", BadName},
		{"a@b", "x@*", BadDomain},
		{"a@-b", "x@y", BadDomain},
	} {
		f.wantKind(f.ExtAliasAdd(ctx, c.local, c.remote), c.want)
	}
	if _, err := f.ExtAliases("*", "*@*"); kindOf(err) != BadAddress {
		t.Errorf("a pattern without @: %v", err)
	}
	f.wantKind(f.ExtAliasDel(ctx, "b@ext.test"), NoExtAlias)
	f.ok(f.ExtAliasDel(ctx, "A@ext.TEST"))
}

func TestMemberRefusals(t *testing.T) {
	f := start(t, nil)
	ctx := t.Context()
	const domain = "xmailserver.test"
	f.ok(f.UserAdd(ctx, domain, "news", "pw", "M"))
	f.put("domains/xmailserver.test/news/mlusers.tab", "\n# people\n\"old@ext.test\"\n")
	for _, c := range []struct {
		domain, list, address, perms string
		want                         Kind
	}{
		{"none.test", "nobody", "bad", "QQ", NoDomain},
		{domain, "nobody", "bad", "QQ", BadAddress},
		{domain, "nobody", "a@b", "QQ", NoRecord},
		{domain, "xmailuser", "a@b", "QQ", NotList},
		{domain, "news", "OLD@ext.test", "QQ", MemberExists},
		{domain, "news", "a*@b", "QQ", BadName},
		{domain, "news", "a@b", "QQ", Invalid},
		{domain, "news", "a@b", "", Invalid},
		{domain, "news", "a@b", "rw", Invalid},
		{domain, "news", "#a@b", "RWA", fine},
	} {
		f.wantKind(f.MemberAdd(ctx, c.domain, c.list, c.address, c.perms), c.want)
	}
	members, err := f.Members(ctx, domain, "NEWS")
	f.ok(err)
	text := ""
	for m := range members {
		text += m.Address + " " + m.Perms + "\n"
	}
	if want := "old@ext.test RW\n#a@b RWA\n"; text != want {
		t.Errorf("members:\n%swant\n%s", text, want)
	}
	f.wantKind(f.MemberDel(ctx, domain, "news", "none@b"), NoMember)
	f.ok(f.MemberDel(ctx, domain, "news", "old@EXT.test"))
	if got, want := f.read("domains/xmailserver.test/news/mlusers.tab"), "\n# people\n\"#a@b\"\t\"RWA\"\n"; got != want {
		t.Errorf("mlusers.tab %q, want %q", got, want)
	}
}

func TestLinkRefusalsAndStates(t *testing.T) {
	f := start(t, map[string]string{"pop3links.tab": "#links\n\nxmailserver.test gone pop.test x 1512 CLR\n"})
	ctx := t.Context()
	const domain = "xmailserver.test"
	good := NewLink{domain, "xmailuser", "pop.test", "me", "pw", "CLR"}
	f.ok(f.LinkAdd(ctx, good))
	with := func(change func(*NewLink)) NewLink {
		n := good
		n.RemoteName = "other"
		change(&n)
		return n
	}
	for _, c := range []struct {
		link NewLink
		want Kind
	}{
		{NewLink{"XMAILSERVER.test", "XMailUser", "POP.test", "ME", "\x01", "WHAT"}, LinkExists},
		{with(func(n *NewLink) { n.Domain, n.Options = "none.test", "WHAT" }), NoDomain},
		{with(func(n *NewLink) { n.Name, n.Options = "nobody", "WHAT" }), NoRecord},
		{with(func(n *NewLink) { n.Options = "WHAT" }), Invalid},
		{with(func(n *NewLink) { n.Options = "clr" }), Invalid},
		{with(func(n *NewLink) { n.Options = "APOP,OutBind=host" }), Invalid},
		{with(func(n *NewLink) { n.Options = "" }), Invalid},
		{with(func(n *NewLink) { n.Host = "../x" }), Invalid},
		{with(func(n *NewLink) { n.Host = "" }), Invalid},
		{with(func(n *NewLink) { n.RemoteName = "a\x01" }), Invalid},
		{with(func(n *NewLink) { n.RemoteName = strings.Repeat("x", 300) }), Invalid},
		{with(func(n *NewLink) { n.Password = "a\x01" }), Invalid},
		{with(func(n *NewLink) { n.Options = "STLS,Leave=1,OutBind=::1" }), fine},
		{with(func(n *NewLink) { n.RemoteName, n.Host = `../../d\m/x`, "[::1]:110" }), fine},
		{with(func(n *NewLink) { n.Domain, n.Name = "?new.test,a.test", "any" }), fine},
	} {
		f.wantKind(f.LinkAdd(ctx, c.link), c.want)
	}
	states := func() string {
		text := ""
		for l := range f.Links() {
			text += fmt.Sprintf("%s/%s/%s %v\n", l.Domain, l.Host, l.RemoteName, l.On)
		}
		return text
	}
	f.wantKind(f.LinkEnable(ctx, false, domain, "nobody"), NoLink)
	f.ok(f.LinkEnable(ctx, false, domain, "xmailuser", "[::1]:110"))
	f.ok(f.LinkEnable(ctx, false, "?new.test,a.test", "any"))
	want := `xmailserver.test/pop.test/x false
xmailserver.test/pop.test/me true
xmailserver.test/pop.test/other true
xmailserver.test/[::1]:110/../../d\m/x false
?new.test,a.test/pop.test/other false
`
	if got := states(); got != want {
		t.Errorf("links:\n%swant\n%s", got, want)
	}
	f.wantKind(f.LinkEnable(ctx, true, domain, "gone"), NoRecord)
	f.ok(f.LinkEnable(ctx, true, "?new.test,a.test", "any"))
	f.ok(f.LinkDel(ctx, domain, "xmailuser", "[::1]:110", `../../d\m/x`))
	f.ok(f.LinkDel(ctx, domain, "gone", "pop.test", "x"))
	if got := f.names("pop3links"); len(got) > 0 {
		t.Errorf("left in pop3links: %q", got)
	}
	if got := f.names("domains/xmailserver.test/xmailuser"); strings.Contains(strings.Join(got, " "), "disabled") {
		t.Errorf("left in the account's folder: %q", got)
	}
	if got := f.read("pop3links.tab"); !strings.HasPrefix(got, "#links\n\n\"") {
		t.Errorf("comments are lost: %q", got)
	}
}

func TestUserVariables(t *testing.T) {
	f := start(t, nil)
	ctx := t.Context()
	const domain, user, file = "xmailserver.test", "xmailuser", "domains/xmailserver.test/xmailuser/user.tab"
	f.put(file, "# mine\r\n\"A\"\t\"1\"\r\nbroken\r\n\"B\"\t\"2\"\r\n\"A\"\t\"3\"\r\n")
	f.wantKind(f.SetUserVars(ctx, "none.test", "x", Setting{"", ""}), NoDomain)
	f.wantKind(f.SetUserVars(ctx, domain, "nobody", Setting{"", ""}), NoRecord)
	f.unchanged("uservarsset", func() {
		f.wantKind(f.SetUserVars(ctx, domain, user, Setting{"C", "1"}, Setting{"", "x"}), Invalid)
		f.wantKind(f.SetUserVars(ctx, domain, user, Setting{"C", "1"}, Setting{"D", "a\x01"}), Invalid)
		f.wantKind(f.SetUserVars(ctx, domain, user, Setting{"C", strings.Repeat("x", 3000)}), Invalid)
		f.wantKind(f.SetUserVars(ctx, domain, user, Setting{"C", `"both\`}), Invalid)
	})
	f.ok(f.SetUserVars(ctx, domain, user, Setting{"A", `C:\`}, Setting{"Never", RemoveVar}, Setting{"D", ""}, Setting{"D", "5"}, Setting{"#", "x"}))
	want := "# mine\r\n\"A\"\tC:\\\r\nbroken\r\n\"B\"\t\"2\"\r\n\"A\"\t\"3\"\r\n\"D\"\t\"5\"\r\n\"#\"\t\"x\"\r\n"
	if got := f.read(file); got != want {
		t.Errorf("user.tab %q, want %q", got, want)
	}
	vars, err := f.UserVars(ctx, domain, user)
	f.ok(err)
	text := ""
	for v := range vars {
		text += v.Name + "=" + v.Value + " "
	}
	if want := `A=C:\ B=2 A=C:\ D=5 #=x `; text != want {
		t.Errorf("variables %q, want %q", text, want)
	}
	f.ok(f.SetUserVars(ctx, domain, user, Setting{"A", RemoveVar}))
	if got := f.read(file); strings.Contains(got, `"A"`) {
		t.Errorf("A is still there: %q", got)
	}
}

func TestVariablesOfAnAccountWithoutTable(t *testing.T) {
	f := start(t, nil)
	ctx := t.Context()
	const file = "domains/xmailserver.test/news/user.tab"
	f.ok(f.UserAdd(ctx, "xmailserver.test", "news", "", "M"))
	f.ok(f.update(ctx, func(tx *mailroot.Tx) error { return tx.RemoveFile(file) }))
	vars, err := f.UserVars(ctx, "xmailserver.test", "news")
	f.ok(err)
	for v := range vars {
		t.Errorf("variable %v where there is no table", v)
	}
	f.ok(f.SetUserVars(ctx, "xmailserver.test", "news", Setting{"A", "1"}, Setting{"B", "2"}, Setting{"A", "3"}, Setting{"B", RemoveVar}))
	if got, want := f.read(file), "\"A\"\t\"3\"\n"; got != want {
		t.Errorf("user.tab %q, want %q", got, want)
	}
}

func TestListsMatchPatterns(t *testing.T) {
	f := start(t, nil)
	ctx := t.Context()
	f.ok(f.DomainAdd(ctx, "foo.test"))
	for _, name := range []string{"zoe", "Ann", "bob"} {
		f.ok(f.UserAdd(ctx, "foo.test", name, "pw", "U"))
	}
	for _, c := range []struct{ domain, name, want string }{
		{"*", "*", "xmailuser zoe Ann bob "},
		{"foo.test", "*", "zoe Ann bob "},
		{"FOO.test", "a*", "Ann "},
		{"foo.*", "*b", "bob "},
		{"foo.test", "ann", "Ann "},
		{"foo.test", `\ann`, "Ann "},
		{`foo\.test`, "ann", "Ann "},
		{"foo.test", "[a-b]*", "Ann bob "},
		{"none.test", "*", ""},
	} {
		got := ""
		for u := range f.Users(c.domain, c.name) {
			got += u.Name + " "
		}
		if got != c.want {
			t.Errorf("users that match %s %s: %q, want %q", c.domain, c.name, got, c.want)
		}
	}
}
