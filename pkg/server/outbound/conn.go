package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/xmaild/xmaild/pkg/server/address"
)

// A conn is a connection to a host that has been greeted and is ready for a message.
// It is for one goroutine.
type conn struct {
	profile profile
	times   Timeouts
	raw     net.Conn // outside TLS; it can be closed at any time
	wire    *wire
	client  *smtp.Client
	helo    string
	hello   hello
	tls     string
	proven  bool     // the certificate was good
	sent    int      // messages
	timer   *parking // while it waits for the next message
}

// hello is what a host said to EHLO: keywords in capitals, with their parameters.
type hello map[string]string

func (h hello) has(keyword string) bool {
	_, ok := h[keyword]
	return ok
}

// maxKeywords is how many keywords of a host count.
const maxKeywords = 100

func parseHello(text string) hello {
	h := hello{}
	lines := strings.Split(text, "\n")
	for _, line := range lines[1:min(len(lines), maxKeywords)] {
		keyword, params, _ := strings.Cut(strings.TrimSpace(line), " ")
		keyword = strings.ToUpper(keyword) // longer, where it is not UTF-8
		if len(keyword)+len(params) > 1000 || keyword == "" {
			continue
		}
		// As old servers have it.
		if methods, ok := strings.CutPrefix(keyword, "AUTH="); ok {
			keyword, params = "AUTH", methods+" "+params
			if h.has("AUTH") {
				continue
			}
		}
		h[keyword] = strings.TrimSpace(params)
	}
	return h
}

// text returns the reply to EHLO once more, for the client of go-smtp.
func (h hello) text(helo string) []byte {
	var b strings.Builder
	b.WriteString("250-" + helo + "\r\n")
	for keyword, params := range h {
		b.WriteString(strings.TrimRight("250-"+keyword+" "+params, " ") + "\r\n")
	}
	b.WriteString("250 HELP\r\n")
	return []byte(b.String())
}

// maxSize returns how many bytes a message may have; 0: any number, or not known.
func (h hello) maxSize() int64 {
	n, err := strconv.ParseInt(h["SIZE"], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// errHandshake is what the failure of a handshake wraps.
var errHandshake = errors.New("the handshake of TLS failed")

// A setupError is why a connection is of no use. answered: the host has greeted.
type setupError struct {
	failure
	answered bool
	cause    error
}

func (e *setupError) Error() string { return e.text }
func (e *setupError) Unwrap() error { return e.cause }

// open connects to a host, greets it, and logs in where there is a login for it. With
// clear it does without TLS. The error is a *setupError.
func (s *Sender) open(ctx context.Context, t target, p profile, login *login, clear bool) (*conn, error) {
	dialing, cancel := context.WithTimeout(ctx, s.o.Timeouts.Connect)
	defer cancel()
	raw, err := s.o.Dial(dialing, t.Bind, t.addr)
	if err != nil {
		return nil, &setupError{failure: temporary("4.4.1", "no connection to %s (%v): %v", t.Name, t.addr, err), cause: err}
	}
	c := &conn{profile: p, times: s.o.Timeouts, raw: raw, wire: newWire(raw)}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	if err := s.greet(ctx, c, t, clear); err != nil {
		raw.Close()
		return nil, err
	}
	if err := s.logIn(c, t, login, clear); err != nil {
		raw.Close()
		return nil, &setupError{failure: judge(err).ofHost(), answered: true, cause: err}
	}
	return c, nil
}

// greet does all up to the end of EHLO inside TLS. The error is a *setupError.
func (s *Sender) greet(ctx context.Context, c *conn, t target, clear bool) error {
	answered := false
	fail := func(err error) error {
		f := judge(err).ofHost()
		f.text = fmt.Sprintf("host %s (%v): %s", t.Name, t.addr, f.text)
		return &setupError{failure: f, answered: answered, cause: err}
	}
	c.wire.step(c.times.Greeting, 0)
	if _, _, err := textproto.NewReader(c.wire.r).ReadResponse(220); err != nil {
		return fail(err)
	}
	answered = true
	c.helo = c.profile.helo
	if c.helo == "" {
		c.helo = s.helo(ctx, c.raw)
	}
	if err := c.sayHello(); err != nil {
		return fail(err)
	}
	if err := s.startTLS(ctx, c, t, clear); err != nil {
		return fail(err)
	}
	c.client = smtp.NewClient(c.wire)
	if err := c.handOver("220 replay\r\n"); err != nil {
		return fail(err)
	}
	return nil
}

// sayHello says EHLO, or HELO to a host that does not know it.
func (c *conn) sayHello() error {
	text, err := c.command(250, "EHLO "+c.helo)
	var reply *textproto.Error
	if errors.As(err, &reply) && reply.Code >= 500 {
		_, err = c.command(250, "HELO "+c.helo)
		text = ""
	}
	c.hello = parseHello(text)
	return err
}

// command does a command before the client of go-smtp is there.
func (c *conn) command(want int, line string) (string, error) {
	c.wire.step(c.times.Command, 0)
	if _, err := c.wire.Write([]byte(line + "\r\n")); err != nil {
		return "", err
	}
	_, text, err := textproto.NewReader(c.wire.r).ReadResponse(want)
	return text, err
}

// handOver lets the client of go-smtp say EHLO, which nobody hears.
func (c *conn) handOver(before string) error {
	c.wire.replay = append([]byte(before), c.hello.text(c.helo)...)
	c.wire.mute = true
	defer func() { c.wire.mute = false }()
	return c.client.Hello(c.helo)
}

// reset ends a transaction in which there is nothing to be sent.
func (c *conn) reset() error {
	c.step()
	if err := c.client.Reset(); err != nil {
		return err
	}
	return c.handOver("") // the client would say EHLO again
}

// step begins a command of the client.
func (c *conn) step() { c.wire.step(c.times.Command, 0) }

// quit says goodbye, and does not wait for the answer for long.
func (c *conn) quit() {
	const enough = 2 * time.Second
	c.wire.step(enough, 0)
	_ = c.client.Quit() // it is over in any case
	c.raw.Close()
}

func (c *conn) close() { c.raw.Close() }

// helo returns by what name to greet a host: HeloDomain, else the name of our own
// address by the DNS, else RootDomain, else the address itself.
func (s *Sender) helo(ctx context.Context, c net.Conn) string {
	vars := s.root.Vars()
	if name := vars.String("HeloDomain"); address.IsHost(name) {
		return ascii(name)
	}
	ip, known := localAddress(c)
	if known && !ip.IsLoopback() {
		names, err := s.dns.LookupPTR(ctx, ip)
		if err == nil && len(names) > 0 && address.IsDomain(names[0]) && strings.Contains(names[0], ".") {
			return ascii(names[0])
		}
	}
	if name := vars.String("RootDomain"); address.IsDomain(name) {
		return ascii(name)
	}
	switch {
	case !known:
		return "localhost"
	case ip.Is4():
		return "[" + ip.String() + "]"
	}
	return "[IPv6:" + ip.String() + "]"
}
