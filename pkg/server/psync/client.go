package psync

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
)

// A client speaks POP3. It is for one goroutine; close may be called by any.
type client struct {
	host      host
	paced     *paced
	conn      net.Conn // outside or inside TLS
	r         *bufio.Reader
	bare      bool   // the server ends its lines in LF
	timestamp string // of the greeting, for APOP
	tls       string // what TLS is used; empty: none
	remote    netip.AddrPort
	secrets   []string // never in errors
}

// A refusal is a reply that begins with -ERR.
type refusal struct{ command, text string }

func (e *refusal) Error() string { return e.command + " is refused: " + e.text }

func refused(err error) bool {
	var r *refusal
	return errors.As(err, &r)
}

// connect opens a connection to a host by the first of its addresses that answers. The
// greeting was not read yet.
func (f *Fetcher) connect(ctx context.Context, h host, bind netip.Addr) (*client, error) {
	addrs := []netip.Addr{h.addr}
	if !h.addr.IsValid() {
		looking, cancel := context.WithTimeout(ctx, f.o.Timeout)
		defer cancel()
		var err error
		if addrs, err = f.Hosts.LookupHost(looking, h.name); err != nil {
			return nil, fmt.Errorf("host %s cannot be looked up: %w", h.name, err)
		}
	}
	var errs error
	for _, addr := range addrs {
		if bind.IsValid() && addr.Unmap().Is4() != bind.Is4() {
			errs = errors.Join(errs, fmt.Errorf("%v cannot be reached from %v (OutBind)", addr, bind))
			continue
		}
		dialing, cancel := context.WithTimeout(ctx, f.o.Timeout)
		to := netip.AddrPortFrom(addr, h.port)
		conn, err := f.o.Dial(dialing, bind, to)
		cancel()
		if err == nil {
			p := &paced{Conn: conn, timeout: f.o.Timeout}
			p.begin()
			return &client{host: h, paced: p, conn: p, r: bufio.NewReaderSize(p, 16<<10), remote: to}, nil
		}
		errs = errors.Join(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	if errs == nil {
		errs = errors.New("it has no address")
	}
	return nil, fmt.Errorf("no connection to host %s: %w", h.name, errs)
}

func (c *client) close() { c.paced.Conn.Close() }

// line reads a line, without its end.
func (c *client) line() (string, error) {
	line, err := c.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || len(line) > maxLine {
		return "", errors.New("the server sends a line that is too long")
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return "", err
	}
	line = line[:len(line)-1]
	c.bare = !bytes.HasSuffix(line, []byte("\r"))
	return string(bytes.TrimRight(line, "\r")), nil
}

// reply reads the first line of a reply, and returns what follows +OK.
func (c *client) reply(command string) (string, error) {
	line, err := c.line()
	if err != nil {
		return "", fmt.Errorf("reply to %s: %w", command, err)
	}
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case strings.EqualFold(word, "+OK"):
		return rest, nil
	case strings.EqualFold(word, "-ERR"):
		return "", &refusal{command, c.quote(rest)}
	}
	return "", fmt.Errorf("reply to %s is none of POP3: %s", command, c.quote(line))
}

// quote makes what a server says fit for a log.
func (c *client) quote(text string) string {
	for _, secret := range c.secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "*")
		}
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "..."
	}
	return text
}

// do sends a command and returns what follows +OK.
func (c *client) do(command string, args ...string) (string, error) {
	line := strings.Join(append([]string{command}, args...), " ")
	if strings.ContainsAny(line, "\r\n\x00") {
		return "", fmt.Errorf("%s: an argument has a line end in it", command)
	}
	c.paced.begin()
	if _, err := io.WriteString(c.conn, line+"\r\n"); err != nil {
		return "", fmt.Errorf("%s: %w", command, err)
	}
	return c.reply(command)
}

// greeting reads the first line.
func (c *client) greeting() error {
	text, err := c.reply("connection")
	if err != nil {
		return err
	}
	c.timestamp = timestamp(text)
	return nil
}

// timestamp returns the challenge in a greeting: something that may be a Message-ID
// (RFC 1939 7). Others are not digested, since who makes them up may learn of the
// password by the digests.
func timestamp(text string) string {
	begin := strings.IndexByte(text, '<')
	if begin < 0 {
		return ""
	}
	length := strings.IndexByte(text[begin:], '>')
	if length < 0 {
		return ""
	}
	stamp := text[begin : begin+length+1]
	for i := range len(stamp) {
		if stamp[i] <= ' ' || stamp[i] > '~' {
			return ""
		}
	}
	if !strings.Contains(stamp, "@") {
		return ""
	}
	return stamp
}

// stat returns how many messages there are.
func (c *client) stat() (int, error) {
	text, err := c.do("STAT")
	if err != nil {
		return 0, err
	}
	words := strings.Fields(text)
	if len(words) == 0 {
		return 0, errors.New("STAT: the reply has no numbers")
	}
	n, err := strconv.Atoi(words[0])
	if err != nil || n < 0 || n > maxMessages {
		return 0, fmt.Errorf("STAT: there are %s messages", c.quote(words[0]))
	}
	return n, nil
}

// list sends UIDL or LIST, and calls each with the number of a message and what it has
// besides. There are count messages.
func (c *client) list(command string, count int, each func(n int, value string) error) error {
	if _, err := c.do(command); err != nil {
		return err
	}
	for lines := 0; ; lines++ {
		line, err := c.line()
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", command, err)
		case line == ".":
			return nil
		case lines > count+maxLine: // some may have come since
			return fmt.Errorf("%s: %w", command, errFlood)
		}
		if err := item(line, each); err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, c.quote(line))
		}
	}
}

func item(line string, each func(n int, value string) error) error {
	words := strings.Fields(line)
	if len(words) < 2 {
		return errors.New("a line is malformed")
	}
	n, err := strconv.Atoi(words[0])
	if err != nil || n < 1 {
		return errors.New("a line has no number of a message")
	}
	return each(n, words[1])
}

// size returns the size of one message.
func (c *client) size(n int) (size int64, err error) {
	text, err := c.do("LIST", strconv.Itoa(n))
	if err != nil {
		return 0, err
	}
	err = item(text, func(_ int, value string) error {
		size, err = strconv.ParseInt(value, 10, 64)
		return err
	})
	return max(size, 0), err
}

// retrieve sends for a message. It is to be read to its end before the next command.
func (c *client) retrieve(n int, size int64) (*text, error) {
	if _, err := c.do("RETR", strconv.Itoa(n)); err != nil {
		return nil, err
	}
	return &text{r: c.r, bare: c.bare, most: maxGrowth*size + slack}, nil
}

func (c *client) delete(n int) error {
	_, err := c.do("DELE", strconv.Itoa(n))
	return err
}

// quit takes leave. When it returns nil what was deleted is deleted.
func (c *client) quit() error {
	_, err := c.do("QUIT")
	return err
}
