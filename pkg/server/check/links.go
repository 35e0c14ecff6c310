package check

import (
	"io/fs"
	"net/netip"
	"path"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// links checks what tables say of each other and of folders.
func (c *checker) links() {
	domains := map[string]bool{}
	for _, r := range c.tables[mailroot.DomainsTab] {
		name := tabfile.Fold(r.fields[0])
		domains[name] = true
		if folder := "domains/" + name; fs.ValidPath(folder) && !c.exists(folder) {
			c.report(mailroot.DomainsTab, r.line, "the folder %s is missing", folder)
		}
	}
	for _, r := range c.tables[mailroot.AliasDomainTab] {
		if real := tabfile.Fold(r.fields[1]); !domains[real] {
			c.report(mailroot.AliasDomainTab, r.line, "%s is no domain of domains.tab", real)
		}
	}
	users := map[string]bool{}
	ids := map[string]int{}
	for _, r := range c.tables[mailroot.UsersTab] {
		domain, name, dir := tabfile.Fold(r.fields[0]), tabfile.Fold(r.fields[1]), r.fields[4]
		users[domain+"\t"+name] = true
		if !domains[domain] {
			c.report(mailroot.UsersTab, r.line, "%s is no domain of domains.tab", domain)
		} else if folder := path.Join("domains", domain, dir); !fs.ValidPath(folder) || !c.exists(folder) {
			c.report(mailroot.UsersTab, r.line, "the folder %s is missing", folder)
		} else if list := (mailroot.User{Type: r.fields[5]}).IsList(); !list && !c.exists(path.Join(folder, "Maildir")) && !c.exists(path.Join(folder, "mailbox")) {
			c.report(mailroot.UsersTab, r.line, "%s has neither a Maildir nor a mailbox, so mail for it has to wait", folder)
		}
		if first, twice := ids[r.fields[3]]; twice {
			c.report(mailroot.UsersTab, r.line, "the number %s is that of line %d", r.fields[3], first)
		} else {
			ids[r.fields[3]] = r.line
		}
	}
	for _, r := range c.tables[mailroot.AliasesTab] {
		domain, alias, target := r.fields[0], r.fields[1], r.fields[2]
		name, at, full := strings.Cut(target, "@")
		if !full {
			at = domain
		}
		if tabfile.HasWildcard(at) {
			continue // the domain is that of the address looked up
		}
		if !users[tabfile.Fold(at)+"\t"+tabfile.Fold(name)] {
			c.report(mailroot.AliasesTab, r.line, "%s is no account, so the alias leads nowhere", name+"@"+at)
		}
		if users[tabfile.Fold(domain)+"\t"+tabfile.Fold(alias)] {
			c.report(mailroot.AliasesTab, r.line, "%s@%s is an account, which counts before the alias", alias, domain)
		}
	}
}

// risks reports settings that endanger the server or others, and are not faults.
func (c *checker) risks() {
	if len(c.tables[mailroot.AccountsTab]) == 0 {
		c.report(mailroot.AccountsTab, 0, "has no account, so nobody can log in at the control port")
	}
	level := 0
	for _, r := range c.tables[mailroot.ServerTab] {
		if r.fields[0] == "CompatLevel" {
			level = mailroot.Atoi(r.fields[1])
			break
		}
	}
	if level == 0 {
		c.risk(mailroot.ServerTab, 0, "CompatLevel is 0: the defaults are those of XMail 1.27, and the control port is open on all addresses unless -CI and -WI say otherwise")
	}
	for _, r := range c.tables["smtprelay.tab"] {
		mask := ""
		if len(r.fields) > 1 {
			mask = r.fields[1]
		}
		rule, err := tabfile.ParseAddrRule(r.fields[0], mask)
		if err == nil && rule.Matches(netip.MustParseAddr("192.0.2.1")) && rule.Matches(netip.MustParseAddr("198.51.100.1")) {
			c.risk("smtprelay.tab", r.line, "this row lets everybody send mail through the server")
		}
	}
	if c.exists("custdomains/.tab") {
		c.risk("custdomains/.tab", 0, "a catch-all custom domain takes mail for every domain; at CompatLevel 0 that is an open relay")
	}
}
