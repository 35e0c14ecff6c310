package bounce

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/address"
)

// maxField is how long a value of the report may be, in bytes.
const maxField = 900

// global reports whether the report has addresses beyond ASCII (RFC 6533).
func (m *Message) global() bool {
	for _, r := range m.n.Recipients {
		if !isASCII(r.Address) || !isASCII(r.ORcpt) {
			return true
		}
	}
	return false
}

// status returns the part for programs (RFC 3464 2), with lines that end in LF.
func (m *Message) status() string {
	var b strings.Builder
	global := m.global()
	field := func(name, value string) {
		if value = oneLine(value); !global {
			value = ascii(value)
		}
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, short(value))
		}
	}
	field("Original-Envelope-Id", m.n.EnvID)
	field("Reporting-MTA", "dns; "+m.n.Domain)
	if !m.n.Arrived.IsZero() {
		field("Arrival-Date", m.n.Arrived.Format(date))
	}
	for _, r := range m.n.Recipients {
		b.WriteString("\n")
		if kind, original, ok := strings.Cut(r.ORcpt, ";"); ok && typeForm.MatchString(kind) {
			if !isASCII(original) {
				kind = "utf-8"
			}
			field("Original-Recipient", kind+"; "+original)
		}
		field("Final-Recipient", addressType(r.Address)+"; "+bare(r.Address))
		field("Action", string(r.Action))
		field("Status", r.status())
		if r.Host != "" {
			field("Remote-MTA", "dns; "+r.Host)
		}
		if isReply(r.Reply) {
			field("Diagnostic-Code", "smtp; "+r.Reply)
		}
		if !r.Last.IsZero() {
			field("Last-Attempt-Date", r.Last.Format(date))
		}
		if r.Action == Delayed && !r.Until.IsZero() {
			field("Will-Retry-Until", r.Until.Format(date))
		}
	}
	return b.String()
}

// short bounds the value of a field, so that its line is not too long.
func short(value string) string {
	return strings.ToValidUTF8(value[:min(len(value), maxField)], "")
}

func addressType(a string) string {
	if isASCII(a) {
		return "rfc822"
	}
	return "utf-8"
}

// bare returns an address without its source route.
func bare(a string) string {
	if p, _, err := address.ParsePath("<" + a + ">"); err == nil {
		return p.String()
	}
	return a
}

var (
	typeForm     = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
	replyForm    = regexp.MustCompile(`^[2-5][0-9][0-9]([ -]|$)`)
	statusForm   = regexp.MustCompile(`^[245]\.[0-9]{1,3}\.[0-9]{1,3}$`)
	statusInText = regexp.MustCompile(`^[2-5][0-9][0-9][ -]([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s|$)`)
)

func isReply(s string) bool { return replyForm.MatchString(s) }

// status returns the code of RFC 3463: that of the recipient, of the reply, or of
// the action.
func (r Recipient) status() string {
	if statusForm.MatchString(r.Status) {
		return r.Status
	}
	class := map[Action]string{Failed: "45", Delayed: "4"}[r.Action]
	if class == "" {
		class = "2"
	}
	if found := statusInText.FindStringSubmatch(r.Reply); found != nil && strings.Contains(class, found[1][:1]) {
		return found[1]
	}
	if r.Action == Failed && r.Reason == ReasonExpired {
		return "4.4.7"
	}
	return class[len(class)-1:] + ".0.0"
}
