package pop3d

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/xmaild/xmaild/pkg/server/login"
	"github.com/xmaild/xmaild/pkg/server/mailbox"
)

const needTLS = "Passwords are taken inside TLS only: use STLS first"

// userName takes the name, and says the same of those that exist and those that do
// not. A second USER replaces the first one.
func (x *pop) userName(_ context.Context, args string) reply {
	switch {
	case !x.offersPasswords():
		return bad(needTLS)
	case args == "" || strings.Contains(args, " "):
		return bad("Invalid syntax")
	}
	x.name, x.state = args, named
	return ok("Password required")
}

func (x *pop) pass(ctx context.Context, args string) reply {
	x.state = initial
	if args == "" {
		return bad("Invalid syntax")
	}
	return x.enter(ctx, login.Credentials{Mechanism: "USER", Name: x.name, Password: args})
}

func (x *pop) apop(ctx context.Context, args string) reply {
	name, digest, _ := strings.Cut(args, " ")
	switch {
	case x.challenge == "":
		return bad("Command not available")
	case name == "" || digest == "" || strings.Contains(digest, " "):
		return bad("Invalid syntax")
	}
	return x.enter(ctx, login.Credentials{Mechanism: "APOP", Name: name, Challenge: x.challenge, Response: digest})
}

// auth is that of RFC 5034, with PLAIN (RFC 4616). Without an argument it lists what
// there is, as some clients expect.
func (x *pop) auth(ctx context.Context, args string) reply {
	mechanism, initial, given := strings.Cut(args, " ")
	switch {
	case !x.offersPasswords():
		return bad(needTLS)
	case args == "":
		return capabilities("Mechanisms follow", sasl.Plain)
	case !strings.EqualFold(mechanism, sasl.Plain):
		return bad("Unknown mechanism")
	case given && strings.Contains(initial, " "):
		return bad("Invalid syntax")
	}
	var cr login.Credentials
	server := sasl.NewPlainServer(func(identity, name, password string) error {
		if identity != "" && identity != name {
			return errors.New("nobody may act for another one")
		}
		cr = login.Credentials{Mechanism: sasl.Plain, Name: name, Password: password}
		return nil
	})
	if !given {
		text, err := x.ask("+ ")
		if err != nil {
			return cut(err)
		}
		if text == "*" {
			return bad("Canceled")
		}
		initial = text
	} else if initial == "=" {
		initial = ""
	}
	response, err := base64.StdEncoding.Strict().DecodeString(initial)
	if err != nil {
		return bad("Invalid syntax")
	}
	if response == nil {
		response = []byte{}
	}
	if _, _, err := server.Next(response); err != nil {
		return bad("[AUTH] Invalid auth or access denied")
	}
	if cr.Name == "" || cr.Password == "" || !readable([]byte(cr.Name+cr.Password)) {
		return bad("[AUTH] Invalid auth or access denied")
	}
	return x.enter(ctx, cr)
}

// ask sends a challenge and returns the answer.
func (x *pop) ask(challenge string) (string, error) {
	w := x.writer()
	w.WriteString(challenge)
	w.WriteString("\r\n")
	line, err := x.next()
	return string(line), err
}

// enter tries to open the mailbox of whom the client says to be.
func (x *pop) enter(ctx context.Context, cr login.Credentials) reply {
	cr.Remote, cr.Service, cr.TLS, cr.Ending = x.c.Remote(), "pop3", x.tls, x.c.Ending
	u, err := x.Login.POP3(ctx, x.domain, cr)
	switch {
	case errors.Is(err, login.ErrBlocked):
		r := bad("[SYS/TEMP] Too many failed logins from your address, retry later")
		r.then = hangUp
		return r
	case errors.Is(err, login.ErrBadLogin):
		return x.failed(ctx, cr.Name)
	case errors.Is(err, login.ErrNeedTLS):
		return bad(needTLS)
	case err != nil: // the checker has logged it
		return bad("[SYS/TEMP] Logins are not possible at the moment")
	}
	address := u.Name + "@" + u.Domain
	drop, err := x.Boxes.Open(ctx, u, "session "+strconv.FormatUint(x.c.ID(), 10))
	switch {
	case errors.Is(err, mailbox.ErrLocked):
		x.log().Info("mailbox in use", "service", "pop3", "user", address, "address", cr.Remote.Addr())
		return bad("[IN-USE] The mailbox is in use by another session")
	case err != nil:
		x.log().Error("mailbox cannot be opened", "service", "pop3", "user", address, "err", err)
		return bad("[SYS/TEMP] The mailbox cannot be opened")
	}
	x.user, x.drop = u, drop
	x.c.SetUser(address)
	// The sessions of an account that is disabled, say, are ended. This one was not among
	// them where that was done before it had a name.
	if !x.Login.Stands(ctx, u, cr) {
		x.c.SetUser("")
		x.closeDrop()
		return x.failed(ctx, cr.Name)
	}
	x.state, x.left, x.size = loggedIn, drop.Len(), drop.Bytes()
	if err := x.Login.RecordPOP3(u, cr.Remote.Addr()); err != nil {
		x.log().Warn("the login is not recorded", "service", "pop3", "user", address, "err", err)
	}
	x.record(u.Name, u.Domain, "LOGIN", strconv.Itoa(x.left), strconv.FormatInt(x.size, 10))
	return x.maildrop()
}

// failed answers a login that is refused, for whatever reason, after a delay that
// grows with each one of the connection.
func (x *pop) failed(ctx context.Context, name string) reply {
	x.state = initial
	user, domain := login.Split(name)
	if domain == "" {
		domain = x.domain
	}
	x.record(user, domain, "ELOGIN")
	r := bad("[AUTH] Invalid auth or access denied")
	if x.HangUp {
		r.then = hangUp
		return r
	}
	if err := x.pause(ctx, x.delay); err != nil {
		r = cut(err)
	}
	x.delay = min(2*x.delay, max(maxFailureDelay, x.FailureDelay))
	return r
}

// cut ends the session within a command.
func cut(err error) reply {
	text, _ := parting(err)
	r := bad(text)
	r.then = hangUp
	return r
}

// record writes a line of the log of the service, whose column for the password
// holds an asterisk (docs/reference/services.md 5.2).
func (x *pop) record(user, domain, status string, more ...string) {
	if x.POP3Log == nil {
		return
	}
	name := x.localName
	if name == "" {
		name = x.c.Local().Addr().String()
	}
	fields := append([]string{name, domain, x.c.Remote().Addr().String(), x.now().Format(time.DateTime), user, "*", status}, more...)
	// A log that cannot be written says so itself.
	_ = x.POP3Log.Write(fields...)
}

// maildrop says what is in the mailbox.
func (x *pop) maildrop() reply {
	return ok(fmt.Sprintf("Maildrop has %d messages (%d bytes)", x.left, x.size))
}
