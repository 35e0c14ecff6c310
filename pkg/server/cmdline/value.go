package cmdline

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Split divides the value of MAIL_CMD_LINE into arguments: at blanks and tabs,
// with "…" holding what lies between together and "" inside quotes for a quote.
func Split(line string) ([]string, error) {
	var (
		args   []string
		arg    strings.Builder
		begun  bool
		quoted bool
	)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quoted && c == '"' && i+1 < len(line) && line[i+1] == '"':
			arg.WriteByte('"')
			i++
		case c == '"':
			quoted = !quoted
			begun = true
		case !quoted && (c == ' ' || c == '\t'):
			if begun {
				args = append(args, arg.String())
				arg.Reset()
				begun = false
			}
		default:
			arg.WriteByte(c)
			begun = true
		}
	}
	if quoted {
		return nil, errors.New("a quote is not closed")
	}
	if begun {
		args = append(args, arg.String())
	}
	return args, nil
}

// splitAddress reads "host", "host:port" or "[v6]:port"; "|" and ";" stand for
// ":" as well, and a port that is absent is 0.
func splitAddress(s string) (host string, port int, err error) {
	if _, err := netip.ParseAddr(s); err == nil {
		return s, 0, nil
	}
	rest := ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", 0, fmt.Errorf("address %q has no closing bracket", s)
		}
		host, rest = s[1:end], s[end+1:]
		if _, err := netip.ParseAddr(host); err != nil {
			return "", 0, fmt.Errorf("address %q: %q is no IP address", s, host)
		}
		if rest != "" && !strings.ContainsRune("|:;", rune(rest[0])) {
			return "", 0, fmt.Errorf("address %q: want a port after the bracket", s)
		}
	} else {
		host = s
		if i := strings.IndexAny(s, "|:;"); i >= 0 {
			host, rest = s[:i], s[i:]
		}
	}
	if host == "" {
		return "", 0, fmt.Errorf("address %q has no host", s)
	}
	if rest == "" {
		return host, 0, nil
	}
	port, err = portNumber(rest[1:])
	if err != nil {
		return "", 0, fmt.Errorf("address %q: %w", s, err)
	}
	return host, port, nil
}

func portNumber(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 65535 {
		return 0, fmt.Errorf("%q is no port (0 to 65535)", s)
	}
	return n, nil
}

func atLeast(least int) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		switch {
		case err != nil:
			return 0, fmt.Errorf("%q is no number", s)
		case n < least:
			return 0, fmt.Errorf("%d is too small; the least is %d", n, least)
		case n > 1<<31-1:
			return 0, fmt.Errorf("%d is too large", n)
		}
		return n, nil
	}
}

// forever is what a negative time-out of the reference means: no end in practice.
const forever = 10 * 365 * 24 * time.Hour

// timeout reads seconds; a negative number waits forever.
func timeout(s string) (time.Duration, error) {
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is no number of seconds", s)
	case n == 0:
		return 0, errors.New("0 seconds would end every wait at once")
	case n < 0 || time.Duration(n) > forever/time.Second:
		return forever, nil
	}
	return time.Duration(n) * time.Second, nil
}

// hours reads a period of at least one hour and at most a year.
func hours(s string) (time.Duration, error) {
	n, err := atLeast(1)(s)
	if err != nil {
		return 0, err
	}
	if n > 366*24 {
		return 0, fmt.Errorf("%d hours are more than a year", n)
	}
	return time.Duration(n) * time.Hour, nil
}

// period reads a number of seconds of at least one.
func period(s string) (time.Duration, error) {
	n, err := atLeast(1)(s)
	return time.Duration(n) * time.Second, err
}

// delay reads a number of seconds; 0 is none.
func delay(s string) (time.Duration, error) {
	n, err := atLeast(0)(s)
	if err == nil && n == 0 {
		return -1, nil
	}
	return time.Duration(n) * time.Second, err
}

// workers reads how many work at a time; the reference has 256 at most.
func workers(s string) (int, error) {
	n, err := atLeast(1)(s)
	return min(n, 256), err
}

// threads reads how many links are worked on at a time; the reference has 32 at most.
func threads(s string) (int, error) {
	n, err := atLeast(0)(s)
	return min(max(n, 1), 32), err
}

// localWorkers is the same for files of the local mailer; the reference has 17 at most.
func localWorkers(s string) (int, error) {
	n, err := atLeast(1)(s)
	return min(n, 17), err
}

// ratio reads by which part of itself a wait grows; 0 stands for not at all.
func ratio(s string) (int, error) {
	n, err := atLeast(0)(s)
	if err == nil && n == 0 {
		return -1, nil
	}
	return n, err
}
