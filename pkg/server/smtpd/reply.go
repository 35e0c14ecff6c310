package smtpd

import (
	"fmt"
	"strconv"
	"strings"
)

// A reply is what the server says to one command.
type reply struct {
	code     int
	enhanced string   // RFC 3463, as "5.7.1"; "": none
	lines    []string // at least one

	silent  bool // it does not count as an error, and is sent without CustomSMTPMessage
	counted bool // it counts as an error although its code is none
	hangUp  bool // the connection ends with it
}

// say returns a reply of one line.
func say(code int, enhanced, text string) reply {
	return reply{code: code, enhanced: enhanced, lines: []string{text}}
}

// isError reports whether SMTP-MaxErrors counts the reply (docs/reference/services.md 1.4).
func (r reply) isError() bool { return r.counted || r.code >= 400 && !r.silent }

// append appends the reply as it goes over the wire. Nothing in it can end a line.
func (r reply) append(dst []byte) []byte {
	for i, line := range r.lines {
		dst = strconv.AppendInt(dst, int64(r.code), 10)
		if i < len(r.lines)-1 {
			dst = append(dst, '-')
		} else {
			dst = append(dst, ' ')
		}
		if r.enhanced != "" {
			dst = append(append(dst, r.enhanced...), ' ')
		}
		dst = append(append(dst, printable(line)...), '\r', '\n')
	}
	return dst
}

// printable replaces control characters, so that what a client, a table or a
// program said ends no line of ours and acts on no terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || 0x7f <= r && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// parseReply reads a reply as the variables of the server and the files of
// filters have it: a code, perhaps an enhanced one, a text.
func parseReply(line string) (reply, bool) {
	code, text, _ := strings.Cut(strings.TrimSpace(line), " ")
	n, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || n < 200 || n > 599 {
		return reply{}, false
	}
	r := say(n, "", strings.TrimSpace(text))
	first, rest, _ := strings.Cut(r.lines[0], " ")
	if isEnhanced(first) {
		r.enhanced, r.lines[0] = first, rest
	}
	return r, true
}

// isEnhanced reports whether a word is an enhanced status code (RFC 3463 2).
func isEnhanced(word string) bool {
	parts := strings.Split(word, ".")
	if len(parts) != 3 || len(parts[0]) != 1 || !strings.Contains("245", parts[0]) {
		return false
	}
	for _, p := range parts[1:] {
		if n, err := strconv.Atoi(p); err != nil || n < 0 || n > 999 || p != fmt.Sprint(n) {
			return false
		}
	}
	return true
}

// Replies that several commands have.
var (
	replyOK        = say(250, "2.0.0", "OK")
	replySequence  = say(503, "5.5.1", "Bad sequence of commands")
	replyArguments = say(501, "5.5.4", "Syntax error in parameters or arguments")
	replyLocal     = say(451, "4.3.0", "Requested action aborted: local error in processing")
	replyNeedTLS   = say(538, "5.7.11", "Encryption required for requested authentication mechanism")
	replyTooBig    = say(552, "5.3.4", "Message exceeds fixed maximum message size")
	replyTimeout   = reply{code: 421, enhanced: "4.4.2", lines: []string{"Timeout, closing transmission channel"}, silent: true, hangUp: true}
	replyEnding    = reply{code: 421, enhanced: "4.3.2", lines: []string{"The server ends this session, closing transmission channel"}, silent: true, hangUp: true}
	replyBroken    = reply{code: 421, enhanced: "4.3.0", lines: []string{"Internal error, closing transmission channel"}, silent: true, hangUp: true}
)
