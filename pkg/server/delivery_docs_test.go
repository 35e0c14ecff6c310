package server_test

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foxcpp/go-mockdns"

	"github.com/xmaild/xmaild/pkg/server/program/programtest"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// A page is a chapter of the manual, whose examples are run as they stand there.
type page struct {
	t    *testing.T
	text string
}

func readPage(t *testing.T, name string) page {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the examples have scripts of the shell")
	}
	content, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return page{t, string(content)}
}

var exampleFile = regexp.MustCompile("(?ms)^`([^`\n]+)`:\n\n```\n(.*?)^```$")

// file is an example, named as the page names it.
func (p page) file(name string) string {
	p.t.Helper()
	for _, m := range exampleFile.FindAllStringSubmatch(p.text, -1) {
		if m[1] == name {
			return m[2]
		}
	}
	p.t.Fatalf("the page has no file %s", name)
	return ""
}

// files are some of them by their names.
func (p page) files(names ...string) map[string]string {
	p.t.Helper()
	all := map[string]string{}
	for _, name := range names {
		all[name] = p.file(name)
	}
	return all
}

// installed is a program of the page, where tests may run it.
func (p page) installed(name string) string {
	p.t.Helper()
	return programtest.Write(p.t, programtest.Dir(p.t), filepath.Base(name), p.file(name))
}

func TestPageOfProcessingKeepsAndSendsOn(t *testing.T) {
	p := readPage(t, "processing.md")
	m := newMesh(t)
	org := m.site("example.org", []string{"ann"}, p.files("cmdaliases/example.org/info.tab"))
	other := m.site("example.net", []string{"ann", "ben"}, nil)
	org.Write(t, "domains/example.org/ann/mailproc.tab", p.file("domains/example.org/ann/mailproc.tab"))
	org.receive("x@ext.test", "info@example.org", text("info"))
	for _, box := range []func(string, int) []string{org.arrived, other.arrived} {
		m.wantBody(box("ann", 1)[0], "info")
	}
	m.wantBody(other.arrived("ben", 1)[0], "info")
	m.settle()
}

func TestPageOfProcessingBackupMX(t *testing.T) {
	p := readPage(t, "processing.md")
	m := newMesh(t)
	backup := m.site("example.org", nil, p.files("custdomains/example.net.tab"), servertest.Var("HeloDomain", "mx.example.org"))
	primary := m.site("example.net", []string{"ben"}, nil)
	m.zone("example.net", mockdns.Zone{MX: []net.MX{{Host: "mx.example.net.", Pref: 10}, {Host: "mx.example.org.", Pref: 20}}})
	m.host(primary.ip, "")
	backup.receive("x@ext.test", "ben@example.net", text("meanwhile"))
	backup.logged("command waits")
	backup.deferredOnce()
	m.host(primary.ip, primary.SMTP)
	m.pass(30 * time.Minute)
	m.wantBody(primary.arrived("ben", 1)[0], "meanwhile")
	m.settle()
}

func TestPageOfProcessingGateway(t *testing.T) {
	p := readPage(t, "processing.md")
	m := newMesh(t)
	gateway := m.site("example.org", nil, p.files("custdomains/example.com.tab"))
	inner := m.site("example.com", []string{"eve"}, nil)
	m.zone("inner1.example.com", mockdns.Zone{A: []string{"192.0.2.77"}}) // dead
	m.zone("inner2.example.com", mockdns.Zone{A: []string{inner.ip.String()}})
	m.zone("example.com", mockdns.Zone{MX: []net.MX{{Host: "mx.example.org.", Pref: 10}}})
	gateway.receive("x@ext.test", "eve@example.com", text("inside"))
	m.wantBody(inner.arrived("eve", 1)[0], "inside")
	m.settle()
}

func TestPageOfFiltersHouseRules(t *testing.T) {
	p := readPage(t, "filters.md")
	m := newMesh(t)
	files := p.files("filters.in.tab", "filters/house.tab")
	const rules = "/usr/local/lib/xmaild/house-rules"
	files["filters/house.tab"] = strings.ReplaceAll(files["filters/house.tab"], rules, p.installed(rules))
	a, b := m.site("a.test", []string{"ann"}, nil), m.site("b.test", []string{"ben"}, files)
	a.submit("ann@a.test", "ben@b.test", text("lottery"))
	b.logged("state=Z")
	a.submit("ann@a.test", "ben@b.test", "Subject: tool\r\nContent-Type: application/octet-stream; name=\"tool.exe\"\r\n\r\nx\r\n")
	r := m.report(a.arrived("ann", 1)[0])
	if !strings.Contains(r.text, "No programs, please") {
		t.Errorf("the sender is told %q, want the reason of the filter", r.text)
	}
	a.submit("ann@a.test", "ben@b.test", text("fine"))
	got := b.arrived("ben", 1)[0]
	m.wantBody(got, "fine")
	if m.parsed(got).Header.Get("X-House") != "looked at" {
		t.Errorf("the message is not stamped: %q", got)
	}
	m.settle()
	if frozen, _ := filepath.Glob(filepath.Join(b.Dir, "spool", "*", "*", "froz", "*")); len(frozen) != 2 {
		t.Errorf("frozen: %q, want the lottery, and the program of which the sender was told", frozen)
	}
}

func TestPageOfFiltersSpamAssassin(t *testing.T) {
	p := readPage(t, "filters.md")
	m := newMesh(t)
	scan, err := os.ReadFile(filepath.Join("..", "..", "scripts", "filter-scan"))
	if err != nil {
		t.Fatal(err)
	}
	spamc := programtest.Script(t, "printf 'X-Spam-Checker: stand-in\\r\\n'; cat\n")
	row := strings.NewReplacer("/usr/local/lib/xmaild/filter-scan", programtest.Write(t, programtest.Dir(t), "filter-scan", string(scan)),
		`"spamc"`, `"`+spamc+`"`).Replace(p.file("filters/spam.tab"))
	s := m.site("a.test", []string{"ann"}, map[string]string{
		"filters.in.tab": "\"*\"\t\"*\"\t\"0.0.0.0/0\"\t\"0.0.0.0/0\"\t\"spam.tab\"\n", "filters/spam.tab": row,
	})
	s.receive("x@ext.test", "ann@a.test", text("offer"))
	got := s.arrived("ann", 1)[0]
	m.wantBody(got, "offer")
	if m.parsed(got).Header.Get("X-Spam-Checker") == "" {
		t.Errorf("the scanner has not rewritten the message: %q", got)
	}
	s.submit("ann@a.test", "ann@a.test", text("own"))
	for _, content := range s.arrived("ann", 2) {
		if h := m.parsed(content).Header; h.Get("Subject") == "own" && h.Get("X-Spam-Checker") != "" {
			t.Error("mail of those who have logged in was scanned in spite of !aex")
		}
	}
	m.settle()
}

func TestPageOfFiltersGreylist(t *testing.T) {
	p := readPage(t, "filters.md")
	m := newMesh(t)
	const program = "/usr/local/lib/xmaild/greylist"
	table := strings.NewReplacer(program, p.installed(program), "/var/lib/xmaild/greylist", programtest.Dir(t)).Replace(p.file("filters.post-rcpt.tab"))
	a, b := m.site("a.test", []string{"ann"}, nil), m.site("b.test", []string{"ben"}, map[string]string{"filters.post-rcpt.tab": table})
	a.submit("ann@a.test", "ben@b.test", text("first"))
	a.logged("Not seen before, please come again")
	a.deferredOnce()
	m.wantBody(b.arrived("ben", 1)[0], "first")
	a.submit("ann@a.test", "ben@b.test", text("second"))
	b.arrived("ben", 2)
	m.settle()
	if n := strings.Count(a.Log(), "delivery is deferred"); n != 1 {
		t.Errorf("mail was put off %d times, want once", n)
	}
}

func TestPageOfLists(t *testing.T) {
	p := readPage(t, "lists.md")
	m := newMesh(t)
	org, other := m.site("example.org", []string{"ann"}, nil), m.site("example.net", []string{"ben", "reader"}, nil)
	_, block, _ := strings.Cut(p.text, "```sh\n")
	block, _, _ = strings.Cut(block, "```")
	for line := range strings.Lines(block) {
		org.do(strings.Fields(line)[1:]...)
	}
	if err := sendMail(org.SMTP, "reader@example.net", "team@example.org", text("no")); err == nil {
		t.Error("a member without W may write")
	}
	other.submit("ben@example.net", "team@example.org", text("all of us"))
	for _, got := range []string{org.arrived("ann", 1)[0], other.arrived("ben", 1)[0], other.arrived("reader", 1)[0]} {
		m.wantBody(got, "all of us")
		if !strings.HasPrefix(got, "Return-Path: <ann@example.org>\r\n") {
			t.Errorf("the sender of a copy is not ListSender: %.80q", got)
		}
		header, _, _ := strings.Cut(got, "\r\n\r\n")
		lines := strings.Split(header, "\r\n")
		_, want, _ := strings.Cut(p.text, "On top of the header stand\n\n")
		want, _, _ = strings.Cut(want, "\n\n")
		for line := range strings.Lines(want) {
			if line = strings.TrimSpace(line); !slices.Contains(lines, line) {
				t.Errorf("the copy has no line %q: %q", line, header)
			}
		}
	}
	m.settle()
}
