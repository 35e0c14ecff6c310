package cmdline

import (
	"fmt"
	"strconv"
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
	text("families", "4|6|46|64", "4", "addresses of other hosts that count: IPv4, IPv6, or both in that order (-M4, -M6, -M5, -M7)", func(v string) error {
		family, ok := map[string]server.Resolve{
			"4": server.ResolveIPv4, "6": server.ResolveIPv6, "46": server.ResolveIPv4First, "64": server.ResolveIPv6First,
		}[v]
		if !ok {
			return fmt.Errorf("%q is none of 4, 6, 46 and 64", v)
		}
		c.Resolve = family
		return nil
	})

	yes := func(name, usage, letters string) {
		o := groups[letters[1]][letters[2]]
		p.flags.Var(&value{kind: "bool", set: func(v string) error {
			on, err := strconv.ParseBool(v)
			if err != nil || !on {
				return err
			}
			return o.set(p, "")
		}}, name, usage+" ("+letters+")")
		p.flags.Lookup(name).NoOptDefVal = "true"
	}
	listen := func(name, what string, l byte, port int) {
		yes("no-"+name, "do not open the "+what, "-"+string(l)+"-")
		letter(name+"-port", "port", strconv.Itoa(port), what+"; 0 takes a free one", "-"+string(l)+"p")
		letter(name+"-address", "host[:port]", "", "address of the "+what+", may be repeated", "-"+string(l)+"I")
		yes(name+"-ipv6", "without an address, bind the "+what+" to every IPv6 address", "-"+string(l)+"6")
	}
	listen("smtp", "SMTP port", 'S', server.DefaultSMTPPort)
	letter("smtp-timeout", "seconds", "90", "wait for the next SMTP command", "-St")
	letter("smtp-sessions", "n", "1024", "SMTP sessions at once", "-SX")
	letter("recipients", "n", "100", "recipients of one message", "-Sr")
	letter("pop-before-smtp", "seconds", "900", "how long a POP3 login lets send mail, where EnableAuthSMTP-POP3 allows it", "-Se")
	yes("smtp-log", "write logs/smtp-*", "-Sl")
	listen("smtps", "SMTP port inside TLS", 'X', server.DefaultSMTPSPort)
	listen("pop3", "POP3 port", 'P', server.DefaultPOP3Port)
	letter("pop3-timeout", "seconds", "90", "wait for the next POP3 command", "-Pt")
	letter("pop3-sessions", "n", "1024", "POP3 sessions at once", "-PX")
	letter("pop3-delay", "seconds", "5", "hold the first failed login of a POP3 connection back; it doubles", "-Pw")
	yes("pop3-hang-up", "close a POP3 connection after a failed login", "-Ph")
	yes("pop3-log", "write logs/pop3-*", "-Pl")
	listen("pop3s", "POP3 port inside TLS", 'B', server.DefaultPOP3SPort)
	listen("finger", "finger port", 'F', server.DefaultFingerPort)
	yes("finger-log", "write logs/finger-*", "-Fl")

	listen("ctrl", "control port", 'C', server.DefaultCtrlPort)
	letter("ctrl-timeout", "seconds", "120", "wait for the next control command", "-Ct")
	letter("ctrl-sessions", "n", "512", "control sessions at once", "-CX")
	yes("ctrl-log", "write logs/ctrl-*", "-Cl")
	listen("ctrls", "control port inside TLS", 'W', server.DefaultCtrlsPort)

	letter("queue-workers", "n", "16", "messages being delivered at once", "-Qn")
	letter("spool-split", "n", "23", "folders at each of two levels for frozen messages, rounded up to a prime", "-Mx")
	letter("retry", "seconds", "480", "wait after the first failed attempt to deliver", "-Qt")
	letter("retry-ratio", "n", "16", "each wait is longer by an n-th; 0: not longer", "-Qi")
	letter("retries", "n", "32", "attempts to deliver before a message is given up", "-Qr")
	yes("queue-log", "write logs/smail-*", "-Ql")
	letter("filter-timeout", "seconds", "90", "time that a filter may take", "-QT")
	yes("filter-log", "write logs/filters-*", "-Qg")

	yes("no-links", "fetch no mail by POP3 links", "-Y-")
	letter("link-interval", "seconds", "120", "wait between two looks at a POP3 link; 0: only where .psync-trigger is made", "-Yi")
	letter("link-threads", "n", "8", "POP3 links at once", "-Yt")
	letter("link-timeout", "seconds", "90", "wait for a reply of the server of a POP3 link", "-YT")
	yes("link-log", "write logs/psync-*", "-Yl")

	text("drop", "dir", "", "folder that every user of the machine can put mail into, as sendmail does; the environment variable XMAIL_DROP says the same",
		func(v string) error { c.Drop = trimSlash(v); return nil })
	letter("local-workers", "n", "3", "files of the drop folder and of spool/local taken at once", "-Ln")
	letter("local-interval", "seconds", "2", "time between looks at these folders", "-Lt")
	yes("local-log", "write logs/lmail-*", "-Ll")

	text("user", "name", "", "whom a server started as root becomes once it listens; without it the owner of the MailRoot",
		func(v string) error { c.User = v; return nil })
	text("pid-dir", "dir", DefaultPIDDir, "folder of the pid file; the environment variable XMAIL_PID_DIR says the same; empty: no pid file",
		func(v string) error { p.pidDir = v; return nil })
	p.flags.BoolVar(&p.Detach, "detach", false, "return when the server serves, for old init scripts")
}
