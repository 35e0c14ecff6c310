// Package filter runs the external programs that look at mail: inside the SMTP session
// after RCPT, before DATA and after it (docs/reference/services.md 1.17), and in the queue
// before a message is delivered here or leaves (docs/reference/delivery.md 4). A program
// that hangs, dies, floods its output or makes a mess of the message harms that message
// alone.
package filter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/obs"
	"github.com/xmaild/xmaild/pkg/server/program"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// The kinds of filters, each with a table filters.KIND.tab.
const (
	PostRcpt = "post-rcpt" // on each recipient, when everything else has been checked
	PreData  = "pre-data"  // at DATA, before the message
	PostData = "post-data" // on the whole message
)

// DefaultTimeout is how long a filter may take.
const DefaultTimeout = 90 * time.Second

// maxTimeout is the longest that a table may ask for.
const maxTimeout = time.Hour

// Options say how a [Runner] works. The zero value is good.
type Options struct {
	Log     *slog.Logger     // nil: that of the MailRoot
	Clock   func() time.Time // nil: that of the MailRoot
	Timeout time.Duration    // for rows without timeo; 0: DefaultTimeout
	Filters *obs.TabLog      // the filters log of the reference; nil: none
	TempDir string           // where messages are copied to; "": os.TempDir()
}

// A Runner runs the filters of a MailRoot. It is safe for concurrent use.
type Runner struct {
	root *mailroot.Root
	o    Options
}

// New returns the runner of the filters of a MailRoot.
func New(root *mailroot.Root, o Options) *Runner {
	if o.Log == nil {
		o.Log = root.Log
	}
	if o.Clock == nil {
		o.Clock = root.Now
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	return &Runner{root: root, o: o}
}

// A Message is what filters are told of a message.
type Message struct {
	From    string // "" is the null sender
	HasFrom bool   // MAIL has come

	// Recipient is the recipient at hand, else the last one, as the client gave it;
	// RealRecipient its account, or "".
	Recipient, RealRecipient string

	Local, Remote netip.AddrPort
	Helo          string // what the client calls itself
	Domain        string // of the server, in this session
	ID            string // of the message
	User          string // who has logged in, as typed; "" for nobody
	WhiteListed   bool

	Recipients []spool.Recipient // those that were accepted
	Mail       string            // the MAIL line
	Time       time.Time         // of MAIL
}

// A Verdict is what filters have found. The zero value lets the message pass as it is.
type Verdict struct {
	Reject bool
	Reply  string // with Reject: code, blank and text of the refusal; "" is the usual one

	// Defer asks the client to try again later: a filter failed where FilterFailure
	// says so, or could not even be tried.
	Defer bool

	// NewBody is what a program has made of the message, as the program wrote it, line
	// ends included; nil where none changed it. The caller closes it.
	NewBody io.ReadCloser
}

// Any reports whether there are filters of a kind of the session.
func (r *Runner) Any(kind string) bool {
	for range r.root.Filters(kind) {
		return true
	}
	return false
}

// PostRcpt runs the filters on a recipient, which is not among m.Recipients yet.
func (r *Runner) PostRcpt(ctx context.Context, m Message) Verdict {
	return r.run(ctx, PostRcpt, m, nil)
}

// PreData runs the filters on an envelope.
func (r *Runner) PreData(ctx context.Context, m Message) Verdict {
	return r.run(ctx, PreData, m, nil)
}

// PostData runs the filters on a message. body is read from its beginning, more than
// once; it has neither headers of this server nor doubled dots.
func (r *Runner) PostData(ctx context.Context, m Message, body *io.SectionReader) Verdict {
	return r.run(ctx, PostData, m, body)
}

// A row is one filter.
type row struct {
	words           []string // program and arguments, macros not expanded
	exceptUsers     bool     // aex
	exceptWhiteList bool     // wlex
	timeout         time.Duration
}

func (r *Runner) parse(fields []string) (row, error) {
	x := row{words: fields, timeout: r.o.Timeout}
	flags, ok := strings.CutPrefix(fields[0], "!")
	if !ok {
		return x, nil
	}
	if x.words = fields[1:]; len(x.words) == 0 {
		return x, errors.New("a row without a program")
	}
	for flag := range strings.SplitSeq(flags, ",") {
		name, value, given := strings.Cut(strings.TrimSpace(flag), "=")
		on := !given || mailroot.Atoi(value) != 0
		switch name {
		case "aex":
			x.exceptUsers = on
		case "wlex":
			x.exceptWhiteList = on
		case "timeo":
			if seconds := mailroot.Atoi(value); seconds > 0 {
				x.timeout = min(time.Duration(seconds)*time.Second, maxTimeout)
			}
		}
	}
	return x, nil
}

// What the exit status of a filter means.
const (
	exitReject  = 3  // in the session
	exitStop    = 16 // a bit: no further filters
	exitLater   = 75 // EX_TEMPFAIL of sysexits(3): ask again later, whatever FilterFailure says
	exitCannot  = 255
	maxRejected = 510 // bytes of a refusal
)

// run runs the filters of a kind one after the other.
func (r *Runner) run(ctx context.Context, kind string, m Message, body *io.SectionReader) (v Verdict) {
	if !r.Any(kind) {
		return Verdict{}
	}
	log := r.o.Log.With("filters", kind, "message", m.ID)
	w, err := r.newWork(r.head(m), body)
	if err != nil {
		log.Error("filters cannot be run", "err", err)
		return Verdict{Defer: true}
	}
	defer func() {
		if v.Reject || v.Defer {
			w.dropBody()
		}
		if err := w.folder.Remove(); err != nil {
			log.Warn("the folder of a filter stays", "err", err)
		}
	}()
	deferring := r.root.Vars().Word("FilterFailure") == "defer"
	for fields := range r.root.Filters(kind) {
		x, err := r.parse(fields)
		if err != nil {
			log.Warn("filter skipped", "err", err)
			continue
		}
		switch {
		case x.exceptUsers && m.User != "":
			r.record(kind, m, "EXCL", execSkipped, exitUnknown, x.words)
			continue
		case x.exceptWhiteList && m.WhiteListed:
			r.record(kind, m, "WLISTED", execSkipped, exitUnknown, x.words)
			continue
		}
		if err := w.prepare(); err != nil {
			log.Error("filters cannot be run", "err", err)
			return Verdict{Defer: true}
		}
		result, err := r.one(ctx, kind, m, w, x)
		switch {
		case err != nil:
		case result.Signal:
			err = errors.New(result.String())
		case result.Exit&^exitStop == exitReject:
			return Verdict{Reject: true, Reply: w.reply()}
		case result.Exit == exitLater:
			return Verdict{Defer: true}
		default:
			_, err = w.take()
		}
		stop := result.Signal || err == nil && result.Exit&exitStop != 0
		if err != nil {
			w.made = false // what it has left counts for nothing
			log.Warn("filter failed", "program", x.words[0], "err", err)
			if deferring || ctx.Err() != nil || errors.As(err, new(localError)) {
				return Verdict{Defer: true}
			}
		}
		if stop {
			break
		}
	}
	return Verdict{NewBody: w.newBody()}
}

// one runs one filter. Its error is that there is no exit status that means anything.
func (r *Runner) one(ctx context.Context, kind string, m Message, w *work, x row) (program.Result, error) {
	words := program.Expand(x.words, macros(m, w.path()))
	result, err := run(ctx, program.Program{Path: words[0], Args: words[1:], Timeout: x.timeout})
	exec, exit := numbers(result, err)
	r.record(kind, m, "", exec, exit, words)
	return result, err
}

// run runs a program whose exit status 255 says that it could not do its work.
func run(ctx context.Context, p program.Program) (program.Result, error) {
	result, err := p.Run(ctx)
	if err == nil && result.Exit == exitCannot {
		err = fmt.Errorf("%s: %s", p.Path, Ended(result))
	}
	return result, err
}

func macros(m Message, file string) map[string]string {
	or := func(values ...string) string {
		for _, v := range values {
			if v != "" {
				return v
			}
		}
		return "-"
	}
	from := m.From
	if !m.HasFrom {
		from = "-"
	}
	return map[string]string{
		"FILE": file, "FROM": from, "CRCPT": or(m.Recipient), "RRCPT": or(m.RealRecipient, m.Recipient),
		"LOCALADDR": addrPort(m.Local), "REMOTEADDR": addrPort(m.Remote), "MSGREF": or(m.ID), "USERAUTH": or(m.User),
	}
}

// addrPort writes an address as the reference does, of both families.
func addrPort(a netip.AddrPort) string {
	return "[" + a.Addr().Unmap().WithZone("").String() + "]:" + strconv.Itoa(int(a.Port()))
}

// record writes a line of the filters log for a filter inside the session.
func (r *Runner) record(kind string, m Message, info string, exec, exit int, words []string) {
	rcpt := m.Recipient
	if kind != PostRcpt && len(m.Recipients) > 1 {
		rcpt = "*"
	}
	r.write(logLine{kind, m.From, rcpt, m.Local.Addr(), m.Remote.Addr(), info, exec, exit, words})
}
