package spool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/address"
)

// mailData ends the lines before the message in a file of the reference.
const mailData = "<<MAIL-DATA>>"

// maxMail is how long the MAIL line may be that is kept as it came.
const maxMail = 4000

// writeSpoolFile writes a message as the reference keeps it, for one recipient
// (docs/reference/delivery.md 1.3): six lines, and the message with its dots stuffed.
func writeSpoolFile(w io.Writer, e Envelope, r Recipient, body io.Reader) error {
	b := bufio.NewWriterSize(w, 16<<10)
	domain := treeText(e.Domain)
	if domain == "" {
		domain = "localdomain"
	}
	fmt.Fprintf(b, "%s;%s;%s\r\n%s\r\n%s\r\n%s\r\n%s\r\n%s\r\n", socket(e.Client), socket(e.Server),
		e.Time.Local().Format(treeTime), domain, treeText(e.ID), mailLine(e), rcptLine(r), mailData) // Flush has the error
	if err := stuff(b, body); err != nil {
		return err
	}
	return b.Flush()
}

func socket(a netip.AddrPort) string {
	if !a.IsValid() {
		return "[127.0.0.1]:0"
	}
	return fmt.Sprintf("[%s]:%d", a.Addr(), a.Port())
}

// mailLine returns the MAIL line as it came, or one that says the same.
func mailLine(e Envelope) string {
	if line := treeText(e.Mail); line == e.Mail && len(line) <= maxMail {
		if path, ok := cutCommand(line, "MAIL FROM:"); ok {
			if p, _, err := address.ParsePath(path); err == nil && p.String() == e.From {
				return line
			}
		}
	}
	line := "MAIL FROM:<" + treeText(e.From) + ">"
	if e.Body != "" {
		line += " BODY=" + treeText(e.Body)
	}
	if e.UTF8 {
		line += " SMTPUTF8"
	}
	if e.Ret != "" {
		line += " RET=" + treeText(e.Ret)
	}
	if e.EnvID != "" {
		line += " ENVID=" + xtext(e.EnvID)
	}
	return line
}

func rcptLine(r Recipient) string {
	line := "RCPT TO:<" + treeText(r.Address) + ">"
	if r.Notify != "" {
		line += " NOTIFY=" + treeText(r.Notify)
	}
	if kind, original, ok := strings.Cut(r.ORcpt, ";"); ok {
		line += " ORCPT=" + treeText(kind) + ";" + xtext(original)
	}
	return line
}

// xtext encodes a value of a parameter (RFC 3461 4). What is beyond ASCII stays as
// it is.
func xtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '+' || c == '=' || c == 0x7f {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// stuff copies a message and doubles the dots that begin lines.
func stuff(w *bufio.Writer, r io.Reader) error {
	b := bufio.NewReaderSize(r, 16<<10)
	for start := true; ; {
		part, err := b.ReadSlice('\n')
		if start && len(part) > 0 && part[0] == '.' {
			w.WriteByte('.') // a later write has the error
		}
		if _, werr := w.Write(part); werr != nil {
			return werr
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
		start = err == nil
	}
}
