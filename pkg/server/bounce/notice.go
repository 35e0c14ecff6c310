// Package bounce writes the notifications that tell a sender, or an administrator,
// what has become of a message: reports for programs (RFC 3464, RFC 6522, and RFC
// 6533 for addresses beyond ASCII) around the text that the reference writes for
// people (docs/reference/delivery.md 5). Who is told, and from which sender, is for
// the caller to decide; what nobody asked for, or would go in circles, is refused.
package bounce

import (
	"crypto/rand"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

// An Action is what has become of a recipient (RFC 3464 2.3.3).
type Action string

// The actions.
const (
	Failed    Action = "failed"
	Delayed   Action = "delayed"
	Delivered Action = "delivered"
	Relayed   Action = "relayed"  // handed to a server that tells nobody of its success
	Expanded  Action = "expanded" // handed to the members of a list
)

// The reasons that the reference gives (docs/reference/delivery.md 5.3).
const (
	ReasonExpired = "The maximum number of delivery attempts has been reached"
	ReasonQuota   = "User maximum mailbox size reached"
	ReasonNoTLS   = "Remote server does not support TLS"
	ReasonTooBig  = "Message too big for the remote SMTP server"
	ReasonLoop    = "Mail loop detected"
)

// Why there is to be no notification.
var (
	// ErrNobody is the error of a notice to the null sender.
	ErrNobody = errors.New("bounce: the message has no sender who could be told")

	// ErrUnwanted is the error of a notice that NOTIFY does not ask for (RFC 3461
	// 4.1), or to a program that would not read it.
	ErrUnwanted = errors.New("bounce: the sender does not want to be told")

	// ErrLoop is the error of a notice about a notice.
	ErrLoop = errors.New("bounce: the message is a notification itself")
)

// A Recipient is an address of the message, and what has become of it. Texts may be
// a stranger's.
type Recipient struct {
	Address string // as in the envelope, a source route included
	ORcpt   string // RFC 3461 4.2: a type, a semicolon, an address; decoded
	Notify  string // RFC 3461 4.1
	Action  Action

	Reason string    // for people; empty: the reply is one
	Status string    // RFC 3463, as 5.1.1; empty: that of the reply, or of the action
	Reply  string    // of the other server, its lines separated by LF or CRLF
	Host   string    // the other server
	IP     string    // of the other server
	Last   time.Time // of the last attempt

	Attempt int       // number of the last attempt; of Delayed
	Next    time.Time // of the next attempt; of Delayed
	Until   time.Time // when it is given up; of Delayed; zero: not known
}

// A Notice is a notification that is to be written.
type Notice struct {
	ID         string    // of the notice itself, as X1B
	Time       time.Time // when it is written
	To         string    // whom it is for, without angle brackets
	Admin      bool      // that is an administrator, and not the sender of the message
	Domain     string    // RootDomain; empty: localhost
	Postmaster string    // PostMaster; empty: postmaster of that domain
	Identity   string    // of the software, ServerIdentity; empty: xmaild

	Name       string    // of the message in the queue
	MessageID  string    // as S1A2B
	From       string    // its sender; empty: the null sender
	EnvID      string    // RFC 3461 4.4, decoded
	Ret        string    // FULL or HDRS (RFC 3461 4.3)
	Arrived    time.Time // when it came
	Recipients []Recipient

	Message    io.ReadSeeker // its text, read from the beginning; nil: nothing of it is shown
	ExtraLines int           // of its body that are shown after its header: NotifyMsgLinesExtra
	MaxReturn  int64         // bytes that RET=FULL returns; a longer message is shown as if RET were HDRS. 0: 1 MiB
	Log        string        // of the attempts, as NotifySendLogToSender has it; empty: not shown
}

// DefaultMaxReturn is how many bytes of a message are returned unless told otherwise.
const DefaultMaxReturn = 1 << 20

// A Message is a notification that is ready to be written. How it has to be sent is
// known before it is written, and its envelope needs that.
type Message struct {
	EightBit bool // BODY=8BITMIME
	UTF8     bool // SMTPUTF8

	n        Notice
	boundary string
	original original
}

// New looks at what the notice is about. The error is [ErrNobody], [ErrUnwanted] or
// [ErrLoop] where there is to be no notification; others are of reading the message.
// The message is read again when the notification is written.
func New(n Notice) (*Message, error) {
	if n.To == "" {
		return nil, ErrNobody
	}
	if n.Identity == "" {
		n.Identity = "xmaild"
	}
	if n.Domain == "" {
		n.Domain = "localhost"
	}
	if n.Postmaster == "" {
		n.Postmaster = "postmaster@" + n.Domain
	}
	if n.MaxReturn == 0 {
		n.MaxReturn = DefaultMaxReturn
	}
	if !n.Admin {
		wanted := make([]Recipient, 0, len(n.Recipients))
		for _, r := range n.Recipients {
			if Wanted(r.Notify, r.Action) {
				wanted = append(wanted, r)
			}
		}
		n.Recipients = wanted
	}
	if len(n.Recipients) == 0 {
		return nil, ErrUnwanted
	}
	m := &Message{n: n, boundary: rand.Text()}
	if n.Message != nil {
		var err error
		if m.original, err = look(n); err != nil {
			return nil, err
		}
	}
	if m.original.isNotice() {
		return nil, ErrLoop
	}
	if !n.Admin && m.unread() {
		return nil, ErrUnwanted
	}
	m.EightBit = m.original.full && m.original.eightBit
	m.UTF8 = !isASCII(n.To) || !isASCII(n.Postmaster) || !isASCII(n.Domain)
	return m, nil
}

// Wanted reports whether NOTIFY, empty where the client said none, asks to be told of
// an action (RFC 3461 4.1).
func Wanted(notify string, a Action) bool {
	if notify == "" {
		return a == Failed || a == Delayed
	}
	word := "SUCCESS"
	switch a {
	case Failed:
		word = "FAILURE"
	case Delayed:
		word = "DELAY"
	}
	for has := range strings.SplitSeq(notify, ",") {
		if strings.EqualFold(strings.TrimSpace(has), word) {
			return true
		}
	}
	return false
}

// unread reports whether the sender is a program that reads no such notification. The
// answer of a program does not matter to anybody; that mail of a list or of a program
// is late does not matter either, as long as it arrives (RFC 3834 2).
func (m *Message) unread() bool {
	auto := strings.ToLower(m.original.field("Auto-Submitted"))
	if strings.HasPrefix(auto, "auto-replied") {
		return true
	}
	for _, r := range m.n.Recipients {
		if r.Action != Delayed || r.Notify != "" {
			return false
		}
	}
	switch strings.ToLower(m.original.field("Precedence")) {
	case "bulk", "list", "junk":
		return true
	}
	return auto != "" && auto != "no"
}

// action returns the worst of what has become of the recipients.
func (m *Message) action() Action {
	worst := m.n.Recipients[0].Action
	for _, r := range m.n.Recipients {
		if r.Action == Failed || r.Action == Delayed && worst != Failed {
			worst = r.Action
		}
	}
	return worst
}

// Write writes a notification. Where its envelope has to be known before, use [New].
func Write(w io.Writer, n Notice) error {
	m, err := New(n)
	if err != nil {
		return err
	}
	_, err = m.WriteTo(w)
	return err
}

// TryMatches reports whether the sender is told of the failure of an attempt of that
// number, by the variable NotifyTryPattern: numbers with commas between them
// (docs/reference/delivery.md 5.2).
func TryMatches(pattern string, attempt int) bool {
	for number := range strings.SplitSeq(pattern, ",") {
		if n, err := strconv.Atoi(strings.TrimSpace(number)); err == nil && n == attempt {
			return true
		}
	}
	return false
}
