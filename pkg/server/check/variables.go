package check

import (
	"strconv"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// variables checks the names and values in server.tab.
func (c *checker) variables() {
	given := map[string]bool{}
	for _, r := range c.tables[mailroot.ServerTab] {
		given[r.fields[0]] = true
	}
	for _, r := range c.tables[mailroot.ServerTab] {
		name, value := r.fields[0], r.fields[1]
		v, known := mailroot.LookupServerVar(name)
		switch {
		case known:
			c.value(r.line, v, value)
		case name == "SmtpPerms" && given["DefaultSmtpPerms"]:
			c.report(mailroot.ServerTab, r.line, "SmtpPerms has no effect beside DefaultSmtpPerms")
		case name == "SmtpPerms":
			c.report(mailroot.ServerTab, r.line, "the name of the variable is DefaultSmtpPerms; this one counts as long as that is absent")
		default:
			if right := mailroot.NearestServerVar(name); right != "" {
				c.report(mailroot.ServerTab, r.line, "unknown variable %s; is %s meant?", name, right)
			} else {
				c.report(mailroot.ServerTab, r.line, "unknown variable %s", name)
			}
		}
	}
}

// value reports a value that the server reads otherwise than it looks.
func (c *checker) value(line int, v mailroot.ServerVar, value string) {
	if v.Type != mailroot.VarNumber && v.Type != mailroot.VarFlag || value == "" {
		return
	}
	_, err := strconv.Atoi(strings.TrimSpace(value))
	switch {
	case err == nil:
	case v.Type == mailroot.VarFlag:
		c.report(mailroot.ServerTab, line, "%s is %q, which counts as %s; write 1 or 0", v.Name, value, onOff(value))
	default:
		c.report(mailroot.ServerTab, line, "%s is %q, which counts as the number %d", v.Name, value, mailroot.Atoi(value))
	}
}

func onOff(value string) string {
	if mailroot.Atoi(value) != 0 {
		return "on"
	}
	return "off"
}
