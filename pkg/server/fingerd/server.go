// Package fingerd answers finger queries (RFC 1288) about accounts: their address,
// real name and home page. docs/reference/services.md section 3 says how the reference
// behaves.
package fingerd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/server/access"
	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/session"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

const (
	// DefaultTimeout is how long a client may take for its query, and again to read
	// the answer.
	DefaultTimeout = 90 * time.Second

	maxLine       = 1024 // of a query with its end
	lookupTimeout = 3 * time.Second
)

// A Log is where queries are written: a log file of package obs.
type Log interface {
	Write(fields ...string) error
}

// A Server answers finger queries, one a connection. Root must be set; no field may be
// changed after the first session.
type Server struct {
	Root *mailroot.Root

	Log       *slog.Logger     // nil discards
	FingerLog Log              // the reference's log file; nil: none
	Clock     func() time.Time // for stamps; nil: time.Now
	Timeout   time.Duration    // 0: DefaultTimeout

	// LocalName returns the host name of an address of this server, "" where it has
	// none. It is asked where POP3Domain is not set, or there is a FingerLog. Nil: no
	// address has one.
	LocalName func(ctx context.Context, ip netip.Addr) string
}

// ServeConn answers the query of a connection. Clients that finger.ipmap.tab does not
// let in get no answer.
func (s *Server) ServeConn(ctx context.Context, c *session.Conn) {
	if !s.allows(c.Remote().Addr()) {
		return
	}
	timeout := s.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return
	}
	c.Idle()
	query, err := readLine(c)
	c.Busy()
	if err != nil {
		return // there is no query to answer
	}
	name := s.localName(ctx, c.Local().Addr())
	s.record(c, name, query)
	if err := c.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return
	}
	// A client that does not read the answer need not have it.
	_, _ = io.WriteString(c, s.answer(query, name))
}

// readLine reads a line without its end: LF, after any number of CR.
func readLine(r io.Reader) (string, error) {
	line, err := bufio.NewReaderSize(io.LimitReader(r, maxLine), 128).ReadString('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func (s *Server) allows(ip netip.Addr) bool {
	var rows []tabfile.Row
	for _, n := range s.Root.IPMap("finger").Matching(ip) {
		rows = append(rows, n.Row)
	}
	verdict := access.NewIPMap(mailroot.FingerMapTab, slices.Values(rows)).Decide(ip, s.Root.Now())
	if !verdict.Allow {
		s.log().Info("client refused", "service", "finger", "address", ip, "reason", verdict.Reason)
	}
	return verdict.Allow
}

func (s *Server) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

// localName returns the host name of the address that the client connected to, where
// it is needed.
func (s *Server) localName(ctx context.Context, ip netip.Addr) string {
	if s.LocalName == nil || s.FingerLog == nil && s.Root.Vars().String("POP3Domain") != "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	return s.LocalName(ctx, ip)
}

// record writes a line of the log of the service (docs/reference/services.md 5.3).
func (s *Server) record(c *session.Conn, name, query string) {
	if s.FingerLog == nil {
		return
	}
	label, domain, _ := strings.Cut(name, ".")
	if name == "" {
		label = c.Local().Addr().String()
	}
	now := time.Now
	if s.Clock != nil {
		now = s.Clock
	}
	// A log that cannot be written says so itself.
	_ = s.FingerLog.Write(label, domain, c.Remote().Addr().String(), now().Format(time.DateTime), query)
}

// answer returns what is sent for a query, with its line ends. Mailing lists answer
// nothing: neither their members nor their settings are for strangers.
func (s *Server) answer(query, localName string) string {
	query = strings.TrimLeft(query, " ")
	if rest, ok := strings.CutPrefix(query, "/"); ok {
		if rest == "" || rest[0] != 'W' && rest[0] != 'w' {
			return "Invalid query\r\n"
		}
		query = strings.TrimLeft(rest[1:], " ") // /W asks for more, and there is no more
	}
	query = strings.TrimRight(query, " ")
	if query == "" {
		return "Empty query not allowed\r\n"
	}
	name, domain := query, ""
	if strings.Contains(query, "@") {
		p, rest, err := address.ParsePath("<" + query + ">")
		if err != nil || rest != "" || p.IsNull() || len(p.Route) > 0 || p.Domain == "" {
			return "Invalid query\r\n"
		}
		name, domain = p.Local, p.Domain
	} else {
		domain = s.domain(localName)
	}
	u, ok := s.Root.Resolve(domain, name)
	if !ok {
		return "User not found\r\n"
	}
	if u.IsList() {
		return ""
	}
	text, err := s.describe(u)
	if err != nil {
		s.log().Error("a finger query cannot be answered", "service", "finger", "user", u.Name+"@"+u.Domain, "err", err)
		return "User not found\r\n"
	}
	return text
}

// domain returns the domain of names without one.
func (s *Server) domain(localName string) string {
	vars := s.Root.Vars()
	if domain := vars.String("POP3Domain"); domain != "" {
		return domain
	}
	if _, domain, ok := strings.Cut(localName, "."); ok {
		return domain
	}
	return vars.String("RootDomain")
}

// describe returns what everybody may know of an account.
func (s *Server) describe(u mailroot.User) (string, error) {
	dir, err := u.Path()
	if err != nil {
		return "", err
	}
	// Past the tables in memory: there are too many accounts to keep them all.
	text, err := s.Root.Store.ReadFile(path.Join(dir, mailroot.UserTab))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	value := func(name string) string {
		if v := printable(mailroot.VariableIn(text, name)); v != "" {
			return v
		}
		return "??"
	}
	return fmt.Sprintf("EMail       : %s\r\n  Real Name : %s\r\n  Home Page : %s\r\n",
		printable(u.Name+"@"+u.Domain), value("RealName"), value("HomePage")), nil
}

// printable returns a text without control characters, which could act on a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || 0x7f <= r && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}
