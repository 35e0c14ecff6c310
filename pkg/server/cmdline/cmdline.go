// Package cmdline reads the command line of xmaild: the reference server's
// option letters (docs/reference/tables.md 7.1), long options by name, and the
// environment variables MAIL_ROOT, MAIL_CMD_LINE, XMAIL_PID_DIR and XMAIL_DROP.
//
// Letters and long options may be mixed; the later one wins, and those of
// MAIL_CMD_LINE come after the arguments. Letters that are not known are
// ignored with a warning, as the reference ignores them; a long option that is
// not known is an error.
package cmdline

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/xmaild/xmaild/pkg/server"
)

// ErrHelp is returned by [Parser.Parse] when -h or --help is among the arguments.
var ErrHelp = errors.New("help requested")

// DefaultPIDDir is where the pid file goes unless XMAIL_PID_DIR or --pid-dir says otherwise.
const DefaultPIDDir = "/var/run"

// A Parser reads one command line.
type Parser struct {
	Config   server.Config
	Verbose  bool     // -Md: log more
	Detach   bool     // --detach
	JSONLogs bool     // --log-format json
	Words    []string // arguments that are no options
	Warnings []string // what was accepted and has no effect

	pidDir    string
	listeners map[byte]*listener  // by the letter of the service
	missing   map[string][]string // letters used, by the service that is not there yet
	flags     *pflag.FlagSet
}

// A listener is where a service is to listen.
type listener struct {
	*server.Endpoint
	values []string // of the addresses, as they were given
	chosen bool     // an option chose the port
	asked  bool     // an option said where to listen
}

// New returns a parser that puts its long options into flags, beside those
// that are there.
func New(flags *pflag.FlagSet) *Parser {
	p := &Parser{
		pidDir:  DefaultPIDDir,
		missing: map[string][]string{},
		flags:   flags,
	}
	c := &p.Config
	p.listeners = make(map[byte]*listener)
	for _, service := range []struct {
		letter   byte
		endpoint *server.Endpoint
		port     int
	}{
		{'S', &c.SMTP, server.DefaultSMTPPort}, {'X', &c.SMTPS, server.DefaultSMTPSPort},
		{'P', &c.POP3, server.DefaultPOP3Port}, {'B', &c.POP3S, server.DefaultPOP3SPort},
		{'F', &c.Finger, server.DefaultFingerPort},
		{'C', &c.Ctrl, server.DefaultCtrlPort}, {'W', &c.Ctrls, server.DefaultCtrlsPort},
	} {
		service.endpoint.Port = service.port
		p.listeners[service.letter] = &listener{Endpoint: service.endpoint}
	}
	p.addFlags()
	return p
}

// Parse reads the arguments (without the program's name) and the environment.
// argv0 is the name the program was called by, which names the pid file.
func (p *Parser) Parse(argv0 string, args []string, getenv func(string) string) error {
	if root := getenv("MAIL_ROOT"); root != "" {
		p.Config.Root = trimSlash(root)
	}
	if dir := getenv("XMAIL_PID_DIR"); dir != "" {
		p.pidDir = dir
	}
	p.Config.Drop = trimSlash(getenv("XMAIL_DROP"))
	more, err := Split(getenv("MAIL_CMD_LINE"))
	if err != nil {
		return fmt.Errorf("MAIL_CMD_LINE: %w", err)
	}
	if err := p.walk(args); err != nil {
		return err
	}
	if err := p.walk(more); err != nil {
		return fmt.Errorf("MAIL_CMD_LINE: %w", err)
	}
	for _, letter := range slices.Sorted(maps.Keys(p.listeners)) {
		l := p.listeners[letter]
		if l.Addrs, err = addresses("-"+string(letter)+"I", l.values, l.Port); err != nil {
			return err
		}
	}
	p.Config.FingerAsked = p.listeners['F'].asked
	if p.pidDir != "" {
		p.Config.PIDFile = filepath.Join(p.pidDir, programName(argv0)+".pid")
	}
	p.warnMissing()
	return nil
}

// Chosen reports whether an option chose where an endpoint of Config listens.
func (p *Parser) Chosen(e *server.Endpoint) bool {
	for _, l := range p.listeners {
		if l.Endpoint == e {
			return l.chosen || len(l.values) > 0
		}
	}
	return false
}

func (p *Parser) walk(args []string) error {
	for len(args) > 0 {
		arg := args[0]
		var (
			used int
			err  error
		)
		switch {
		case arg == "-h" || arg == "--help":
			return ErrHelp
		case arg == "--":
			p.Words = append(p.Words, args[1:]...)
			return nil
		case strings.HasPrefix(arg, "--"):
			used, err = p.long(args)
		case strings.HasPrefix(arg, "-") && len(arg) > 1:
			used, err = p.letter(args)
		default:
			p.Words = append(p.Words, arg)
			used = 1
		}
		if err != nil {
			return err
		}
		args = args[used:]
	}
	return nil
}

func (p *Parser) long(args []string) (used int, err error) {
	name, _, hasValue := strings.Cut(strings.TrimPrefix(args[0], "--"), "=")
	f := p.flags.Lookup(name)
	if f == nil {
		return 0, fmt.Errorf("unknown option --%s", name)
	}
	used = 1
	if !hasValue && f.NoOptDefVal == "" {
		if len(args) < 2 {
			return 0, fmt.Errorf("option --%s needs a value", name)
		}
		used = 2
	}
	return used, p.flags.Parse(args[:used])
}

func (p *Parser) warn(format string, args ...any) {
	p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...))
}

// addresses turns the values of an option like -CI into "host:port".
func addresses(option string, values []string, port int) ([]string, error) {
	const most = 32
	if len(values) > most {
		return nil, fmt.Errorf("option %s is given %d times; %d addresses are the most", option, len(values), most)
	}
	var addrs []string
	for _, v := range values {
		host, own, err := splitAddress(v)
		if err != nil {
			return nil, fmt.Errorf("option %s: %w", option, err)
		}
		if own == 0 {
			own = port
		}
		addrs = append(addrs, net.JoinHostPort(host, strconv.Itoa(own)))
	}
	return addrs, nil
}

// programName is the base name of argv0 without the ending of a Windows program.
func programName(argv0 string) string {
	name := filepath.Base(argv0)
	return strings.TrimSuffix(name, ".exe")
}

func trimSlash(dir string) string {
	if len(dir) > 1 {
		return strings.TrimSuffix(dir, "/")
	}
	return dir
}
