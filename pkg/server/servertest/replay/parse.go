// Package replay reads recorded exchanges (testdata/conformance/README.md) and
// plays them to a server, over real sockets and with a client of its own, so
// that the server is not checked by the code that it shares with ours.
//
// Beyond the format of the recordings it knows, for exchanges of our own:
//
//	>~ TEXT     a line of an upload, sent as it is: no dot is added
//	< EOF       the server closes the connection without a further line
//	<~ TEXT     a row of a list, in which * stands for anything
//	<*          any rows, from here to the end of a list
//	= none PATH nothing is there
//	! back      back to the session that ! ctrl left, which is still open
//	- PATH      a file or tree removed while the server is stopped, as + writes one
package replay

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A File is a parsed recording.
type File struct {
	Name  string
	Steps []Step
}

// A Step is one thing to do or to expect. Which fields count depends on Op.
type Step struct {
	Op   Op
	Line int // in the file, from 1

	Files []NewFile // Fresh, Restart: written before the server starts
	Conn  Conn      // Connect
	Text  string    // Send: the line. Reply: sign and digits, EOF, or what another service says. Cat, Tree, None, Wait: the path. Service: its name
	Count int       // Wait

	Upload []string // Send: lines as they are sent after +00101, dots stuffed
	End    bool     // Send: the upload is ended by a dot

	Rows []Row // Reply, Cat, Tree
	Open bool  // Reply: more rows may follow
}

// A Row is a line of a list, of a file or of a tree.
type Row struct {
	Line    int
	Text    string
	Pattern bool // * in it stands for anything
}

// A NewFile is a file that is written, or removed, while the server does not run.
type NewFile struct {
	Path    string
	Content []byte
	Remove  bool
}

// Conn says how to connect.
type Conn struct {
	NoAuth, Plain, TLS bool
	User, Pass         string
}

// Op is what a step is about.
type Op int

// The kinds of steps.
const (
	Fresh Op = iota
	Restart
	Connect
	Send
	Reply
	Cat
	Tree
	None
	Service // a session at another service
	Ctrl    // back to the control connection
	Back    // back to the session that Ctrl left
	Wait
)

// EOF is the reply of a server that closes the connection.
const EOF = "EOF"

// The account that recordings log in with.
const (
	DefaultUser = "admin"
	DefaultPass = "secretpw"
)

// ParseFile parses the recording in a file.
func ParseFile(path string) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, string(text))
}

// Parse parses a recording. The name is for messages.
func Parse(name, text string) (*File, error) {
	p := parser{file: &File{Name: name}}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if err := p.line(i+1, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
	}
	if steps := p.file.Steps; len(steps) == 0 || steps[0].Op != Fresh {
		p.file.Steps = append([]Step{{Op: Fresh}}, steps...)
	}
	return p.file, nil
}

type parser struct{ file *File }

var errPlace = errors.New("this line cannot stand here")

// last returns the latest step, if it is one of ops.
func (p *parser) last(ops ...Op) *Step {
	if len(p.file.Steps) == 0 {
		return nil
	}
	s := &p.file.Steps[len(p.file.Steps)-1]
	for _, op := range ops {
		if s.Op == op {
			return s
		}
	}
	return nil
}

func (p *parser) add(s Step) { p.file.Steps = append(p.file.Steps, s) }

func (p *parser) line(n int, line string) error {
	if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
		return nil
	}
	mark, text, _ := strings.Cut(line, " ")
	text, err := Unescape(text)
	if err != nil {
		return err
	}
	switch mark {
	case "!":
		return p.control(n, text)
	case "=":
		return p.state(n, text)
	case ">":
		p.add(Step{Op: Send, Line: n, Text: text})
	case "<":
		return p.reply(n, text)
	case "+", "-":
		return p.newFile(n, NewFile{Path: text, Remove: mark == "-"})
	case ">|", ">~", ">.":
		s := p.last(Send)
		if s == nil || s.End {
			return errPlace
		}
		switch {
		case mark == ">.":
			s.End = true
		case mark == ">|" && strings.HasPrefix(text, "."):
			s.Upload = append(s.Upload, "."+text)
		default:
			s.Upload = append(s.Upload, text)
		}
	case "<|", "<~":
		s := p.last(Reply, Send, Service) // finger has no status
		if s == nil || s.Open {
			return errPlace
		}
		s.Rows = append(s.Rows, Row{n, text, mark == "<~"})
	case "<*":
		s := p.last(Reply)
		if s == nil {
			return errPlace
		}
		s.Open = true
	case "=|":
		s := p.last(Cat, Tree, Wait)
		if s == nil {
			return errPlace
		}
		s.Rows = append(s.Rows, Row{Line: n, Text: text})
	case "+|":
		s := p.last(Fresh, Restart)
		if s == nil || len(s.Files) == 0 || s.Files[len(s.Files)-1].Remove {
			return errPlace
		}
		f := &s.Files[len(s.Files)-1]
		f.Content = append(append(f.Content, text...), '\n')
	default:
		return fmt.Errorf("unknown mark %q", mark)
	}
	return nil
}

// reply keeps of a status of the control protocol what counts, and the whole of
// what other services say.
func (p *parser) reply(n int, text string) error {
	if len(text) >= 6 && (text[0] == '+' || text[0] == '-') && strings.Trim(text[1:6], "0123456789") == "" {
		text = text[:6]
	}
	p.add(Step{Op: Reply, Line: n, Text: text})
	return nil
}

func (p *parser) newFile(n int, file NewFile) error {
	if len(p.file.Steps) == 0 {
		p.add(Step{Op: Fresh, Line: n})
	}
	s := p.last(Fresh, Restart)
	if s == nil || file.Path == "" {
		return errPlace
	}
	s.Files = append(s.Files, file)
	return nil
}

func (p *parser) state(n int, text string) error {
	verb, path, _ := strings.Cut(text, " ")
	op, ok := map[string]Op{"cat": Cat, "tree": Tree, "none": None}[verb]
	if !ok || path == "" {
		return fmt.Errorf("unknown check %q", text)
	}
	p.add(Step{Op: op, Line: n, Text: path})
	return nil
}

func (p *parser) control(n int, text string) error {
	words := strings.Fields(text)
	if len(words) == 0 {
		return errors.New("! without a word")
	}
	switch words[0] {
	case "fresh":
		p.add(Step{Op: Fresh, Line: n})
	case "restart":
		p.add(Step{Op: Restart, Line: n})
	case "conn":
		conn, err := parseConn(words[1:])
		if err != nil {
			return err
		}
		p.add(Step{Op: Connect, Line: n, Conn: conn})
	case "smtp", "pop3", "finger":
		p.add(Step{Op: Service, Line: n, Text: words[0]})
	case "ctrl":
		p.add(Step{Op: Ctrl, Line: n})
	case "back":
		p.add(Step{Op: Back, Line: n})
	case "wait":
		if len(words) != 3 {
			return errors.New("wait needs a path and a number")
		}
		count, err := strconv.Atoi(words[2])
		if err != nil {
			return err
		}
		p.add(Step{Op: Wait, Line: n, Text: words[1], Count: count})
	default:
		return fmt.Errorf("unknown step %q", words[0])
	}
	return nil
}

func parseConn(words []string) (Conn, error) {
	c := Conn{User: DefaultUser, Pass: DefaultPass}
	for i := 0; i < len(words); i++ {
		switch w := words[i]; w {
		case "noauth":
			c.NoAuth = true
		case "plain":
			c.Plain = true
		case "tls":
			c.TLS = true
		case "user", "pass":
			i++
			if i == len(words) {
				return c, fmt.Errorf("%s without a word", w)
			}
			if w == "user" {
				c.User = words[i]
			} else {
				c.Pass = words[i]
			}
		default:
			return c, fmt.Errorf("unknown word %q after conn", w)
		}
	}
	return c, nil
}

// Unescape reads \t, \\ and \xNN.
func Unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		switch rest := s[i+1:]; {
		case strings.HasPrefix(rest, "t"):
			b.WriteByte('\t')
			i++
		case strings.HasPrefix(rest, `\`):
			b.WriteByte('\\')
			i++
		case strings.HasPrefix(rest, "x") && len(rest) >= 3:
			c, err := strconv.ParseUint(rest[1:3], 16, 8)
			if err != nil {
				return "", fmt.Errorf("bad escape in %q", s)
			}
			b.WriteByte(byte(c))
			i += 3
		default:
			return "", fmt.Errorf("bad escape in %q", s)
		}
	}
	return b.String(), nil
}

// Escape is the reverse of [Unescape].
func Escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\\':
			b.WriteString(`\\`)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
