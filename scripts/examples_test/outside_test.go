//go:build unix

package examples_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// ofNetwork returns an address of this machine that is not the loopback, since much
// is allowed there that is not from elsewhere.
func ofNetwork(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
			return p.Addr().String()
		}
	}
	t.Skip("this machine has no address but the loopback")
	return ""
}

// script runs an example and wants an exit status of it. It returns what was printed.
func script(t *testing.T, env []string, status int, name string, args ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../examples", name))
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"curl", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+t.TempDir())
	cmd.Env = append(cmd.Env, env...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", name, err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Fatalf("%s %q ends with the status %d, want %d:\n%s", name, args, got, status, out)
	}
	return string(out)
}

// wantLines wants lines that match, a pattern each.
func wantLines(t *testing.T, text string, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile(`(?m)^` + p + `$`).MatchString(text) {
			t.Errorf("no line matches %q in\n%s", p, text)
		}
	}
}

// networked starts a server on an address of the network, whose control port
// answers on the loopback as well.
func networked(t *testing.T, ip string, opts ...servertest.Option) (s *servertest.Server, args, env []string) {
	t.Helper()
	at := server.Endpoint{Addrs: []string{ip + ":0"}}
	s = servertest.Start(t, append(opts,
		servertest.Var("LOGIN-FailureDelay", "0"),
		servertest.Var("LOGIN-MaxFailures", "0"),
		servertest.Config(func(c *server.Config) {
			c.SMTP, c.SMTPS, c.POP3, c.POP3S, c.Ctrls = at, at, at, at, at
			c.Ctrl = server.Endpoint{Addrs: []string{"127.0.0.1:0", ip + ":0"}}
		}))...)
	args = []string{"-w", "30", "-p", "submission=0"}
	for _, p := range []struct {
		name  string
		addrs []netip.AddrPort
	}{
		{"smtp", s.Server.SMTPAddrs()}, {"smtps", s.Server.SMTPSAddrs()}, {"pop3", s.Server.POP3Addrs()}, {"pop3s", s.Server.POP3SAddrs()},
		{"ctrl", s.Server.CtrlAddrs()[1:]}, {"ctrls", s.Server.CtrlsAddrs()},
	} {
		args = append(args, "-p", fmt.Sprintf("%s=%d", p.name, p.addrs[0].Port()))
	}
	env = []string{"CTRL_SERVER=" + s.Addr, "CTRL_USER=" + servertest.User, "CTRL_PASSWORD=" + servertest.Password}
	return s, append(args, ip), env
}

// A server with the account that XMail ships is found out; with another password
// there is nothing to find. Then what it tried is enough to be blocked.
func TestOutsideCheckOfAServer(t *testing.T) {
	t.Parallel()
	s, args, env := networked(t, ofNetwork(t), servertest.CompatLevel(1))
	out := script(t, nil, 1, "outside-check", args...)
	wantLines(t, out,
		`well       smtp \(port \d+\): offers STARTTLS`,
		`well       smtp \(port \d+\): takes no login in clear text`,
		`well       smtp \(port \d+\): relays by none of 26 forms of address`,
		`well       smtp \(port \d+\), after STARTTLS: relays by none of 26 forms of address`,
		`well       smtps \(port \d+\): relays by none of 26 forms of address`,
		`HOLE       default logins of SMTP: the default login xmailuser@xmailserver.test with the password xmail is good`,
		`well       pop3 \(port \d+\): offers STLS`,
		`well       pop3 \(port \d+\): takes no login in clear text`,
		`HOLE       default logins of POP3: the default login xmailuser@xmailserver.test with the password xmail is good`,
		`well       ctrl \(port \d+\): takes no login in clear text`,
		`well       ctrls \(port \d+\): none of 5 default logins is good`,
	)
	if _, err := s.Dial(t).Do(t.Context(), "userpasswd", "xmailserver.test", "xmailuser", "of my own choice"); err != nil {
		t.Fatal(err)
	}
	out = script(t, nil, 0, "outside-check", append([]string{"-d", "xmailserver.test"}, args...)...)
	wantLines(t, out, `well       default logins of SMTP: none of 4 is good`, `well       default logins of POP3: none of 4 is good`, `outside-check: .*: all is well`)
	if strings.Contains(out, "HOLE") || strings.Contains(out, "undecided") {
		t.Errorf("there is more than what is well:\n%s", out)
	}

	// What failed since a login was good counts. Who asks from that address is not
	// to shut itself out; a login for that would be a good one, hence a copy of the logs.
	ip, copied := args[len(args)-1], t.TempDir()
	if err := os.CopyFS(filepath.Join(copied, "logs"), os.DirFS(filepath.Join(s.Dir, "logs"))); err != nil {
		t.Fatal(err)
	}
	ctrlclnt := filepath.Join(t.TempDir(), "ctrlclnt")
	if err := os.WriteFile(ctrlclnt, []byte("#!/bin/sh\nexec ctrlclnt --tls --insecure \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	there := append(slices.Clone(env), "CTRL_SERVER="+s.Server.CtrlAddrs()[1].String(), "CTRLCLNT="+ctrlclnt)
	out = script(t, there, 1, "ban-failed-logins", "-f", "13", copied)
	wantLines(t, out, `.*that would shut out `+ip+`.*`, `ban-failed-logins: nothing was changed`)
	out = script(t, env, 0, "ban-failed-logins", "-f", "13", copied)
	wantLines(t, out, ip+`	\d+ failed logins \(smtp [1-9]\d*, pop3 [1-9]\d*, ctrl [1-9]\d*\)	blocked`)
	out = script(t, nil, 3, "outside-check", args...)
	wantLines(t, out, `undecided  smtp \(port \d+\): refuses this address: 421 .*`, `undecided  pop3 \(port \d+\): refuses this address:.*`,
		`well       ctrl \(port \d+\): refuses this address: -00130 .*`)
}

func TestOutsideCheckFindsWhatLevel0Allows(t *testing.T) {
	t.Parallel()
	s, args, _ := networked(t, ofNetwork(t))
	if _, err := s.Dial(t).Do(t.Context(), "relayadd", "0.0.0.0/0", "force"); err != nil {
		t.Fatal(err)
	}
	out := script(t, nil, 1, "outside-check", append([]string{"-q"}, args...)...)
	wantLines(t, out,
		`HOLE       smtp \(port \d+\): relays: MAIL FROM:<outside-check@example.com>, RCPT TO:<outside-check@example.net> is answered 250 .*`,
		`HOLE       smtps \(port \d+\): relays: .*`,
		`HOLE       smtp \(port \d+\): offers logins in clear text, before STARTTLS`,
		`HOLE       pop3 \(port \d+\): takes logins in clear text, before STLS`,
		`HOLE       ctrl \(port \d+\): takes logins in clear text`,
	)
	if strings.Contains(out, "well") {
		t.Errorf("-q tells what is well:\n%s", out)
	}
}

// mailer plays an SMTP server that takes the recipients which match, and a
// login in clear text where it is asked for.
func mailer(t *testing.T, takes *regexp.Regexp, after int) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			play(c, takes, after)
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// play is one session, which ends after so many recipients.
func play(c net.Conn, takes *regexp.Regexp, after int) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprint(c, "220-mail.local.test\r\n220 ready\r\n")
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		verb, _, _ := strings.Cut(strings.ToUpper(lines.Text()), " ")
		reply := "250 fine"
		switch verb {
		case "EHLO":
			reply = "250-mail.local.test\r\n250-SMTPUTF8\r\n250 HELP"
		case "AUTH":
			reply = "334 VXNlcm5hbWU6"
		case "RCPT":
			if after--; after < 0 {
				fmt.Fprint(c, "421 too many\r\n")
				return
			}
			if !takes.MatchString(lines.Text()) {
				reply = "550 no"
			}
		}
		fmt.Fprintf(c, "%s\r\n", reply)
	}
}

func TestOutsideCheckFindsRelays(t *testing.T) {
	const others = `<postmaster@local\.test>|`
	for _, test := range []struct {
		name, takes string
		after       int // recipients until a session ends
		status      int
		lines       []string
	}{
		{"percent", others + `%.*@local\.test>`, 1000, 1, []string{`HOLE .*RCPT TO:<outside-check%example\.net@local\.test> is answered 250 fine`}},
		{"bang", others + `!`, 1000, 1, []string{`HOLE .*RCPT TO:<example\.net!outside-check> is answered 250 fine`}},
		{"source route", others + `<@`, 1000, 1, []string{`HOLE .*RCPT TO:<@local\.test:outside-check@example\.net> .*`}},
		{"quoted", others + `"@local`, 1000, 1, []string{`HOLE .*RCPT TO:<"outside-check@example\.net"@local\.test> .*`}},
		{"doubled @", others + `@.*@example`, 1000, 1, []string{`HOLE .*RCPT TO:<outside-check@local\.test@example\.net> .*`}},
		{"dot", others + `\.>`, 1000, 1, []string{`HOLE .*RCPT TO:<outside-check@example\.net\.> .*`}},
		{"UTF-8", others + `[^ -~]`, 1000, 1, []string{`HOLE .*RCPT TO:<bücher@example\.net> .*`}},
		{"sessions that end", others + `!`, 4, 1, []string{`HOLE .*RCPT TO:<example\.net!outside-check> is answered 250 fine`}},
		{"any name", others + `@local\.test>`, 1000, 1, []string{`undecided .*RCPT TO:<outside-check%example\.net@local\.test> is taken, but local\.test takes any name`}},
		{"none", others + `x{100}`, 1000, 1, []string{`well .*relays by none of 26 forms of address`}},
		{"no domain is known", `x{100}`, 1000, 1, []string{`undecided  no domain is known.*`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			port := mailer(t, regexp.MustCompile(test.takes), test.after)
			out := script(t, nil, test.status, "outside-check", "-p", "smtp="+port, "-p", "submission=0", "-p", "smtps=0",
				"-p", "pop3=0", "-p", "pop3s=0", "-p", "ctrl=0", "-p", "ctrls=0", "127.0.0.1")
			wantLines(t, out, append(test.lines,
				`HOLE       smtp \(port \d+\): does not offer STARTTLS`,
				`HOLE       smtp \(port \d+\): takes logins in clear text, before STARTTLS`)...)
			if relays := strings.Contains(out, ": relays: "); relays != strings.HasPrefix(test.lines[0], "HOLE") {
				t.Errorf("that it relays is told: %v, in\n%s", relays, out)
			}
		})
	}
}
