package cmdline

import (
	"fmt"
	"strings"

	"github.com/xmaild/xmaild/pkg/server"
)

// A value is a long option that hands its text to a function.
type value struct {
	kind string
	set  func(string) error
	text string
}

func (v *value) String() string { return v.text }
func (v *value) Type() string   { return v.kind }
func (v *value) Set(s string) error {
	if err := v.set(s); err != nil {
		return err
	}
	v.text = s
	return nil
}

// addFlags declares the long options. Each does what the letter named in its
// description does.
func (p *Parser) addFlags() {
	text := func(name, kind, shown, usage string, set func(string) error) {
		p.flags.Var(&value{kind: kind, set: set, text: shown}, name, usage)
	}
	letter := func(name, kind, shown, usage, letters string) {
		o := groups[letters[1]][letters[2]]
		text(name, kind, shown, usage+" ("+letters+")", func(v string) error { return o.set(p, v) })
	}
	c := &p.Config
	letter("root", "dir", "", "the MailRoot folder; the environment variable MAIL_ROOT says the same", "-Ms")
	p.flags.BoolVar(&p.Verbose, "verbose", false, "log more (-Md)")
	letter("log-rotate", "hours", "24", "hours until the next log file begins", "-Mr")
	text("log-format", "text|json", "text", "form of the log on standard error", func(v string) error {
		switch v {
		case "text", "json":
			p.JSONLogs = v == "json"
			return nil
		}
		return fmt.Errorf("%q is neither text nor json", v)
	})
	text("mailbox", "maildir|mailbox", "maildir", "kind of mailbox of new accounts (-MM, -Mm)", func(v string) error {
		switch strings.ToLower(v) {
		case "maildir":
			c.Mailbox = server.MailboxMaildir
		case "mailbox":
			c.Mailbox = server.MailboxPlain
		default:
			return fmt.Errorf("%q is neither maildir nor mailbox", v)
		}
		return nil
	})

	p.flags.BoolVar(&c.Ctrl.Off, "no-ctrl", false, "do not open the control port (-C-)")
	letter("ctrl-port", "port", "6017", "control port; 0 takes a free one", "-Cp")
	letter("ctrl-address", "host[:port]", "", "address of the control port, may be repeated", "-CI")
	p.flags.BoolVar(&c.Ctrl.IPv6, "ctrl-ipv6", false, "without an address, bind the control port to every IPv6 address (-C6)")
	letter("ctrl-timeout", "seconds", "120", "wait for the next control command", "-Ct")
	letter("ctrl-sessions", "n", "512", "control sessions at once", "-CX")
	p.flags.BoolVar(&c.CtrlLog, "ctrl-log", false, "write logs/ctrl-* (-Cl)")

	p.flags.BoolVar(&c.Ctrls.Off, "no-ctrls", false, "do not open the control port inside TLS (-W-)")
	letter("ctrls-port", "port", "6018", "control port inside TLS; 0 takes a free one", "-Wp")
	letter("ctrls-address", "host[:port]", "", "address of the control port inside TLS, may be repeated", "-WI")
	p.flags.BoolVar(&c.Ctrls.IPv6, "ctrls-ipv6", false, "without an address, bind the control port inside TLS to every IPv6 address (-W6)")

	text("pid-dir", "dir", DefaultPIDDir, "folder of the pid file; the environment variable XMAIL_PID_DIR says the same; empty: no pid file",
		func(v string) error { p.pidDir = v; return nil })
	p.flags.BoolVar(&p.Detach, "detach", false, "return when the server serves, for old init scripts")
}
