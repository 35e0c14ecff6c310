package cmdline

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/xmaild/xmaild/pkg/server"
	"github.com/xmaild/xmaild/pkg/server/deliver"
)

func parse(t *testing.T, env map[string]string, args ...string) (*Parser, error) {
	t.Helper()
	p := New(pflag.NewFlagSet("test", pflag.ContinueOnError))
	return p, p.Parse("/usr/local/sbin/XMail", args, func(k string) string { return env[k] })
}

func mustParse(t *testing.T, env map[string]string, args ...string) *Parser {
	t.Helper()
	p, err := parse(t, env, args...)
	if err != nil {
		t.Fatalf("Parse(%q): %v", args, err)
	}
	return p
}

func TestDefaults(t *testing.T) {
	p := mustParse(t, nil)
	want := server.Config{
		SMTP:    server.Endpoint{Port: 25},
		SMTPS:   server.Endpoint{Port: 465},
		POP3:    server.Endpoint{Port: 110},
		POP3S:   server.Endpoint{Port: 995},
		Finger:  server.Endpoint{Port: 79},
		Ctrl:    server.Endpoint{Port: 6017},
		Ctrls:   server.Endpoint{Port: 6018},
		PIDFile: "/var/run/XMail.pid",
	}
	if d := cmp.Diff(want, p.Config); d != "" {
		t.Errorf("configuration (-want +got):\n%s", d)
	}
	if len(p.Warnings) != 0 {
		t.Errorf("warnings %q, want none", p.Warnings)
	}
}

func TestReferenceCommandLine(t *testing.T) {
	line := "-Ms /srv/MailRoot/ -Md -CI 127.0.0.1:7001 -Cl -WI 127.0.0.1:7002 -SI 127.0.0.1:7003 -Sl -XI 127.0.0.1:7004" +
		" -PI 127.0.0.1:7005 -Pl -BI 127.0.0.1:7006 -FI 127.0.0.1:7007 -Fl -Y- -Ql -Ql -Mx 7"
	p := mustParse(t, nil, strings.Fields(line)...)
	want := server.Config{
		Root:        "/srv/MailRoot",
		Ctrl:        server.Endpoint{Port: 6017, Addrs: []string{"127.0.0.1:7001"}},
		Ctrls:       server.Endpoint{Port: 6018, Addrs: []string{"127.0.0.1:7002"}},
		CtrlLog:     true,
		SMTP:        server.Endpoint{Port: 25, Addrs: []string{"127.0.0.1:7003"}},
		SMTPS:       server.Endpoint{Port: 465, Addrs: []string{"127.0.0.1:7004"}},
		SMTPLog:     true,
		POP3:        server.Endpoint{Port: 110, Addrs: []string{"127.0.0.1:7005"}},
		POP3S:       server.Endpoint{Port: 995, Addrs: []string{"127.0.0.1:7006"}},
		POP3Log:     true,
		Finger:      server.Endpoint{Port: 79, Addrs: []string{"127.0.0.1:7007"}},
		FingerAsked: true,
		FingerLog:   true,
		QueueLog:    true,
		LinksOff:    true,
		PIDFile:     "/var/run/XMail.pid",
		SpoolSplit:  7,
	}
	if d := cmp.Diff(want, p.Config); d != "" {
		t.Errorf("configuration (-want +got):\n%s", d)
	}
	if !p.Verbose {
		t.Error("-Md did not ask for more logs")
	}
	if len(p.Warnings) != 0 {
		t.Errorf("warnings %q, want none", p.Warnings)
	}
}

func TestEveryServiceLetter(t *testing.T) {
	p := mustParse(t, nil, strings.Fields("-S- -S6 -Sp 1 -St 30 -Sl -SX 9 -Sr 7 -Se 60 -SI 10.0.0.1 -SI 10.0.0.1:587 -X- -X6 -Xp 2 -XI [::1]"+
		" -P- -P6 -Pp 3 -Pt 31 -Pl -PX 8 -Pw 2 -Ph -PI host -B- -B6 -Bp 4 -BI host:5 -F- -F6 -Fp 6 -Fl -FI host -Qn 300 -Qt 60 -Qi 0 -Qr 5 -Ql -QT 20 -Qg -Y- -Yi 0 -Yt 99 -YT 7 -Yl -Ln 30 -Lt 4 -Ll")...)
	want := server.Config{
		Ctrl:          server.Endpoint{Port: 6017},
		Ctrls:         server.Endpoint{Port: 6018},
		SMTP:          server.Endpoint{Off: true, IPv6: true, Port: 1, Addrs: []string{"10.0.0.1:1", "10.0.0.1:587"}},
		SMTPS:         server.Endpoint{Off: true, IPv6: true, Port: 2, Addrs: []string{"[::1]:2"}},
		POP3:          server.Endpoint{Off: true, IPv6: true, Port: 3, Addrs: []string{"host:3"}},
		POP3S:         server.Endpoint{Off: true, IPv6: true, Port: 4, Addrs: []string{"host:5"}},
		Finger:        server.Endpoint{Off: true, IPv6: true, Port: 6, Addrs: []string{"host:6"}},
		FingerAsked:   true,
		SMTPTimeout:   30 * time.Second,
		SMTPSessions:  9,
		SMTPLog:       true,
		Recipients:    7,
		PopLife:       time.Minute,
		POP3Timeout:   31 * time.Second,
		POP3Sessions:  8,
		POP3Log:       true,
		POP3Delay:     2 * time.Second,
		POP3HangUp:    true,
		FingerLog:     true,
		QueueLog:      true,
		QueueWorkers:  256,
		Retries:       deliver.Schedule{Base: time.Minute, Ratio: -1, Tries: 5},
		FilterTimeout: 20 * time.Second,
		FilterLog:     true,
		LocalWorkers:  17,
		LocalInterval: 4 * time.Second,
		LocalLog:      true,
		LinksOff:      true,
		LinkInterval:  -1,
		LinkThreads:   32,
		LinkTimeout:   7 * time.Second,
		LinkLog:       true,
		PIDFile:       "/var/run/XMail.pid",
	}
	if d := cmp.Diff(want, p.Config); d != "" {
		t.Errorf("configuration (-want +got):\n%s", d)
	}
	if len(p.Warnings) != 0 {
		t.Errorf("warnings %q, want none", p.Warnings)
	}
	if e := &p.Config.SMTP; !p.Chosen(e) {
		t.Error("the SMTP port counts as not chosen")
	}
	if p := mustParse(t, nil, "-Sl", "-S6"); p.Chosen(&p.Config.SMTP) {
		t.Error("without -Sp and -SI the SMTP port counts as chosen")
	}
	if got := mustParse(t, nil, "-Fl", "-F-").Config.FingerAsked; got {
		t.Error("-Fl and -F- ask for finger")
	}
	if got := mustParse(t, nil, "-Pw", "0").Config.POP3Delay; got >= 0 {
		t.Errorf("-Pw 0: delay %v, want one below 0, which is none", got)
	}
}

func TestEveryControlLetter(t *testing.T) {
	p := mustParse(t, nil, strings.Fields("-Ms /m -Mr 6 -Mm -M7 -C- -C6 -Cp 1 -Ct 30 -Cl -CX 9 -W- -W6 -Wp 2 -CI host -CI [::1]:5 -WI 10.0.0.1;8")...)
	want := server.Config{
		Root:         "/m",
		SMTP:         server.Endpoint{Port: 25},
		SMTPS:        server.Endpoint{Port: 465},
		POP3:         server.Endpoint{Port: 110},
		POP3S:        server.Endpoint{Port: 995},
		Finger:       server.Endpoint{Port: 79},
		LogRotation:  6 * time.Hour,
		Mailbox:      server.MailboxPlain,
		Resolve:      server.ResolveIPv6First,
		Ctrl:         server.Endpoint{Off: true, IPv6: true, Port: 1, Addrs: []string{"host:1", "[::1]:5"}},
		Ctrls:        server.Endpoint{Off: true, IPv6: true, Port: 2, Addrs: []string{"10.0.0.1:8"}},
		CtrlTimeout:  30 * time.Second,
		CtrlSessions: 9,
		CtrlLog:      true,
		PIDFile:      "/var/run/XMail.pid",
	}
	if d := cmp.Diff(want, p.Config); d != "" {
		t.Errorf("configuration (-want +got):\n%s", d)
	}
}

func TestLongOptionsSayTheSame(t *testing.T) {
	letters := mustParse(t, nil, strings.Fields("-Ms /m -Mr 6 -Mm -M5 -C- -C6 -Cp 1 -Ct 30 -Cl -CX 9 -W- -W6 -Wp 2 -CI host -WI 10.0.0.1:8")...)
	long := mustParse(t, nil, strings.Fields("--root /m --log-rotate=6 --mailbox mailbox --families 46 --no-ctrl --ctrl-ipv6 --ctrl-port 1"+
		" --ctrl-timeout 30 --ctrl-log --ctrl-sessions=9 --no-ctrls --ctrls-ipv6 --ctrls-port 2 --ctrl-address host --ctrls-address 10.0.0.1:8")...)
	if d := cmp.Diff(letters.Config, long.Config); d != "" {
		t.Errorf("letters and long options differ (-letters +long):\n%s", d)
	}
	letters = mustParse(t, nil, strings.Fields("-S- -S6 -Sp 1 -St 30 -Sl -SX 9 -Sr 7 -Se 60 -SI a -SI a:587 -X- -X6 -Xp 2 -XI [::1]"+
		" -P- -P6 -Pp 3 -Pt 31 -Pl -PX 8 -Pw 2 -Ph -PI host -B- -B6 -Bp 4 -BI host:5 -F- -F6 -Fp 6 -Fl -FI host -Qn 3 -Qt 60 -Qi 0 -Qr 5 -Ql -QT 20 -Qg -Ln 2 -Lt 9 -Ll")...)
	long = mustParse(t, nil, strings.Fields("--no-smtp --smtp-ipv6 --smtp-port 1 --smtp-timeout 30 --smtp-log --smtp-sessions 9 --recipients 7 --pop-before-smtp 60"+
		" --smtp-address a --smtp-address a:587 --no-smtps --smtps-ipv6 --smtps-port 2 --smtps-address [::1]"+
		" --no-pop3 --pop3-ipv6 --pop3-port 3 --pop3-timeout 31 --pop3-log --pop3-sessions 8 --pop3-delay 2 --pop3-hang-up --pop3-address host"+
		" --no-pop3s --pop3s-ipv6 --pop3s-port 4 --pop3s-address host:5 --no-finger --finger-ipv6 --finger-port 6 --finger-log --finger-address host"+
		" --queue-workers 3 --retry 60 --retry-ratio 0 --retries 5 --queue-log --filter-timeout 20 --filter-log --local-workers 2 --local-interval 9 --local-log")...)
	if d := cmp.Diff(letters.Config, long.Config); d != "" {
		t.Errorf("letters and long options of the services differ (-letters +long):\n%s", d)
	}
	if d := cmp.Diff(letters.Config, mustParse(t, nil).Config); d == "" {
		t.Error("neither has an effect")
	}
}

func TestLaterValuesWin(t *testing.T) {
	if got := mustParse(t, map[string]string{"XMAIL_DROP": "/env/"}).Config.Drop; got != "/env" {
		t.Errorf("drop folder %q, want XMAIL_DROP without its last slash", got)
	}
	if got := mustParse(t, map[string]string{"XMAIL_DROP": "/env/"}, "--drop", "/arg").Config.Drop; got != "/arg" {
		t.Errorf("drop folder %q, want that of the option", got)
	}
	env := map[string]string{"MAIL_ROOT": "/env/", "MAIL_CMD_LINE": `-Cp 3 -Ct "40"`, "XMAIL_PID_DIR": "/run/x"}
	if got := mustParse(t, env).Config.Root; got != "/env" {
		t.Errorf("root %q, want MAIL_ROOT without its last slash", got)
	}
	p := mustParse(t, env, "--ctrl-port", "1", "-Cp", "2", "-Ms", "/arg", "--root=/long")
	if got := p.Config.Root; got != "/long" {
		t.Errorf("root %q, want the later /long", got)
	}
	if got := p.Config.Ctrl.Port; got != 3 {
		t.Errorf("port %d, want 3 of MAIL_CMD_LINE", got)
	}
	if got := p.Config.CtrlTimeout; got != 40*time.Second {
		t.Errorf("time-out %v, want 40s", got)
	}
	if got := p.Config.PIDFile; got != "/run/x/XMail.pid" {
		t.Errorf("pid file %q, want the one of XMAIL_PID_DIR", got)
	}
}

func TestUnknownLettersAndWordsAreIgnored(t *testing.T) {
	p := mustParse(t, nil, "-Zq", "-Cq", "-verbose", "stray", "-Cp", "4", "-Wp")
	if p.Config.Ctrl.Port != 4 || p.Config.Ctrls.Port != 6018 {
		t.Errorf("ports %d and %d, want 4 and the default 6018", p.Config.Ctrl.Port, p.Config.Ctrls.Port)
	}
	want := []string{
		"option -Zq is not known and has no effect",
		"option -Cq is not known and has no effect",
		"option -verbose is not known and has no effect",
		"option -Wp lacks its value and has no effect",
	}
	if d := cmp.Diff(want, p.Warnings); d != "" {
		t.Errorf("warnings (-want +got):\n%s", d)
	}
	if !slices.Equal(p.Words, []string{"stray"}) {
		t.Errorf("words %q, want the stray one", p.Words)
	}
}

func TestBadValuesAreRefused(t *testing.T) {
	many := strings.Fields(strings.Repeat("-CI 127.0.0.1 ", 33))
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-Mr", "0"}, "option -Mr: 0 is too small; the least is 1"},
		{[]string{"-Mr", "-5"}, "option -Mr: -5 is too small; the least is 1"},
		{[]string{"-Mx", "0"}, "option -Mx: 0 is too small; the least is 1"},
		{[]string{"-MD", "0"}, "option -MD: 0 is too small; the least is 1"},
		{[]string{"-Cp", "http"}, `option -Cp: "http" is no port (0 to 65535)`},
		{[]string{"-Wp", "65536"}, `option -Wp: "65536" is no port (0 to 65535)`},
		{[]string{"-Ct", "0"}, "option -Ct: 0 seconds would end every wait at once"},
		{[]string{"-CX", "0"}, "option -CX: 0 is too small; the least is 1"},
		{[]string{"-St", "x"}, `option -St: "x" is no number of seconds`},
		{[]string{"-Sr", "0"}, "option -Sr: 0 is too small; the least is 1"},
		{[]string{"-Qi", "-1"}, "option -Qi: -1 is too small; the least is 0"},
		{[]string{"-SI", "a:b"}, `option -SI: address "a:b": "b" is no port (0 to 65535)`},
		{[]string{"--smtp-log=x"}, `strconv.ParseBool: parsing "x": invalid syntax`},
		{[]string{"-CI", "[::1"}, `option -CI: address "[::1" has no closing bracket`},
		{[]string{"-CI", ":80"}, `option -CI: address ":80" has no host`},
		{[]string{"-WI", "a:b"}, `option -WI: address "a:b": "b" is no port (0 to 65535)`},
		{[]string{"--no-such"}, "unknown option --no-such"},
		{[]string{"--root"}, "option --root needs a value"},
		{[]string{"--log-format", "xml"}, `"xml" is neither text nor json`},
		{many, "option -CI is given 33 times; 32 addresses are the most"},
	} {
		if _, err := parse(t, nil, test.args...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Parse(%q) = %v, want an error with %q", test.args, err, test.want)
		}
	}
	if _, err := parse(t, map[string]string{"MAIL_CMD_LINE": `-Ms "/a b`}); err == nil || err.Error() != "MAIL_CMD_LINE: a quote is not closed" {
		t.Errorf("an open quote in MAIL_CMD_LINE: %v", err)
	}
	if _, err := parse(t, nil, "-Cl", "--help"); !errors.Is(err, ErrHelp) {
		t.Errorf("--help: %v, want ErrHelp", err)
	}
}

func TestNegativeTimeoutWaitsForever(t *testing.T) {
	if got := mustParse(t, nil, "-Ct", "-1").Config.CtrlTimeout; got != forever {
		t.Errorf("time-out %v, want %v", got, forever)
	}
}

func TestSplitMailCmdLine(t *testing.T) {
	for _, test := range []struct {
		line string
		want []string
	}{
		{"", nil},
		{" \t ", nil},
		{"-Ms /a\t-Cl", []string{"-Ms", "/a", "-Cl"}},
		{`-Ms "/a b" -Cl`, []string{"-Ms", "/a b", "-Cl"}},
		{`"say ""hi"" now" x`, []string{`say "hi" now`, "x"}},
		{`"" x`, []string{"", "x"}},
		{`a"b c"d`, []string{"ab cd"}},
	} {
		got, err := Split(test.line)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("Split(%q) = %q, %v, want %q", test.line, got, err, test.want)
		}
	}
}
