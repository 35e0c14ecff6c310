package smtpd

import (
	"bytes"
	"strings"
)

// Write takes the replies of go-smtp. They are answers to the commands that it was
// handed, from which they get our words.
func (f *front) Write(p []byte) (int, error) {
	f.wrote = append(f.wrote, p...)
	for {
		i := bytes.IndexByte(f.wrote, '\n')
		if i < 0 {
			return len(p), nil
		}
		line := string(bytes.TrimRight(f.wrote[:i], "\r"))
		if f.wrote = f.wrote[i+1:]; len(f.wrote) == 0 {
			f.wrote = nil
		}
		if len(line) < 4 || line[3] == '-' {
			continue // our replies of several lines are made of nothing that go-smtp says
		}
		r, ok := parseReply(line)
		if !ok {
			r = replyBroken
		}
		f.answer(r)
	}
}

// answer takes a whole reply of go-smtp.
func (f *front) answer(r reply) {
	switch {
	case f.quiet > 0:
		f.quiet--
		return
	case f.mode == inAbort:
		f.mode, f.said = inCommands, nil
		f.in.bulk(false)
		return
	case r.code == 354 && f.verb == "BDAT":
		f.mode = inChunk
		return
	case r.code == 354:
		f.mode, f.data, f.chunk = inData, dataScanner{}, chunkScanner{}
		f.in.bulk(true)
		r.lines[0] = "Start mail input; end with <CRLF>.<CRLF>"
		f.send(r)
		f.flush()
		return
	case r.code == 334:
		f.mode = inSASL
		f.send(r)
		return
	}
	bad := f.mode == inData && f.data.bad
	f.mode = inCommands
	f.in.bulk(false)
	if f.said != nil {
		r, f.said = *f.said, nil
	} else {
		r = f.x.word(f.verb, r)
	}
	if f.verb == "MAIL" && r.code >= 400 {
		f.x.tx = nil
	}
	f.send(r)
	if bad {
		// Others may have seen the end of this message in another place, and what
		// follows it may be the rest of one that a stranger wrote.
		f.distrust = true
	}
}

// word puts go-smtp's reply to a command in our words. Its refusals of malformed
// parameters stay as they are.
func (x *session) word(verb string, r reply) reply {
	switch {
	case r.code >= 400:
		if verb == "AUTH" && r.code == 454 && r.enhanced == "4.7.0" {
			return replyArguments // the only one of go-smtp's own: no base64
		}
		return r
	case verb == "HELO":
		return say(250, "", x.domain)
	case verb == "EHLO":
		return reply{code: 250, lines: x.extensions()}
	case verb == "MAIL":
		return say(250, "2.1.0", "OK")
	case verb == "RCPT":
		return say(250, "2.1.5", "OK")
	case verb == "AUTH" && r.code == 235:
		return say(235, "2.7.0", "Authentication successful")
	case verb == "RSET":
		return replyOK
	}
	return r
}

// extensions returns the lines of the reply to EHLO.
func (x *session) extensions() []string {
	lines := []string{x.domain}
	add := func(ok bool, words ...string) {
		if ok {
			lines = append(lines, strings.Join(words, " "))
		}
	}
	level0 := x.vars.CompatLevel() < 1
	add(level0 || x.server.Policy.MayVerify(&x.client, x.facts()), "VRFY")
	add(level0 || x.server.Policy.MayETRN(&x.client, x.facts()), "ETRN")
	add(true, "8BITMIME")
	add(true, "PIPELINING")
	mechanisms := x.announced()
	add(len(mechanisms) > 0, append([]string{"AUTH"}, mechanisms...)...)
	if x.limit > 0 {
		add(true, "SIZE", formatInt(x.limit))
	} else {
		add(true, "SIZE")
	}
	add(true, "ENHANCEDSTATUSCODES")
	add(true, "CHUNKING")
	add(true, "SMTPUTF8")
	add(true, "DSN")
	add(x.tlsConfig() != nil, "STARTTLS")
	return lines
}

// send queues a reply, counts it, and ends the session where it was the last
// error that the server bears.
func (f *front) send(r reply) {
	if f.over {
		return
	}
	if r.isError() {
		f.errors++
		if custom := f.x.vars.String("CustomSMTPMessage"); custom != "" {
			r.lines = append([]string(nil), r.lines...)
			r.lines[len(r.lines)-1] += " - " + custom
		}
	}
	f.out = r.append(f.out)
	most := f.x.vars.Number("SMTP-MaxErrors")
	if r.isError() && most > 0 && f.errors >= most {
		f.x.record("SMTP=EERRS", 0)
		r.hangUp = true
	}
	if r.hangUp {
		f.flush()
		f.over = true
	}
}
