package pop3d

import (
	"bufio"
	"bytes"
	"context"
	"strings"
	"unicode/utf8"
)

// A command is a verb of the protocol.
type command struct {
	in  states
	run func(x *pop, ctx context.Context, args string) reply
}

// states is a set of states.
type states uint

const (
	inInitial  states = 1 << initial
	inNamed    states = 1 << named
	inLoggedIn states = 1 << loggedIn
	anywhere          = inInitial | inNamed | inLoggedIn
)

func lookup(verb string) (command, bool) {
	switch verb {
	case "USER":
		return command{inInitial | inNamed, (*pop).userName}, true
	case "PASS":
		return command{inNamed, (*pop).pass}, true
	case "APOP":
		return command{inInitial, (*pop).apop}, true
	case "AUTH":
		return command{inInitial, (*pop).auth}, true
	case "CAPA":
		return command{anywhere, (*pop).capa}, true
	case "STLS":
		return command{inInitial, (*pop).stls}, true
	case "UTF8":
		return command{inInitial | inNamed, (*pop).utf8}, true
	case "QUIT":
		return command{anywhere, (*pop).quit}, true
	case "STAT":
		return command{inLoggedIn, (*pop).stat}, true
	case "LIST":
		return command{inLoggedIn, (*pop).list}, true
	case "UIDL":
		return command{inLoggedIn, (*pop).uidl}, true
	case "RETR":
		return command{inLoggedIn, (*pop).retr}, true
	case "TOP":
		return command{inLoggedIn, (*pop).top}, true
	case "DELE":
		return command{inLoggedIn, (*pop).dele}, true
	case "NOOP":
		return command{inLoggedIn, (*pop).noop}, true
	case "LAST":
		return command{inLoggedIn, (*pop).lastUsed}, true
	case "RSET":
		return command{inLoggedIn, (*pop).rset}, true
	}
	return command{}, false
}

// command runs one line of the client.
func (x *pop) command(ctx context.Context, line []byte) reply {
	r := x.dispatch(ctx, line)
	if x.errors >= maxErrors && x.state != loggedIn && strings.HasPrefix(r.text, "-") {
		r.then = hangUp
	}
	return r
}

func (x *pop) dispatch(ctx context.Context, line []byte) reply {
	if !readable(line) {
		return bad("Invalid characters")
	}
	verb, args, _ := strings.Cut(strings.ReplaceAll(string(line), "\t", " "), " ")
	c, known := lookup(strings.ToUpper(verb))
	switch {
	case !known:
		return bad("Invalid command")
	case c.in&(1<<x.state) == 0:
		return bad("Command not valid here")
	}
	if strings.EqualFold(verb, "PASS") {
		// A password may have blanks around it and in it: PASS gets the line as it is.
		args = string(line[min(len(verb)+1, len(line)):])
	} else {
		words := strings.FieldsFunc(args, func(r rune) bool { return r == ' ' })
		args = strings.Join(words, " ")
	}
	return c.run(x, ctx, args)
}

// readable reports whether a line is text: UTF-8 or another code, without control
// characters other than TAB.
func readable(line []byte) bool {
	return !bytes.ContainsFunc(line, func(r rune) bool {
		return r < ' ' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 && r != utf8.RuneError
	})
}

// offersPasswords reports whether a password may be sent as it is.
func (x *pop) offersPasswords() bool {
	return x.Login.ClearTextAllowed(x.c.Remote().Addr(), x.tls)
}

// offersSTLS reports whether the session may go inside TLS.
func (x *pop) offersSTLS() bool {
	return !x.tls && x.Root.Vars().On("EnablePOP3-TLS") && x.offersTLS() != nil
}

func (x *pop) capa(context.Context, string) reply {
	list := []string{"TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE"}
	if x.offersPasswords() {
		list = append(list, "USER", "SASL PLAIN", "UTF8 USER")
	} else {
		list = append(list, "UTF8")
	}
	if x.offersSTLS() {
		list = append(list, "STLS")
	}
	if name := x.identity(); name != "" {
		list = append(list, "IMPLEMENTATION "+name)
	}
	return capabilities("Capability list follows", list...)
}

// capabilities is a reply with a list of words that need no care.
func capabilities(text string, list ...string) reply {
	r := ok(text)
	r.body = func(w *bufio.Writer) error {
		for _, line := range append(list, ".") {
			w.WriteString(line)
			if _, err := w.WriteString("\r\n"); err != nil {
				return err
			}
		}
		return nil
	}
	return r
}

func (x *pop) stls(context.Context, string) reply {
	switch {
	case x.tls:
		return bad("Command not permitted when TLS active")
	case !x.Root.Vars().On("EnablePOP3-TLS"):
		return bad("Command disabled")
	case x.offersTLS() == nil:
		return bad("[SYS/TEMP] Server TLS setup error")
	case x.in.pending():
		// Somebody between us and the client may have put it there.
		r := bad("Commands were sent before TLS has begun")
		r.then = hangUp
		return r
	}
	r := ok("Begin TLS negotiation")
	r.then = startTLS
	return r
}

// utf8 needs no state: names, passwords and messages are taken and sent as they are.
func (x *pop) utf8(_ context.Context, args string) reply {
	if args != "" {
		return bad("Invalid syntax")
	}
	return ok("UTF-8 it is")
}

// quit removes what was deleted, and lets others have the mailbox. Only then it is
// said: a client may come back at once.
func (x *pop) quit(context.Context, string) reply {
	r := ok(strings.TrimLeft(x.identity()+" closing session", " "))
	if err := x.expunge(); err != nil {
		x.log().Error("messages are not removed", "service", "pop3", "user", x.user.Name+"@"+x.user.Domain, "err", err)
		r = bad("[SYS/TEMP] Some deleted messages are not removed")
	}
	x.closeDrop()
	r.then = hangUp
	return r
}

func (x *pop) expunge() error {
	var indexes []int
	for i, gone := range x.gone {
		if gone {
			indexes = append(indexes, i)
		}
	}
	if len(indexes) == 0 {
		return nil
	}
	return x.drop.Delete(indexes...)
}
