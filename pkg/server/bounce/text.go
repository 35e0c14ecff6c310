package bounce

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// date is how times are written (RFC 5322 3.3).
const date = "Mon, 2 Jan 2006 15:04:05 -0700"

// Texts of strangers are cut to so many bytes.
const (
	maxText = 8 << 10
	maxLog  = 128 << 10
)

// text returns the part for people: sections as the reference has them
// (docs/reference/delivery.md 5.3), with lines that end in LF. Recipients come one
// after the other where it has one.
func (m *Message) text() string {
	n := m.n
	var b strings.Builder
	for _, r := range n.Recipients {
		fmt.Fprintf(&b, "[<00>] XMail bounce: Rcpt=[%s];Error=[%s]\n", clean(r.Address), oneLine(r.reason()))
	}
	fmt.Fprintf(&b, "\n\n[<01>] %s [%s] from [%s].\n\n", m.what(), clean(n.Name), clean(n.Domain))
	fmt.Fprintf(&b, "ID:        <%s>\nMail From: <%s>\n", clean(n.MessageID), clean(n.From))
	for _, r := range n.Recipients {
		fmt.Fprintf(&b, "Rcpt To:   <%s>\n", clean(r.Address))
		if r.Host != "" {
			ip := r.IP
			if ip == "" {
				ip = r.Host
			}
			fmt.Fprintf(&b, "Server:    <%s> [%s]\n", clean(r.Host), clean(ip))
		}
	}
	m.reasons(&b)
	m.note(&b)
	if n.Log != "" {
		log := n.Log[max(len(n.Log)-maxLog, 0):]
		fmt.Fprintf(&b, "\n\n[<04>] Here is listed the message log file:\n\n%s\n", strings.TrimRight(lines(log), "\n"))
	}
	if m.original.there {
		b.WriteString("\n\n[<05>] Here is listed the initial part of the message:\n\n")
		if m.original.extra != "" {
			b.WriteString(lines(m.original.header) + "\n" + lines(m.original.extra))
		}
	}
	return b.String()
}

// what says what the notification is about, in the words of the reference where it
// has one.
func (m *Message) what() string {
	switch m.action() {
	case Failed:
		return "Error sending message"
	case Delayed:
		return "Delay in sending message"
	case Relayed:
		return "Relayed message"
	case Expanded:
		return "Distributed message"
	}
	return "Delivered message"
}

func (r Recipient) reason() string {
	if r.Reason != "" {
		return r.Reason
	}
	return r.Reply
}

func (m *Message) reasons(b *strings.Builder) {
	var reasons strings.Builder
	for _, r := range m.n.Recipients {
		reason := strings.TrimRight(lines(cut(r.reason())), "\n")
		if reason == "" {
			continue
		}
		if len(m.n.Recipients) > 1 {
			reason = "<" + clean(r.Address) + ">: " + reason
		}
		reasons.WriteString(reason + "\n")
	}
	if reasons.Len() == 0 {
		return
	}
	what := "The reason of the delivery failure was:"
	switch m.action() {
	case Failed:
	case Delayed:
		what = "The reason of the delay is:"
	default:
		what = "The other server said:"
	}
	fmt.Fprintf(b, "\n\n[<02>] %s\n\n%s", what, reasons.String())
}

// note says what is to be known of a delay, or of a success.
func (m *Message) note(b *strings.Builder) {
	switch m.action() {
	case Failed:
		return
	case Delayed:
	case Relayed:
		b.WriteString("\n\n[<03>] Note:\n\n** The message was handed to a server that does not tell what becomes of it.\n")
		return
	default:
		b.WriteString("\n\n[<03>] Note:\n\n** The message was delivered. You are told because you asked to be.\n")
		return
	}
	b.WriteString("\n\n[<03>] Note:\n\n** This is a temporary condition: the message need not be sent again.\n")
	var last Recipient
	for _, r := range m.n.Recipients {
		if r.Action == Delayed {
			last = r
		}
	}
	for _, at := range []struct {
		what string
		time time.Time
	}{{"Last attempt", last.Last}, {"Next attempt", last.Next}, {"It is given up", last.Until}} {
		if !at.time.IsZero() {
			fmt.Fprintf(b, "** %s: %s\n", at.what, at.time.Format(date))
		}
	}
	if last.Attempt > 0 {
		fmt.Fprintf(b, "** Number of attempts: %d\n", last.Attempt)
	}
	b.WriteString("\n")
}

// clean is a text as it may stand in a line: UTF-8 without control characters.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(cut(s), "?"))
}

// cut bounds a text.
func cut(s string) string { return s[:min(len(s), maxText)] }

// oneLine is a text of more lines as one.
func oneLine(s string) string {
	return clean(strings.Join(strings.FieldsFunc(cut(s), func(r rune) bool { return r == '\r' || r == '\n' }), " "))
}

// lines is a text of lines with LF at the end of each, without other control
// characters than tabs.
func lines(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\r\n", "\n"), "?")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return '?'
		}
		return r
	}, s)
	if s != "" && !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return s
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// ascii is a text without what is beyond ASCII.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			return '?'
		}
		return r
	}, s)
}
