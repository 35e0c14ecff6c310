package smtpd

import (
	"encoding/base64"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/xmaild/xmaild/pkg/server/address"
)

// readCommand reads a command and answers it, or hands it to go-smtp.
func (f *front) readCommand() error {
	if f.next != "" {
		line := f.next
		f.next = ""
		f.command(line)
		return nil
	}
	line, err := f.readLine(maxCommand)
	switch {
	case errors.Is(err, errLong):
		f.send(say(500, "5.5.2", "Line too long"))
		return nil
	case err != nil:
		return err
	case f.conn.Ending():
		f.finish(&replyEnding)
		return nil
	}
	if d := f.x.client.Delay; d > 0 && !f.x.known {
		if err := f.hold(d); err != nil {
			return err
		}
	}
	f.command(line)
	return nil
}

// hold lets a client wait that is to be slowed down. It goes on reading, so that it
// finds out when the client leaves or the session is to end.
func (f *front) hold(d time.Duration) error {
	f.flush()
	f.conn.Idle()
	defer f.conn.Busy()
	until := time.Now().Add(d)
	for time.Now().Before(until) && len(f.in.buffered()) < maxCommand {
		f.conn.SetReadDeadline(until)
		err := f.in.fill()
		if err != nil && !isTimeout(err) || f.conn.Ending() {
			return err
		}
	}
	if left := time.Until(until); left > 0 {
		return f.pause(left) // more than that is not kept meanwhile
	}
	return nil
}

// pause waits without reading. It looks each second whether the session is to end.
func (f *front) pause(d time.Duration) error {
	for until := time.Now().Add(d); !f.conn.Ending(); {
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		t := time.NewTimer(min(left, time.Second))
		select {
		case <-t.C:
		case <-f.x.ctx.Done():
			t.Stop()
			return f.x.ctx.Err()
		}
	}
	return os.ErrDeadlineExceeded // as reading would
}

// readLine waits for a line.
func (f *front) readLine(limit int) (string, error) {
	if !f.in.hasLine() {
		f.flush()
		f.conn.SetReadDeadline(time.Now().Add(f.x.server.timeout()))
		f.conn.Idle()
		defer f.conn.Busy()
	}
	line, err := f.in.line(limit)
	return string(line), err
}

// readSASL hands over an answer in an AUTH exchange.
func (f *front) readSASL() error {
	line, err := f.readLine(maxSASL)
	if err != nil && !errors.Is(err, errLong) {
		return err
	}
	if err != nil || line != "*" && !isBase64(line) {
		f.said = &replyArguments
		line = "*" // ends the exchange
	} else if line == "*" {
		cancelled := say(501, "5.7.0", "Authentication cancelled")
		f.said = &cancelled
	}
	f.mode = inCommands
	f.hand(line)
	return nil
}

// isBase64 reports whether a client's answer can be decoded. "=" is the empty one
// (RFC 4954 4).
func isBase64(s string) bool {
	_, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil && !strings.ContainsAny(s, "\r\n") || s == "="
}

// command does one command.
func (f *front) command(line string) {
	verb, args, _ := strings.Cut(line, " ")
	if i := strings.IndexByte(verb, '\t'); i >= 0 {
		verb, args = line[:i], line[i+1:]
	}
	verb, args = strings.ToUpper(verb), strings.Trim(args, " \t")
	switch {
	case verb == "QUIT":
		f.abort()
		f.finish(&reply{code: 221, enhanced: "2.0.0", lines: []string{f.x.identity + " service closing transmission channel"}})
		return
	case f.distrust:
		f.finish(&reply{code: 421, enhanced: "4.7.0", lines: []string{"Line ends were broken, closing transmission channel"}})
		return
	case !isClean(line):
		f.send(say(500, "5.5.2", "Syntax error: control character or bad UTF-8"))
		return
	}
	if r := f.dispatch(verb, args, line); r != nil {
		f.send(*r)
	}
}

// isClean reports whether a command has no control character but TAB, and is UTF-8.
func isClean(line string) bool {
	for i := range len(line) {
		if c := line[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return utf8.ValidString(line)
}

// dispatch returns the reply to a command. Nil: go-smtp was handed something, and
// the reply comes from there.
func (f *front) dispatch(verb, args, line string) *reply {
	busy := f.mode == inChunks
	switch verb {
	case "HELO", "EHLO":
		if !isHelo(args) {
			return &replyArguments
		}
		if busy {
			f.abort()
			f.next = line
			return nil
		}
		f.x.helo, f.x.esmtp = args, verb == "EHLO"
		if !f.engine {
			r := f.x.word(verb, reply{})
			return &r
		}
		return f.pass(verb, verb+" client")
	case "RSET":
		if busy {
			f.abort()
			f.send(replyOK)
			return nil
		}
		if !f.engine {
			return &replyOK
		}
		return f.pass(verb, verb)
	case "NOOP":
		return &replyOK
	case "HELP":
		return f.x.help()
	case "VRFY":
		return f.x.vrfy(args)
	case "ETRN":
		return f.x.etrn(args)
	case "BDAT":
		return f.bdat(args)
	case "EXPN", "SEND", "SOML", "SAML", "TURN", "ATRN":
		r := say(502, "5.5.1", "Command not implemented")
		return &r
	case "MAIL", "RCPT", "DATA", "AUTH", "STARTTLS":
		if busy {
			return &replySequence
		}
	}
	switch verb {
	case "MAIL":
		return f.mail(args, line)
	case "RCPT":
		return f.rcpt(args)
	case "DATA":
		return f.startData(args)
	case "AUTH":
		return f.auth(args)
	case "STARTTLS":
		return f.startTLS(args)
	}
	r := say(500, "5.5.1", "Syntax error, command unrecognized")
	return &r
}

// pass hands go-smtp a command.
func (f *front) pass(verb, line string) *reply {
	f.verb = verb
	f.hand(line)
	return nil
}

// isHelo reports whether a client may call itself so: by anything like a host
// name or an address literal, since many names are wrong, but by nothing that
// could be mistaken for something else in a header or a log.
func isHelo(name string) bool {
	if name == "" || len(name) > 255 {
		return false
	}
	for _, r := range name {
		if r < utf8.RuneSelf && !strings.ContainsRune("-._:[]", r) &&
			!('0' <= r && r <= '9') && !('a' <= r && r <= 'z') && !('A' <= r && r <= 'Z') {
			return false
		}
	}
	return true
}

// abort makes go-smtp give up the message that it reads, between two chunks.
func (f *front) abort() {
	if f.mode == inChunks {
		f.mode = inAbort
	}
}

func (f *front) mail(args, line string) *reply {
	x := f.x
	if x.helo == "" || x.tx != nil {
		return &replySequence
	}
	rest, ok := cutWord(args, "FROM:")
	if !ok {
		return &replyArguments
	}
	path, params, err := address.ParsePath(rest)
	if err != nil {
		r := say(501, "5.1.7", "Syntax error in return path: "+err.Error())
		return &r
	}
	tx := &transaction{line: line, from: path, began: x.server.now()}
	params, r := tx.mailParams(params)
	if r != nil {
		return r
	}
	x.tx = tx // go-smtp calls Mail with it, or refuses a parameter
	return f.pass("MAIL", "MAIL FROM:<sender@client.invalid>"+params)
}

func (f *front) rcpt(args string) *reply {
	x := f.x
	if x.tx == nil {
		return &replySequence
	}
	if len(x.tx.rcpts) >= x.server.maxRecipients() {
		x.record("RCPT=ENBR", 0)
		// No error of the client's: it sends the rest with another message (RFC 5321
		// 4.5.3.1.10), and would lose this one if it were sent away for that.
		r := say(452, "4.5.3", "Too many recipients")
		r.silent = true
		return &r
	}
	rest, ok := cutWord(args, "TO:")
	if !ok {
		return &replyArguments
	}
	path, params, err := address.ParsePath(rest)
	if err == nil && path.IsNull() {
		err = errors.New("a recipient is needed")
	}
	if err != nil {
		x.tx.rcpt = firstPath(rest)
		x.record("RCPT=ESYNTAX", 0)
		r := say(501, "5.1.3", "Syntax error in forward path: "+err.Error())
		return &r
	}
	params, r := rcptParams(params)
	if r != nil {
		return r
	}
	x.tx.to = path
	return f.pass("RCPT", "RCPT TO:<recipient@client.invalid>"+params)
}

// firstPath is what a malformed path is in the log: its first word, without brackets.
func firstPath(s string) string {
	word, _, _ := strings.Cut(strings.TrimLeft(s, " \t"), " ")
	return strings.Trim(word, "<>")
}

// cutWord cuts FROM: or TO: off the arguments of MAIL or RCPT.
func cutWord(args, word string) (rest string, ok bool) {
	if len(args) < len(word) || !strings.EqualFold(args[:len(word)], word) {
		return "", false
	}
	return args[len(word):], true
}

func (f *front) startData(args string) *reply {
	if args != "" {
		return &replyArguments
	}
	if r := f.begin(); r != nil {
		return r
	}
	if f.said != nil {
		return nil
	}
	return f.pass("DATA", "DATA")
}

// begin does what is to be done before a message is taken, whichever way it comes.
// Where it is refused, and the transaction ends with that, the refusal waits in
// said for go-smtp's reply to RSET.
func (f *front) begin() *reply {
	x := f.x
	if x.tx == nil || len(x.tx.rcpts) == 0 {
		return &replySequence
	}
	r := x.preData()
	if r == nil {
		r = x.open()
	}
	if r == nil {
		return nil
	}
	f.said = r
	return f.pass("RSET", "RSET") // a chunk that follows is not to pass for the message
}

func (f *front) bdat(args string) *reply {
	words := strings.Fields(args)
	var size uint64
	err := errors.New("no size")
	if len(words) > 0 {
		size, err = strconv.ParseUint(words[0], 10, 32)
	}
	if err != nil || len(words) > 2 || len(words) == 2 && !strings.EqualFold(words[1], "LAST") {
		// How many octets follow that are no commands is not known.
		return &reply{code: 501, enhanced: "5.5.4", lines: []string{"Syntax error in BDAT, closing transmission channel"}, hangUp: true}
	}
	f.left, f.last = uint32(size), len(words) == 2
	if f.mode == inChunks {
		f.mode = inChunk
		return nil
	}
	r := f.begin()
	if r != nil || f.said != nil {
		if err := f.skip(); err != nil {
			f.fail(err)
			return nil
		}
		return r
	}
	f.data, f.chunk = dataScanner{}, chunkScanner{}
	f.in.bulk(true)
	return f.pass("BDAT", "DATA")
}

// skip reads the octets of a chunk that is not wanted.
func (f *front) skip() error {
	for f.left > 0 {
		if err := f.fill(); err != nil {
			return err
		}
		n := min(uint32(len(f.in.buffered())), f.left)
		f.in.discard(int(n))
		f.left -= n
	}
	return nil
}

// endChunk ends the message with the last chunk, and waits for another command
// after any other.
func (f *front) endChunk(p []byte) (int, error) {
	if !f.last {
		f.mode = inChunks
		f.send(say(250, "2.0.0", "Continue"))
		return 0, nil
	}
	f.mode = inData // nothing is left to read: go-smtp answers when it has the end
	f.data = dataScanner{}
	return f.give(p, f.chunk.end(f.room(p, maxGrowth))), nil
}
