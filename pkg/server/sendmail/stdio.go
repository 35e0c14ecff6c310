package sendmail

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// stdio is a connection on standard input and output. The client is a program of this
// machine: where it ends its first line in LF alone all its lines may end so, and it may
// leave out the domains of addresses.
type stdio struct {
	in     *bufio.Reader
	out    io.Writer
	domain string // of addresses that have none
	end    sync.Once
	closed chan struct{}

	line  []byte // what is left of a line
	lines int
	bare  bool // lines end in LF
	mid   bool // what comes next goes on with a line
	chunk int64

	mu   sync.Mutex
	data bool // what comes is a message, and not commands
}

// bareDomain stands in the session for the domain that an address does not have.
const bareDomain = "none.invalid"

func newStdio(in io.Reader, out io.Writer, domain string) *stdio {
	if domain == "" {
		domain = bareDomain
	}
	return &stdio{in: bufio.NewReaderSize(in, 64<<10), out: out, domain: domain, closed: make(chan struct{})}
}

// bare returns an address as the client has written it.
func bare(address string) string { return strings.TrimSuffix(address, "@"+bareDomain) }

var (
	bareAddress = regexp.MustCompile(`(?i)^((?:MAIL FROM|RCPT TO):[ \t]*<[^<>@":, \t]+)>`)
	chunkSize   = regexp.MustCompile(`(?i)^BDAT[ \t]+([0-9]{1,18})\b`)
)

// Read reads a line at most: what a line means may depend on the reply to the one before.
func (c *stdio) Read(p []byte) (int, error) {
	if c.chunk > 0 {
		n, err := c.in.Read(p[:min(int64(len(p)), c.chunk)])
		c.chunk -= int64(n)
		return n, err
	}
	if len(c.line) == 0 {
		line, err := c.in.ReadSlice('\n')
		if len(line) == 0 {
			return 0, err // not with a line: what is read counts first
		}
		c.line = c.command(line)
		c.mid = errors.Is(err, bufio.ErrBufferFull)
	}
	n := copy(p, c.line)
	c.line = c.line[n:]
	return n, nil
}

// command returns a line, or a part of one, as the session gets it.
func (c *stdio) command(line []byte) []byte {
	if c.lines++; c.lines == 1 {
		c.bare = !bytes.HasSuffix(line, []byte("\r\n"))
	}
	c.mu.Lock()
	data := c.data
	c.mu.Unlock()
	if !data && !c.mid {
		line = bareAddress.ReplaceAll(line, []byte("${1}@"+c.domain+">"))
		if m := chunkSize.FindSubmatch(line); m != nil {
			c.chunk, _ = strconv.ParseInt(string(m[1]), 10, 64) // digits
		}
	}
	if text, ok := bytes.CutSuffix(line, []byte("\n")); ok && c.bare && !bytes.HasSuffix(text, []byte("\r")) {
		line = append(bytes.Clone(text), "\r\n"...)
	}
	return line
}

// Write writes replies.
func (c *stdio) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.data = bytes.HasPrefix(p, []byte("354"))
	c.mu.Unlock()
	return c.out.Write(p)
}

func (c *stdio) Close() error {
	c.end.Do(func() { close(c.closed) })
	return nil
}
func (c *stdio) LocalAddr() net.Addr              { return local{} }
func (c *stdio) RemoteAddr() net.Addr             { return local{} }
func (c *stdio) SetDeadline(time.Time) error      { return nil }
func (c *stdio) SetReadDeadline(time.Time) error  { return nil }
func (c *stdio) SetWriteDeadline(time.Time) error { return nil }

// local is the address of who speaks.
type local struct{}

func (local) Network() string { return "stdio" }
func (local) String() string  { return "stdio" }
