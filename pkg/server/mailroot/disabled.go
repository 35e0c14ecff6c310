package mailroot

import (
	"fmt"
	"strings"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// The variables of a disabled account in its user.tab. The first one is there as
// long as the account is disabled. The second one says what the variables were
// before that disabling it changed: NAME=VALUE with commas between them, NAME
// alone for one that was absent.
const (
	VarDisabled       = "Disabled"
	VarDisabledBefore = "DisabledBefore"
)

// Disabled says whether an account is disabled: nobody logs in to POP3 or SMTP by
// it, and a login to POP3 opens nothing for SMTP.
type Disabled struct {
	On     bool
	Reason string // what the administrator gave, or ""
	NoMail bool   // it gets no mail either
}

// Disabled returns whether an account is disabled.
func (t Tables) Disabled(u User) (Disabled, error) {
	vars, err := t.UserVars(u)
	if err != nil {
		return Disabled{}, fmt.Errorf("variables of %s@%s: %w", u.Name, u.Domain, err)
	}
	return vars.Disabled(), nil
}

// Disabled reads the variables of an account.
func (v Variables) Disabled() Disabled {
	var d Disabled
	if d.Reason, d.On = v.Lookup(VarDisabled); !d.On {
		return d
	}
	before, _ := v.Lookup(VarDisabledBefore)
	for item := range strings.SplitSeq(before, ",") {
		name, _, _ := strings.Cut(item, "=")
		d.NoMail = d.NoMail || name == "ReceiveEnable"
	}
	return d
}

// VariableIn returns the value of a variable in the text of a user.tab, or "".
func VariableIn(text []byte, name string) string {
	for line := range strings.Lines(string(text)) {
		line = tabfile.TrimEnd(line)
		if tabfile.IsComment(line) {
			continue
		}
		if f := tabfile.Split(line); len(f) == 2 && f[0] == name {
			return f[1]
		}
	}
	return ""
}
