package outbound

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/emersion/go-smtp"

	"github.com/xmaild/xmaild/pkg/server/address"
)

// A Message is what is sent.
type Message struct {
	From       string // without angle brackets; empty: the null sender
	Recipients []Recipient

	// Body is the text, header and all, without dot-stuffing. It is read from its
	// beginning for each host that takes it. LF alone goes out as CRLF, CR alone as a
	// blank. Nobody else may use it meanwhile.
	Body io.ReadSeeker
	Size int64 // of Body, in bytes

	UTF8  bool   // it came with SMTPUTF8 (RFC 6531)
	Ret   string // FULL, HDRS or empty (RFC 3461 4.3)
	EnvID string // RFC 3461 4.4, decoded

	Helo string       // by what name the hosts are greeted; empty: as server.tab says
	Log  *slog.Logger // that names the message; nil: that of the Sender
}

// A Recipient is an address that a message is sent to.
type Recipient struct {
	Address string // without angle brackets
	Notify  string // NEVER, or some of SUCCESS,FAILURE,DELAY (RFC 3461 4.1); empty: not said
	ORcpt   string // TYPE;ADDRESS, decoded (RFC 3461 4.2); empty: not said
}

// parse reads an address that is to be sent to, or that mail is from.
func parse(s string) (address.Path, error) {
	p, rest, err := address.ParsePath("<" + s + ">")
	if err == nil && (rest != "" || len(p.Route) > 0) {
		err = errors.New("the address has a route")
	}
	return p, err
}

// plain returns an address in ASCII, for a host that does not know SMTPUTF8. Only the
// domain can be written so.
func plain(p address.Path) (string, bool) {
	if p.UTF8() && p.Domain != "" && !p.Literal() {
		p.Domain = ascii(p.Domain)
	}
	return p.String(), !p.UTF8()
}

// dsn returns the parameters of RCPT, those that can be sent.
func (r Recipient) dsn() *smtp.RcptOptions {
	o := &smtp.RcptOptions{}
	for word := range strings.SplitSeq(strings.ToUpper(r.Notify), ",") {
		switch n := smtp.DSNNotify(strings.TrimSpace(word)); n {
		case smtp.DSNNotifyDelayed, smtp.DSNNotifyFailure, smtp.DSNNotifySuccess:
			if !slices.Contains(o.Notify, n) { // the client of go-smtp sends no word twice
				o.Notify = append(o.Notify, n)
			}
		case smtp.DSNNotifyNever:
			o.Notify = []smtp.DSNNotify{n}
			return r.original(o)
		}
	}
	return r.original(o)
}

func (r Recipient) original(o *smtp.RcptOptions) *smtp.RcptOptions {
	kind, text, _ := strings.Cut(r.ORcpt, ";")
	kind = strings.ToUpper(kind)
	switch {
	case kind == string(smtp.DSNAddressTypeRFC822) && isPrintable(text),
		kind == string(smtp.DSNAddressTypeUTF8) && !strings.ContainsAny(text, "\r\n\x00"):
		o.OriginalRecipientType, o.OriginalRecipient = smtp.DSNAddressType(kind), text
	}
	return o
}

// isPrintable reports whether s can be written as xtext.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// has8bit reports whether a text has bytes that are not ASCII: in its header only
// where headerOnly.
func has8bit(r io.ReadSeeker, headerOnly bool) (bool, error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	in := bufio.NewReaderSize(r, 32<<10)
	for fresh := true; ; {
		line, err := in.ReadSlice('\n')
		whole := err == nil
		if headerOnly && fresh && (bytes.Equal(line, []byte("\r\n")) || bytes.Equal(line, []byte("\n"))) {
			return false, nil
		}
		for _, c := range line {
			if c >= 0x80 {
				return true, nil
			}
		}
		switch {
		case err == io.EOF:
			return false, nil
		case err != nil && err != bufio.ErrBufferFull:
			return false, err
		}
		fresh = whole
	}
}

// A cleaner copies a text and makes a blank of each CR that has no LF after it: what
// other servers would take for the end of a line is none. Dots and LF are the
// business of the writer.
type cleaner struct {
	w       io.Writer
	pending bool // a CR, of which it is not known yet what follows
}

func (c *cleaner) Write(p []byte) (int, error) {
	n := len(p)
	if c.pending && n > 0 {
		c.pending = false
		lead := "\r"
		if p[0] != '\n' {
			lead = " "
		}
		if _, err := io.WriteString(c.w, lead); err != nil {
			return 0, err
		}
	}
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\r')
		switch {
		case i < 0:
			i = len(p)
		case i == len(p)-1:
			c.pending = true
		case p[i+1] == '\n':
			i += 2
		default:
			if _, err := c.w.Write(p[:i]); err != nil {
				return 0, err
			}
			if _, err := io.WriteString(c.w, " "); err != nil {
				return 0, err
			}
			p = p[i+1:]
			continue
		}
		if _, err := c.w.Write(p[:i]); err != nil {
			return 0, err
		}
		if c.pending {
			i++
		}
		p = p[i:]
	}
	return n, nil
}

// end writes what is pending.
func (c *cleaner) end() error {
	if !c.pending {
		return nil
	}
	c.pending = false
	_, err := io.WriteString(c.w, " ")
	return err
}
