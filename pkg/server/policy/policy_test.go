package policy_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/policy"
	"github.com/xmaild/xmaild/pkg/server/resolve"
	"github.com/xmaild/xmaild/pkg/server/resolve/resolvetest"
)

// A house is a policy of a MailRoot, with what it asks.
type house struct {
	*policy.Policy
	root  *mailroot.Root
	dns   *resolvetest.Server
	boxes *boxes
	log   *logText

	mu  sync.Mutex
	now time.Time
}

// boxes are full for the accounts named.
type boxes struct {
	full    map[string]bool
	err     error
	largest int64 // that any takes; 0: no limit
}

func (b *boxes) Full(_ context.Context, u mailroot.User, extra int64) (bool, error) {
	return b.full[u.Name+"@"+u.Domain] || b.largest > 0 && extra > b.largest, b.err
}

// A logText is what was logged.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// files are tables by name, in whose texts a | stands for a TAB. server.tab begins
// with RootDomain and SmtpServerDomain, unless its text begins with =.
type files map[string]string

// open makes a MailRoot of the domain foo.test with the accounts ann, bob, off,
// full and the lists open and closed, and the files.
func open(t testing.TB, f files, zones resolvetest.Zones, o policy.Options) *house {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "MailRoot")
	err := mailroot.Create(dir, mailroot.NewRoot{Domains: []string{"foo.test"}, Account: "ann", AccountPassword: "a", Admin: "x", AdminPassword: "x"})
	if err != nil {
		t.Fatal(err)
	}
	all := files{
		"mailusers.tab": "foo.test|ann|04|1|ann|U\nfoo.test|bob|04|2|bob|U\nfoo.test|off|04|3|off|U\nfoo.test|full|04|4|full|U\n" +
			"foo.test|open|04|5|open|M\nfoo.test|closed|04|6|closed|M\nfoo.test|gone|04|7|gone|U\nfoo.test|mute|04|8|mute|M\n",
		"aliasdomain.tab":                     "alias.test|foo.test\n*.wild.test|foo.test\n",
		"aliases.tab":                         "foo.test|help*|ann\nfoo.test|exact|bob@foo.test\n",
		"extaliases.tab":                      "isp.test|ann123|foo.test|ann\n",
		"cmdaliases/foo.test/robot.tab":       "external|0|0|/bin/true|x\n",
		"custdomains/backup.test.tab":         "smtp\n",
		"custdomains/.part.test.tab":          "smtp\n",
		"domains/foo.test/off/user.tab":       "ReceiveEnable|0\n",
		"domains/foo.test/gone/user.tab":      "Disabled|left\nDisabledBefore|PopEnable=1,ReceiveEnable\n",
		"domains/foo.test/mute/user.tab":      "ReceiveEnable|0\n",
		"domains/foo.test/ann/user.tab":       "RealName|Ann Other\n",
		"domains/foo.test/closed/user.tab":    "ClosedML|1\n",
		"domains/foo.test/closed/mlusers.tab": "writer@ext.test|RW\nreader@ext.test|R\nnoperms@ext.test\nann@foo.test|A\nrobot|A\n",
		"smtprelay.tab":                       "10.0.0.0|255.0.0.0\n",
		"smtp.ipmap.tab":                      "",
		"server.tab":                          "",
	}
	for name, text := range f {
		all[name] = text
	}
	if whole, ok := strings.CutPrefix(all["server.tab"], "="); ok {
		all["server.tab"] = whole
	} else {
		all["server.tab"] = "RootDomain|foo.test\nSmtpServerDomain|mail.foo.test\n" + whole
	}
	for name, text := range all {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if text == "-" {
			if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(quoted(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := &house{now: time.Unix(1e9, 0), log: &logText{}, boxes: &boxes{full: map[string]bool{"full@foo.test": true}}}
	o.Log = slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h.root, err = mailroot.Open(t.Context(), dir, mailroot.Options{Clock: h.clock, Log: o.Log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.root.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, p := range h.root.Problems() {
		t.Errorf("%v", p)
	}
	h.dns = resolvetest.Start(t, zones)
	h.Policy = policy.New(h.root, h.dns.Resolver(resolve.Options{Clock: h.clock, Timeout: time.Minute}), h.boxes, o)
	return h
}

// quoted writes fields with quotes, but those of numbers, which tables have bare.
func quoted(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		for i, field := range strings.Split(strings.TrimSuffix(line, "\n"), "|") {
			if i > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(`"` + field + `"`)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// client is that of an address.
func (h *house) client(t testing.TB, ip string) policy.Client {
	t.Helper()
	return h.Client(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(ip), 40000), netip.MustParseAddrPort("127.0.0.1:25"))
}

// path reads what stands between the brackets.
func path(t testing.TB, s string) address.Path {
	t.Helper()
	p, rest, err := address.ParsePath("<" + s + ">")
	if err != nil || rest != "" {
		t.Fatalf("<%s> reads as %+v, %q, %v", s, p, rest, err)
	}
	return p
}

// code is that of a reply, 250 where there is none.
func code(r *policy.Reply) int {
	if r == nil {
		return 250
	}
	return r.Code
}

// status is what a reply logs.
func status(r *policy.Reply) string {
	if r == nil {
		return ""
	}
	return r.Log
}
