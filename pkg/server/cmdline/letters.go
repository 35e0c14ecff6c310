package cmdline

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/server"
)

// An option of one letter after its group. Without set it has no effect.
type option struct {
	value bool // the next argument is its value
	set   func(p *Parser, value string) error
}

// groups are the options in force, by their group's letter and their own.
var groups = map[byte]map[byte]option{
	'M': {
		's': {true, func(p *Parser, v string) error {
			p.Config.Root = trimSlash(v)
			return nil
		}},
		'd': {false, func(p *Parser, _ string) error { p.Verbose = true; return nil }},
		'r': {true, func(p *Parser, v string) (err error) {
			p.Config.LogRotation, err = hours(v)
			return err
		}},
		'x': take(atLeast(1), func(c *server.Config) *int { return &c.SpoolSplit }),
		'D': {true, unused("DNS cache", "-MD", 1)},
		'R': {true, unused("socket buffer", "-MR", 0)},
		'S': {true, unused("socket buffer", "-MS", 0)},
		'M': {false, func(p *Parser, _ string) error { p.Config.Mailbox = server.MailboxMaildir; return nil }},
		'm': {false, func(p *Parser, _ string) error { p.Config.Mailbox = server.MailboxPlain; return nil }},
		'4': {false, func(p *Parser, _ string) error { p.Config.Resolve = server.ResolveIPv4; return nil }},
		'6': {false, func(p *Parser, _ string) error { p.Config.Resolve = server.ResolveIPv6; return nil }},
		'5': {false, func(p *Parser, _ string) error { p.Config.Resolve = server.ResolveIPv4First; return nil }},
		'7': {false, func(p *Parser, _ string) error { p.Config.Resolve = server.ResolveIPv6First; return nil }},
	},
	'S': listening('S', map[byte]option{
		'l': set(func(c *server.Config) { c.SMTPLog = true }),
		't': take(timeout, func(c *server.Config) *time.Duration { return &c.SMTPTimeout }),
		'X': take(atLeast(1), func(c *server.Config) *int { return &c.SMTPSessions }),
		'r': take(atLeast(1), func(c *server.Config) *int { return &c.Recipients }),
		'e': take(period, func(c *server.Config) *time.Duration { return &c.PopLife }),
	}),
	'X': listening('X', nil),
	'P': listening('P', map[byte]option{
		'l': set(func(c *server.Config) { c.POP3Log = true }),
		'h': set(func(c *server.Config) { c.POP3HangUp = true }),
		't': take(timeout, func(c *server.Config) *time.Duration { return &c.POP3Timeout }),
		'X': take(atLeast(1), func(c *server.Config) *int { return &c.POP3Sessions }),
		'w': take(delay, func(c *server.Config) *time.Duration { return &c.POP3Delay }),
	}),
	'B': listening('B', nil),
	'F': listening('F', map[byte]option{
		'l': set(func(c *server.Config) { c.FingerLog = true }),
	}),
	'C': listening('C', map[byte]option{
		'l': set(func(c *server.Config) { c.CtrlLog = true }),
		't': take(timeout, func(c *server.Config) *time.Duration { return &c.CtrlTimeout }),
		'X': take(atLeast(1), func(c *server.Config) *int { return &c.CtrlSessions }),
	}),
	'W': listening('W', nil),
	'Q': {
		'l': set(func(c *server.Config) { c.QueueLog = true }),
		'g': set(func(c *server.Config) { c.FilterLog = true }),
		'n': take(workers, func(c *server.Config) *int { return &c.QueueWorkers }),
		't': take(period, func(c *server.Config) *time.Duration { return &c.Retries.Base }),
		'i': take(ratio, func(c *server.Config) *int { return &c.Retries.Ratio }),
		'r': take(atLeast(1), func(c *server.Config) *int { return &c.Retries.Tries }),
		'T': take(period, func(c *server.Config) *time.Duration { return &c.FilterTimeout }),
	},
	'L': {
		'l': set(func(c *server.Config) { c.LocalLog = true }),
		'n': take(localWorkers, func(c *server.Config) *int { return &c.LocalWorkers }),
		't': take(period, func(c *server.Config) *time.Duration { return &c.LocalInterval }),
	},
	'Y': {
		'-': set(func(c *server.Config) { c.LinksOff = true }),
		'i': take(delay, func(c *server.Config) *time.Duration { return &c.LinkInterval }),
		't': take(threads, func(c *server.Config) *int { return &c.LinkThreads }),
		'T': take(timeout, func(c *server.Config) *time.Duration { return &c.LinkTimeout }),
		'l': set(func(c *server.Config) { c.LinkLog = true }),
	},
}

// set is an option without a value.
func set(f func(*server.Config)) option {
	return option{false, func(p *Parser, _ string) error { f(&p.Config); return nil }}
}

// take is an option whose value is read and kept.
func take[T any](read func(string) (T, error), where func(*server.Config) *T) option {
	return option{true, func(p *Parser, v string) (err error) {
		*where(&p.Config), err = read(v)
		return err
	}}
}

// listening are the options of a service that say where it listens, and more.
func listening(group byte, more map[byte]option) map[byte]option {
	options := map[byte]option{
		'-': {false, func(p *Parser, _ string) error { p.listeners[group].Off = true; return nil }},
		'6': {false, func(p *Parser, _ string) error {
			p.listeners[group].asked = true
			p.listeners[group].IPv6 = true
			return nil
		}},
		'p': {true, func(p *Parser, v string) (err error) {
			p.listeners[group].asked, p.listeners[group].chosen = true, true
			p.listeners[group].Port, err = portNumber(v)
			return err
		}},
		'I': {true, func(p *Parser, v string) error {
			p.listeners[group].asked = true
			p.listeners[group].values = append(p.listeners[group].values, v)
			return nil
		}},
	}
	maps.Copy(options, more)
	return options
}

// unused checks the number of an option that nothing goes by yet.
func unused(service, name string, least int) func(*Parser, string) error {
	return func(p *Parser, v string) error {
		_, err := atLeast(least)(v)
		p.lacks(service, name)
		return err
	}
}

// letter reads the option at the start of args and says how many arguments it took.
func (p *Parser) letter(args []string) (used int, err error) {
	name := args[0]
	if len(name) != 3 {
		p.warn("option %s is not known and has no effect", name)
		return 1, nil
	}
	group, c := name[1], name[2]
	o, known := groups[group][c]
	if !known {
		p.warn("option %s is not known and has no effect", name)
		return 1, nil
	}
	if !o.value {
		return 1, o.set(p, "")
	}
	if len(args) < 2 {
		p.warn("option %s lacks its value and has no effect", name)
		return 1, nil
	}
	if err := o.set(p, args[1]); err != nil {
		return 0, fmt.Errorf("option %s: %w", name, err)
	}
	return 2, nil
}

// lacks notes an option of something that is not there yet.
func (p *Parser) lacks(what, name string) {
	if !slices.Contains(p.missing[what], name) {
		p.missing[what] = append(p.missing[what], name)
	}
}

// warnMissing says once for each service that is not there yet which of its options were given.
func (p *Parser) warnMissing() {
	for _, name := range slices.Sorted(maps.Keys(p.missing)) {
		p.warn("the %s is not there yet: %s without effect", name, strings.Join(p.missing[name], " "))
	}
}
