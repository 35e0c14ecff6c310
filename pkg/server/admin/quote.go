package admin

import "strconv"

// quote returns a name for a message: as it is where that is plain text, else
// quoted, so that it cannot disturb a log or a terminal.
func quote(name string) string {
	if name != "" && isPlainText(name) && len(name) <= maxAddress {
		return name
	}
	if len(name) > maxAddress {
		name = name[:maxAddress] + "…"
	}
	return strconv.Quote(name)
}
