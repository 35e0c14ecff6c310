package smtpd

import "strings"

// vrfy answers VRFY.
func (x *session) vrfy(arg string) *reply {
	answer := x.server.Policy.Verify(&x.client, x.facts(), arg)
	r := x.policyReply(&answer)
	r.counted = answer.Code != 250
	return r
}

// etrn answers ETRN (docs/reference/services.md 1.18).
func (x *session) etrn(arg string) *reply {
	if !x.server.Policy.MayETRN(&x.client, x.facts()) {
		x.record("ETRN=EACCESS", 0)
		r := say(501, "5.7.1", "Command not accepted")
		return &r
	}
	if arg == "" || strings.ContainsAny(arg, " \t") {
		return &replyArguments
	}
	if x.server.Flush != nil {
		if err := x.server.Flush(x.ctx, arg); err != nil {
			x.log().Error("ETRN", "argument", arg, "err", err)
			return &replyLocal
		}
	}
	r := say(250, "2.0.0", "Queueing for '"+arg+"' has been started")
	return &r
}

func (x *session) help() *reply {
	first := "HELO EHLO MAIL RCPT DATA BDAT AUTH"
	if x.tlsConfig() != nil {
		first += " STARTTLS"
	}
	return &reply{code: 214, enhanced: "2.0.0", lines: []string{first, "RSET VRFY ETRN NOOP HELP QUIT", "For more information see RFC 5321"}}
}
