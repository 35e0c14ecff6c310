package outbound

import (
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-smtp"
)

// A State is what an attempt has come to for one recipient.
type State int

// The states.
const (
	// Delivered: a host has taken the message; or it is discarded, as smtpfwd.tab says.
	Delivered State = iota
	// Temporary: it failed, and may be tried again.
	Temporary
	// Permanent: it was refused for good.
	Permanent
	// Busy: no attempt was made, since there are as many connections to the host as
	// there may be. It is worth trying again within seconds.
	Busy
)

var stateNames = [...]string{"delivered", "temporary failure", "permanent failure", "busy"}

// String returns the name of the state, for logs.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("state %d", int(s))
	}
	return stateNames[s]
}

// A Result is what has become of a message for one recipient. All of it can be
// logged and shown: it has no control characters and no password.
type Result struct {
	State State

	// Code is that of the host's reply; 0: there was none, and Reply says what happened.
	Code int
	// Enhanced is a status of RFC 3463 that agrees with State: what the host gave, or
	// made from the code. Empty where State is Busy.
	Enhanced string
	// Reply is the reply of the host in one line, with its codes.
	Reply string

	Host string // that was talked to last: its name or address, as the table or the DNS has it; empty: none
	Addr string // of the host, address:port; empty where no connection was opened

	TLS      string // how the connection was encrypted, and what is known of the certificate; empty: not at all
	Verified bool   // the certificate was good for the name of the host

	RemoteID  string // by which the host knows the message, of Delivered (docs/reference/delivery.md 6.4)
	Medium    string // SMTP, FWD, RLYS: the columns medium and parameter of the smail log
	Parameter string

	// DSN: the host knows RFC 3461 and sees to the notifications of the message. Where
	// it is false and a NOTIFY asks for SUCCESS, that is for the caller to tell.
	DSN bool
	// Uncertain: the connection was lost when all of the message was sent and the reply
	// had not come. The host may have taken it, and another attempt may double it.
	Uncertain bool
	// Untried: no host was asked, since each had failed shortly before.
	Untried bool
}

// An Error says why no host is known for the mail of a domain.
type Error struct {
	Permanent bool
	Enhanced  string // RFC 3463
	Text      string // for whoever sent the mail
	Err       error  // what is behind it; nil: nothing
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Text
	}
	return e.Text + ": " + e.Err.Error()
}

// Unwrap returns what is behind the error.
func (e *Error) Unwrap() error { return e.Err }

// Failed returns the results of a message to n recipients for which [Sender.Plan] or
// [Sender.Relay] returned the error.
func Failed(err error, n int) []Result {
	f := failure{state: Temporary, enhanced: "4.3.0", text: err.Error()}
	var e *Error
	if errors.As(err, &e) {
		f.enhanced = e.Enhanced
		if e.Permanent {
			f.state = Permanent
		}
	}
	all := make([]Result, n)
	for i := range all {
		all[i] = f.result()
	}
	return all
}

// A failure is why a message was not taken.
type failure struct {
	state    State
	code     int
	enhanced string
	text     string
}

func (f failure) Error() string { return f.text }

func (f failure) result() Result {
	return Result{State: f.state, Code: f.code, Enhanced: f.status(), Reply: oneLine(f.text, maxReply)}
}

// status returns the enhanced status with the class that the state has.
func (f failure) status() string {
	class := map[State]string{Temporary: "4", Permanent: "5"}[f.state]
	if _, rest, ok := strings.Cut(f.enhanced, "."); ok {
		return class + "." + rest
	}
	return class + ".0.0"
}

// temporary is a failure that is not the host's word, or not about the message.
func temporary(enhanced, format string, args ...any) failure {
	return failure{state: Temporary, enhanced: enhanced, text: fmt.Sprintf(format, args...)}
}

func permanent(enhanced, format string, args ...any) failure {
	return failure{state: Permanent, enhanced: enhanced, text: fmt.Sprintf(format, args...)}
}

// judge returns the failure that an error of a connection is: a reply of the host, or
// what happened to the connection.
func judge(err error) failure {
	var f failure
	var reply *smtp.SMTPError
	var early *textproto.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &reply):
		f = failure{code: reply.Code, text: reply.Message}
		if e := reply.EnhancedCode; e != (smtp.EnhancedCode{}) && e != smtp.NoEnhancedCode {
			f.enhanced = fmt.Sprintf("%d.%d.%d", e[0], e[1], e[2])
			f.text = f.enhanced + " " + f.text
		}
	case errors.As(err, &early):
		f = failure{code: early.Code, text: early.Msg, enhanced: enhancedCode.FindString(early.Msg)}
	default:
		return temporary("4.4.2", "the connection failed: %v", err)
	}
	f.text = fmt.Sprintf("%03d %s", f.code, f.text)
	f.state = Temporary
	if f.code >= 500 && f.code <= 599 {
		f.state = Permanent
	}
	return f
}

// ofHost makes a refusal of the connection one that says nothing of the message.
func (f failure) ofHost() failure {
	f.state = Temporary
	return f
}

// replied reports whether the failure is a reply of the host, after which the
// connection is as good as before.
func (f failure) replied() bool { return f.code != 0 && f.code != 421 && f.code != 221 }

var enhancedCode = regexp.MustCompile(`^[245]\.\d{1,3}\.\d{1,3}\b`)

// maxReply is how much of a reply is kept, in bytes.
const maxReply = 2000

// oneLine makes one line of what a stranger has written.
func oneLine(s string, most int) string {
	var b strings.Builder
	space := false
	for _, r := range s {
		if unicode.IsSpace(r) {
			space = b.Len() > 0
			continue
		}
		if !unicode.IsPrint(r) {
			r = '?'
		}
		if b.Len()+utf8.RuneLen(r)+1 > most {
			break
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// remoteID takes the name of the message out of the reply to it: what stands in the
// first angle brackets, or all of it.
func remoteID(reply string) string {
	reply = oneLine(reply, 256)
	if _, rest, ok := strings.Cut(reply, "<"); ok {
		if id, _, ok := strings.Cut(rest, ">"); ok {
			return id
		}
	}
	return reply
}
