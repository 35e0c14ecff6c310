package smtpd

import (
	"strings"
)

// record writes a line of the log of docs/reference/services.md 5.1.
func (x *session) record(status string, size int64) {
	if x.server.SMTPLog == nil || status == "" {
		return
	}
	var sender, rcpt, domain, id, who string
	if x.tx != nil {
		sender, rcpt, id = x.tx.from.String(), x.tx.rcpt, x.tx.id
		domain = rcpt[strings.LastIndexByte(rcpt, '@')+1:]
		if domain == rcpt {
			domain = ""
		}
	}
	if x.known {
		who = x.who.Name
	}
	ptr := ""
	if x.vars.Number("SMTP-RDNSCheck") != 0 {
		ptr = x.client.PTR
	}
	// An error is told once by the log itself.
	_ = x.server.SMTPLog.Write(x.name, x.name, x.conn.Remote().Addr().String(), x.server.now().Format("2006-01-02 15:04:05"),
		x.helo, domain, sender, rcpt, id, status, who, formatInt(size), ptr)
}
