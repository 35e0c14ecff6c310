package smtpd

import (
	"fmt"
	"net/netip"
	"strings"
)

// protocol is the word for how the message came (RFC 3848, RFC 6531 4.3).
func (x *session) protocol() string {
	if !x.esmtp {
		return "SMTP"
	}
	word := "ESMTP"
	if x.tx != nil && x.tx.opts.UTF8 {
		word = "UTF8SMTP"
	}
	if x.secure {
		word += "S"
	}
	if x.known {
		word += "A"
	}
	return word
}

// received returns the Received header of the message, in the style of the variable
// ReceivedHdrType (docs/reference/services.md 1.12).
func (x *session) received() string {
	style := x.vars.Number("ReceivedHdrType")
	from := headerText(x.helo)
	if style == 0 || style == 1 || style >= 3 && !x.known {
		from += " (" + socket(x.conn.Remote()) + ")"
	}
	by := x.name
	if style == 1 || style == 4 {
		by += " (" + socket(x.conn.Local()) + ")"
	}
	rcpt := ""
	// One text serves all recipients, who need not know of each other. A name beyond
	// ASCII would keep the message from going on to hosts that take none.
	if len(x.tx.rcpts) == 1 && headerText(x.tx.rcpts[0].Address) == x.tx.rcpts[0].Address {
		rcpt = fmt.Sprintf(" for <%s>", x.tx.rcpts[0].Address)
	}
	return fmt.Sprintf("Received: from %s\r\n\tby %s with %s (%s)\r\n\tid <%s>%s from <%s>;\r\n\t%s\r\n",
		from, headerText(by), x.protocol(), headerText(x.identity), x.tx.id, rcpt, x.tx.from, date(x.server.now()))
}

// authUser returns the X-AuthUser header, empty where there is to be none.
func (x *session) authUser() string {
	if !x.known {
		return ""
	}
	silent := x.vars.On("DisableEmitAuthUser")
	if x.who.IsAccount {
		if v := x.userVar(x.who.User, "DisableEmitAuthUser"); v != "" {
			silent = atoi(v) != 0
		}
	}
	if silent {
		return ""
	}
	return "X-AuthUser: " + headerText(x.who.Name) + "\r\n"
}

// headerText replaces what may not be in a header as it is.
func headerText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, s)
}

// socket is an address as the reference writes it.
func socket(a netip.AddrPort) string { return fmt.Sprintf("[%s]:%d", a.Addr(), a.Port()) }
