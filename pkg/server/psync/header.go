package psync

import (
	"bytes"
	"io"
	"net/mail"
	"regexp"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A field is a line of a header with those that continue it.
type field struct {
	name string // in lower case; empty for what is none
	text string // as it stands in the message, line ends included
}

// value returns what stands after the colon, on one line.
func (f field) value() string {
	_, value, _ := strings.Cut(f.text, ":")
	return strings.Join(strings.Fields(value), " ")
}

// A header is the beginning of a message.
type header struct {
	fields []field
	rest   []byte // read already: the empty line, and more perhaps
}

// readHeader reads the beginning of a message, at least up to its empty line where
// that comes within maxHeader bytes.
func readHeader(r io.Reader) (header, error) {
	var text []byte
	block := make([]byte, 4096)
	end := -1
	for end < 0 && len(text) < maxHeader {
		n, err := r.Read(block)
		from := max(len(text)-3, 0)
		text = append(text, block[:n]...)
		if bytes.HasPrefix(text, []byte("\r\n")) {
			end = 0
		} else if i := bytes.Index(text[from:], []byte("\r\n\r\n")); i >= 0 {
			end = from + i + 2
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return header{}, err
		}
	}
	if end < 0 {
		end = bytes.LastIndexByte(text, '\n') + 1
	}
	h := header{rest: text[end:]}
	for line := range strings.Lines(string(text[:end])) {
		name, _, ok := strings.Cut(line, ":")
		name = strings.TrimRight(name, " \t")
		switch {
		case (line[0] == ' ' || line[0] == '\t') && len(h.fields) > 0:
			h.fields[len(h.fields)-1].text += line
		case ok && name != "" && !strings.ContainsAny(name, " \t"):
			h.fields = append(h.fields, field{strings.ToLower(name), line})
		default:
			h.fields = append(h.fields, field{text: line})
		}
	}
	return h, nil
}

// write writes the message so far, without what its last delivery has put on it: any
// Return-Path, which the envelope has now, and a Delivered-To before the first other
// field. Those further down tell of loops. A line as mailbox files have it ("From …")
// before all fields gets a name: below the Received it would end the header.
func (h header) write(w io.Writer) error {
	var out bytes.Buffer
	top := true
	for _, f := range h.fields {
		switch {
		case f.name == "return-path", f.name == "delivered-to" && top:
			continue
		case f.name == "" && top && (strings.HasPrefix(f.text, "From ") || strings.HasPrefix(f.text, ">From ")):
			out.WriteString("X-Mailbox-Line: ")
			out.WriteString(f.text)
			continue
		}
		top = false
		out.WriteString(f.text)
	}
	out.Write(h.rest)
	_, err := w.Write(out.Bytes())
	return err
}

// count returns how often a field stands in the header.
func (h header) count(name string) (n int) {
	for _, f := range h.fields {
		if f.name == name {
			n++
		}
	}
	return n
}

// sender returns who has sent the message: Return-Path, which may be the null sender,
// else From.
func (h header) sender() address.Path {
	for _, f := range h.fields {
		if f.name == "return-path" {
			value := f.value()
			if !strings.HasPrefix(value, "<") {
				value = "<" + value + ">"
			}
			p, _, err := address.ParsePath(value)
			if err != nil || p.Domain == "" {
				return address.Path{}
			}
			p.Route = nil
			return p
		}
	}
	for _, f := range h.fields {
		if f.name != "from" {
			continue
		}
		if list, err := mail.ParseAddressList(f.value()); err == nil {
			if p, err := address.Parse(list[0].Address); err == nil {
				return p
			}
		}
		for _, found := range addresses(f.value()) {
			return found
		}
	}
	return address.Path{}
}

// addresses returns what looks like a mail address in the value of a field.
func addresses(value string) []address.Path {
	var all []address.Path
	begin := 0
	for {
		i := strings.IndexByte(value[begin:], '@')
		if i < 0 {
			return all
		}
		at := begin + i
		from, to := at, at+1
		for from > begin && isAtom(value[from-1]) {
			from--
		}
		for to < len(value) && isHost(value[to]) {
			to++
		}
		if p, err := address.Parse(strings.Trim(value[from:at], ".") + "@" + strings.Trim(value[at+1:to], ".")); err == nil {
			all = append(all, p)
		}
		begin = at + 1
	}
}

func isAtom(c byte) bool {
	return c >= 0x80 || c > ' ' && c < 0x7f && !strings.ContainsRune(`()<>[]:;@\,"`, rune(c))
}

func isHost(c byte) bool {
	return c >= 0x80 || c == '-' || c == '.' || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// defaultTags is FetchHdrTags where it is not set (docs/reference/tables.md 5.1).
const defaultTags = "+X-Deliver-To,+Received,To,Cc"

// recipients returns the addresses in the fields that tags name, as accept makes them,
// each once. A tag with a + in front ends the search where a field of it has one.
func (h header) recipients(tags string, accept func(address.Path) (string, error)) ([]string, error) {
	if strings.TrimSpace(tags) == "" {
		tags = defaultTags
	}
	var all []string
	known := make(map[string]bool)
	for tag := range strings.SplitSeq(tags, ",") {
		tag, last := strings.CutPrefix(strings.TrimSpace(tag), "+")
		tag = strings.ToLower(strings.TrimSuffix(tag, ":"))
		for _, f := range h.fields {
			if tag == "" || f.name != tag {
				continue
			}
			found := false
			for _, p := range addresses(f.recipients()) {
				to, err := accept(p)
				if err != nil {
					return nil, err
				}
				if to == "" {
					continue
				}
				found = true
				if key := tabfile.Fold(to); !known[key] && len(all) < maxRecipients {
					known[key] = true
					all = append(all, to)
				}
			}
			if last && found {
				return all, nil
			}
		}
	}
	return all, nil
}

// forClause finds what a Received field says of the recipient.
var forClause = regexp.MustCompile(`(?i)\bfor\s+<?[^\s<>;,]+@`)

// recipients returns the part of the value that has recipients. A Received field may
// name the sender too, who is none: "for <ann@here.test> from <bob@here.test>".
func (f field) recipients() string {
	value := f.value()
	if f.name != "received" {
		return value
	}
	at := forClause.FindStringIndex(value)
	if at == nil {
		return value
	}
	value, _, _ = strings.Cut(value[at[0]:], ";")
	value, _, _ = strings.Cut(value, " from ")
	return value
}

// maxRecipients is how many addresses of one message count.
const maxRecipients = 1000
