package mailroot

import "strings"

// The parameters of spammers.tab.
const (
	SpammerCode    = "code"    // what happens to the client (docs/reference/tables.md 3.9)
	SpammerExpires = "expires" // ours: the row does not count from that second on, Unix time; in address maps as well
)

// Params returns the parameters of a row of spammers.tab.
func (n Network) Params() string { return strings.Join(n.Rest, ",") }

// Code returns what happens to a client that a row of spammers.tab matches:
// refused where it is greater than 0, only after a login where it is 0, served
// with a delay of -Code seconds where it is less.
func (n Network) Code() int {
	if code, ok := param(n.Rest, SpammerCode); ok {
		return Atoi(code)
	}
	return 1
}

func param(params []string, name string) (string, bool) {
	if len(params) == 0 {
		return "", false
	}
	for p := range strings.SplitSeq(params[0], ",") {
		if key, value, ok := strings.Cut(p, "="); ok && key == name {
			return value, true
		}
	}
	return "", false
}
