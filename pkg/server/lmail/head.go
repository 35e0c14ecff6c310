package lmail

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/address"
)

// Limits of what stands before a message.
const (
	maxLine = 8 << 10

	// MaxRecipients is how many addresses one message may go to.
	MaxRecipients = 10000
)

// errMalformed is the error of a file that holds no message.
var errMalformed = errors.New("no message")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
}

// A Head is what stands before the message in a file (docs/reference/delivery.md 6.1),
// with parameters as SMTP has them.
type Head struct {
	From       string // empty: the null sender. Without a domain it is of this server
	Body       string // 7BIT or 8BITMIME; empty: not said
	UTF8       bool   // SMTPUTF8 is said
	Ret        string // FULL or HDRS; empty: not said
	EnvID      string
	Recipients []Recipient
}

// A Recipient is an address that a message goes to.
type Recipient struct {
	Address string // without a domain it is of this server
	Notify  string // NEVER, or some of SUCCESS,FAILURE,DELAY
}

// WriteTo writes the lines, and the empty one after them.
func (h Head) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "mail from:<%s>", h.From)
	for _, p := range [][2]string{{"BODY", h.Body}, {"RET", h.Ret}, {"ENVID", xtext(h.EnvID)}} {
		if p[1] != "" {
			fmt.Fprintf(&b, " %s=%s", p[0], p[1])
		}
	}
	if h.UTF8 {
		b.WriteString(" SMTPUTF8")
	}
	b.WriteString("\r\n")
	for _, r := range h.Recipients {
		fmt.Fprintf(&b, "rcpt to:<%s>", r.Address)
		if r.Notify != "" {
			fmt.Fprintf(&b, " NOTIFY=%s", r.Notify)
		}
		b.WriteString("\r\n")
	}
	b.WriteString("\r\n")
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

// readHead reads the lines before a message. Addresses without a domain get the one
// that is given, and each recipient counts once. Errors that are not errMalformed are of
// the reader.
func readHead(r *bufio.Reader, domain string) (h Head, err error) {
	line, err := readLine(r)
	if err != nil {
		return h, err
	}
	rest, ok := cutWord(line, "mail from:")
	if !ok {
		return h, malformed("the first line is not mail from:<…>")
	}
	from, params, err := readPath(rest, domain)
	if err != nil {
		return h, malformed("mail from: %v", err)
	}
	h.From, h.UTF8 = from.String(), from.UTF8()
	for name, value := range params {
		switch name {
		case "BODY":
			h.Body, err = oneOf(value, "7BIT", "8BITMIME")
		case "RET":
			h.Ret, err = oneOf(value, "FULL", "HDRS")
		case "ENVID":
			h.EnvID = unxtext(value)
		case "SMTPUTF8":
			h.UTF8 = true
		}
		if err != nil {
			return h, malformed("mail from: %s: %v", name, err)
		}
	}
	known := make(map[string]bool)
	for n := 2; ; n++ {
		line, err := readLine(r)
		if err != nil {
			return h, err
		}
		if line == "" {
			break
		}
		rest, ok := cutWord(line, "rcpt to:")
		if !ok {
			return h, malformed("line %d is neither rcpt to:<…> nor empty", n)
		}
		if n-2 == MaxRecipients {
			return h, malformed("more than %d recipients", MaxRecipients)
		}
		to, params, err := readPath(rest, domain)
		if err == nil && to.IsNull() {
			err = errors.New("there is no address")
		}
		if err != nil {
			return h, malformed("rcpt to: %v", err)
		}
		h.UTF8 = h.UTF8 || to.UTF8()
		key := strings.ToLower(to.String())
		if known[key] {
			continue
		}
		known[key] = true
		h.Recipients = append(h.Recipients, Recipient{to.String(), notify(params["NOTIFY"])})
	}
	if len(h.Recipients) == 0 {
		return h, malformed("there is no recipient")
	}
	return h, nil
}

// readLine reads a line without its end.
func readLine(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return "", malformed("a line before the message is too long")
		case err == nil:
			return strings.TrimRight(string(line), "\r\n"), nil
		case errors.Is(err, io.EOF):
			return "", malformed("it ends before the empty line")
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		}
	}
}

func cutWord(line, word string) (rest string, ok bool) {
	if len(line) < len(word) || !strings.EqualFold(line[:len(word)], word) {
		return "", false
	}
	return line[len(word):], true
}

// readPath reads an address in brackets, and the parameters after it by their names
// in upper case.
func readPath(s, domain string) (address.Path, map[string]string, error) {
	path, rest, err := address.ParsePath(s)
	if open, after, ok := strings.Cut(s, ">"); err != nil && ok {
		name := strings.TrimPrefix(strings.TrimSpace(open), "<")
		if p, err2 := address.Parse(Qualify(name, domain)); err2 == nil && !strings.Contains(name, "@") {
			path, rest, err = p, after, nil
		}
	}
	if err == nil && !path.IsNull() && path.Domain == "" {
		path.Domain = domain
	}
	params := make(map[string]string)
	for word := range strings.FieldsSeq(rest) {
		name, value, _ := strings.Cut(word, "=")
		params[strings.ToUpper(name)] = value
	}
	return path, params, err
}

// Qualify gives an address the domain that it lacks. What is quoted or empty stays.
func Qualify(name, domain string) string {
	if name == "" || domain == "" || strings.ContainsAny(name, "@\"") {
		return name
	}
	return name + "@" + domain
}

func oneOf(value string, words ...string) (string, error) {
	for _, word := range words {
		if strings.EqualFold(value, word) {
			return word, nil
		}
	}
	return "", fmt.Errorf("%q is none of %s", value, strings.Join(words, ", "))
}

// notify returns a value of NOTIFY in order; what is none counts as not said.
func notify(value string) string {
	words := strings.Split(strings.ToUpper(value), ",")
	for _, word := range words {
		switch word {
		case "SUCCESS", "FAILURE", "DELAY":
		case "NEVER":
			if len(words) > 1 {
				return ""
			}
		default:
			return ""
		}
	}
	return strings.Join(words, ",")
}

// xtext encodes a value of a parameter (RFC 3461 4).
func xtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '+' || c == '=' {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// unxtext decodes it; what is not printable then is left out.
func unxtext(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '+' && i+2 < len(s) {
			if _, err := fmt.Sscanf(s[i+1:i+3], "%02X", &c); err == nil {
				i += 2
			}
		}
		if ' ' <= c && c < 0x7f {
			b.WriteByte(c)
		}
	}
	return b.String()
}
