package smtpd

import (
	"errors"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/login"
)

// mechanisms returns what the client may log in by at the moment.
func (x *session) mechanisms() []string {
	return slices.DeleteFunc(slices.Clone(x.server.Login.Mechanisms(x.conn.Remote().Addr(), x.secure)), func(m string) bool { return !implemented(m) })
}

// announced returns those of them that EHLO tells of. CRAM-MD5, which many programs
// choose before all others when it is there, would keep accounts whose passwords are
// hashed from logging in: where there are such accounts, and passwords may be sent, it
// is taken from those who ask for it, and not announced.
func (x *session) announced() []string {
	list := x.mechanisms()
	if x.server.Root.Hashed() == "" || !slices.ContainsFunc(list, func(m string) bool { return !isDigest(m) }) {
		return list
	}
	for range x.server.Root.ExternalAuths() {
		return list // programs check passwords, and not the tables
	}
	return slices.DeleteFunc(list, isDigest)
}

func isDigest(mechanism string) bool { return strings.EqualFold(mechanism, auth.CRAMMD5) }

func implemented(mechanism string) bool {
	switch strings.ToUpper(mechanism) {
	case sasl.Plain, sasl.Login, auth.CRAMMD5:
		return true
	}
	return false
}

// auth begins an AUTH exchange, which go-smtp leads.
func (f *front) auth(args string) *reply {
	x := f.x
	words := strings.Fields(args)
	if x.helo == "" || x.authed || x.tx != nil {
		return &replySequence
	}
	if len(words) == 0 || len(words) > 2 || len(words) == 2 && !isBase64(words[1]) {
		return &replyArguments
	}
	mechanism := strings.ToUpper(words[0])
	among := func(list []string) bool {
		return slices.ContainsFunc(list, func(m string) bool { return strings.EqualFold(m, mechanism) })
	}
	if !among(x.mechanisms()) {
		if implemented(mechanism) && among(x.server.Login.Mechanisms(x.conn.Remote().Addr(), true)) {
			return &replyNeedTLS
		}
		r := say(504, "5.5.4", "Unrecognized authentication type")
		return &r
	}
	return f.pass("AUTH", strings.Join(append([]string{"AUTH", mechanism}, words[1:]...), " "))
}

// startTLS answers STARTTLS. What the client has sent behind it in clear text is
// never read as a command inside TLS.
func (f *front) startTLS(args string) *reply {
	x := f.x
	var r reply
	switch {
	case args != "":
		return &replyArguments
	case x.secure:
		r = say(503, "5.5.1", "TLS is on already")
	case x.tlsConfig() == nil:
		r = say(454, "4.7.0", "TLS not available")
	case len(f.in.buffered()) > 0:
		r = reply{code: 554, enhanced: "5.5.1", lines: []string{"Nothing may follow STARTTLS, closing transmission channel"}, hangUp: true}
	default:
		f.finish(&reply{code: 220, enhanced: "2.0.0", lines: []string{"Ready to start TLS"}})
		f.secure = true
		return nil
	}
	return &r
}

// exchange returns the server's side of an AUTH exchange.
func (x *session) exchange(mechanism string) (sasl.Server, error) {
	try := func(c login.Credentials) error {
		c.Mechanism = mechanism
		return x.login(c)
	}
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainServer(func(as, name, password string) error {
			if as != "" && !strings.EqualFold(as, name) {
				return x.refuseLogin(mechanism) // nobody acts for others
			}
			return try(login.Credentials{Name: name, Password: password})
		}), nil
	case sasl.Login:
		return auth.NewLoginServer(func(name, password string) error {
			return try(login.Credentials{Name: name, Password: password})
		}), nil
	case auth.CRAMMD5:
		return auth.NewCRAMMD5Server(auth.Challenge(x.name), func(name, challenge, digest string) error {
			return try(login.Credentials{Name: name, Challenge: challenge, Response: digest})
		}), nil
	}
	return nil, errMechanism
}

var (
	errMechanism = errors.New("smtpd: no such mechanism")
	errRefused   = errors.New("smtpd: refused") // the front knows what to say
)

// login checks credentials. Its error is errRefused.
func (x *session) login(c login.Credentials) error {
	c.Remote, c.Service, c.TLS, c.Ending = x.conn.Remote(), "smtp", x.secure, x.conn.Ending
	who, err := x.server.Login.SMTP(x.ctx, c)
	switch {
	case err == nil && !x.stands(who, c):
		return x.refuseLogin(c.Mechanism)
	case err == nil:
		x.grant(who)
		x.authed = true
		return nil
	case errors.Is(err, login.ErrBlocked):
		x.record("AUTH=EFAIL:TYPE="+c.Mechanism, 0)
		return x.refuse(reply{code: 421, enhanced: "4.7.0", lines: []string{"Too many failed logins, try again later"}, hangUp: true})
	case errors.Is(err, login.ErrNeedTLS):
		return x.refuse(replyNeedTLS)
	case errors.Is(err, login.ErrBadLogin):
		return x.refuseLogin(c.Mechanism)
	}
	x.log().Error("SMTP login could not be checked", "err", err)
	return x.refuse(say(454, "4.7.0", "Temporary authentication failure"))
}

// stands reports whether a login to an account still is a good one now that the session
// is known to be one of the account.
func (x *session) stands(who login.Identity, c login.Credentials) bool {
	if !who.IsAccount {
		return true
	}
	x.conn.SetUser(who.Address())
	if x.server.Login.Stands(x.ctx, who.User, c) {
		return true
	}
	x.conn.SetUser("")
	if x.known { // as somebody who has read mail before
		x.grant(x.who)
	}
	return false
}

func (x *session) refuseLogin(mechanism string) error {
	x.record("AUTH=EFAIL:TYPE="+mechanism, 0)
	return x.refuse(say(535, "5.7.8", "Authentication failed"))
}

// refuse leaves what is to be said to the front, and returns errRefused.
func (x *session) refuse(r reply) error {
	x.front.said = &r
	return errRefused
}

// saslServer tells the client which answers could not be read.
type saslServer struct {
	sasl.Server
	x *session
}

func (s saslServer) Next(response []byte) (challenge []byte, done bool, err error) {
	challenge, done, err = s.Server.Next(response)
	if err != nil && s.x.front.said == nil {
		err = s.x.refuse(replyArguments)
	}
	return challenge, done, err
}
