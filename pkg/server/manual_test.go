package server_test

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/program"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
)

// A page is a chapter of the manual, or a section of one, whose examples are run as they
// stand there. An example is what stands in a block of its own.
type page struct {
	t    *testing.T
	text string
	*examples
}

// examples are what tests have made of those of a page.
type examples struct {
	mu     sync.Mutex
	used   map[string]bool   // those that tests have asked for
	paths  map[string]string // where programs and folders of the page are in the tests
	tests  int
	passed int
}

// readPage returns a page. After the test every example has to have been used by the
// tests that the page ran.
func readPage(t *testing.T, name string) page {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the examples have scripts of the shell")
	}
	content, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	p := page{t, string(content), &examples{used: make(map[string]bool), paths: make(map[string]string)}}
	t.Cleanup(func() {
		if p.passed < p.tests {
			return // some were left out, or have failed
		}
		for _, block := range p.blocks() {
			if !p.used[block] {
				t.Errorf("%s: no test runs the example\n%s", name, block)
			}
		}
	})
	return p
}

// run runs a test of the page with its section of a title; empty: all of it.
func (p page) run(title string, test func(p page, m *mesh)) {
	p.t.Helper()
	p.tests++
	p.t.Run(title, func(t *testing.T) {
		section := page{t, p.text, p.examples}
		if title != "" {
			_, text, ok := strings.Cut(p.text, "# "+title+"\n")
			if !ok {
				t.Fatalf("the page has no section %s", title)
			}
			section.text, _, _ = strings.Cut(text, "\n##")
		}
		test(section, newMesh(t))
		p.mu.Lock()
		defer p.mu.Unlock()
		if !t.Failed() {
			p.passed++
		}
	})
}

var (
	fenced   = regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```$")
	indented = regexp.MustCompile("(?m)^((?:    .*\n)+)")
	named    = regexp.MustCompile("(?ms)^`([^`\n]+)`:\n\n```\n(.*?)^```$")
	installs = regexp.MustCompile(`/(usr/local/lib|var/spool)/xmaild/([a-z/-]*[a-z])`)
)

// blocks are all examples of the page.
func (p page) blocks() []string {
	var all []string
	for _, m := range fenced.FindAllStringSubmatch(p.text, -1) {
		all = append(all, m[1])
	}
	for _, m := range indented.FindAllStringSubmatch(fenced.ReplaceAllString(p.text, ""), -1) {
		all = append(all, m[1])
	}
	return all
}

// use returns an example, and notes that it is used.
func (p page) use(example string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used[example] = true
	return example
}

// block is the first example that holds a text and has no name.
func (p page) block(text string) string {
	p.t.Helper()
	for _, block := range p.blocks() {
		if strings.Contains(block, text) {
			return p.use(block)
		}
	}
	p.t.Fatalf("the section has no example with %q", text)
	return ""
}

// file is an example, named as the page names it, with programs and folders where tests
// may have them.
func (p page) file(name string) string {
	p.t.Helper()
	for _, m := range named.FindAllStringSubmatch(p.text, -1) {
		if m[1] == name {
			return p.placed(p.use(m[2]))
		}
	}
	p.t.Fatalf("the section has no file %s", name)
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

// placed replaces the programs and folders that a text names.
func (p page) placed(text string) string {
	return installs.ReplaceAllStringFunc(text, func(name string) string { return p.place(name) })
}

// place returns where a program is that the page names: an example, or a script of ours; or
// where a folder is that the page writes to.
func (p page) place(name string) string {
	p.t.Helper()
	p.mu.Lock()
	path := p.paths[name]
	p.mu.Unlock()
	if path != "" {
		return path
	}
	switch {
	case strings.HasPrefix(name, "/var/"):
		path = filepath.Join(programtest.Dir(p.t), filepath.Base(name))
	case filepath.Base(name) == "filter-scan":
		scan, err := os.ReadFile(filepath.Join("..", "..", "scripts", "filter-scan"))
		if err != nil {
			p.t.Fatal(err)
		}
		path = programtest.Write(p.t, programtest.Dir(p.t), "filter-scan", string(scan))
		return path // another section may end before
	default:
		path = programtest.Write(p.t, programtest.Dir(p.t), filepath.Base(name), p.file(name))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paths[name] = path
	return path
}

// folder makes a folder that the page names, for programs.
func (p page) folder(name string) string {
	p.t.Helper()
	path := p.place(name)
	if err := os.Mkdir(path, 0o777); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// shell runs an example as the administrator does.
func (p page) shell(text string) {
	p.t.Helper()
	uid, _, _, err := program.RunsAs()
	if err != nil {
		p.t.Fatal(err)
	}
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		p.t.Fatal(err)
	}
	text = strings.ReplaceAll(p.placed(text), " -o xmaild ", " -o "+u.Username+" ")
	if out, err := exec.Command("sh", "-ec", text).CombinedOutput(); err != nil {
		p.t.Fatalf("%s: %v: %s", text, err, out)
	}
}

// standIn replaces a program that a row names by a script.
func (p page) standIn(row, name, script string) string {
	p.t.Helper()
	changed := strings.ReplaceAll(row, `"`+name+`"`, `"`+programtest.Script(p.t, script)+`"`)
	if changed == row {
		p.t.Fatalf("the row does not name %s: %s", name, row)
	}
	return changed
}
