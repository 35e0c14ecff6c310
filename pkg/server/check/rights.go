package check

import (
	"errors"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// rights checks what ctrlrights.tab says of the control accounts.
func (c *checker) rights() {
	accounts, full := make(map[string]bool), make(map[string]bool) // full: those with all rights
	for _, r := range c.tables[mailroot.AccountsTab] {
		name := tabfile.Fold(r.fields[0])
		accounts[name], full[name] = true, true
	}
	domains := make(map[string]bool)
	for _, r := range c.tables[mailroot.DomainsTab] {
		domains[tabfile.Fold(r.fields[0])] = true
	}
	seen := make(map[string]bool)
	for _, row := range c.tables[mailroot.RightsTab] {
		name := tabfile.Fold(row.fields[0])
		if !accounts[name] {
			c.report(mailroot.RightsTab, row.line, "%s is no control account", row.fields[0])
		}
		rights, err := parseRights(row.fields)
		if err != nil {
			c.report(mailroot.RightsTab, row.line, "%s has no rights at all: %v", row.fields[0], err)
		}
		for _, domain := range rights.Domains {
			if !domains[domain] {
				c.report(mailroot.RightsTab, row.line, "%s is no domain of domains.tab", domain)
			}
		}
		if !seen[name] {
			seen[name] = true
			if !rights.All {
				delete(full, name)
			}
		}
	}
	if len(full) == 0 && len(c.tables[mailroot.AccountsTab]) > 0 {
		c.report(mailroot.RightsTab, 0, "no control account has all rights")
	}
}

func parseRights(fields []string) (mailroot.Rights, error) {
	if len(fields) < 2 {
		return mailroot.Rights{}, errors.New("its row does not say which")
	}
	return mailroot.ParseRights(fields[1])
}
