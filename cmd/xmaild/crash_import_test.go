//go:build unix

package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// importLoad imports accounts by ctrlclnt, one list after the other. An import that was
// cut off goes on in the next life from its report, which says what was acknowledged.
type importLoad struct {
	dir string

	mu       sync.Mutex
	list     int          // which one it is at
	removing bool         // the domain of the list is being removed, and all is imported
	done     int          // accounts
	before   map[int]bool // the rows of the list that a report which was given up had done
}

// imported is how many accounts a list has.
const imported = 200

func newImportLoad() *importLoad { return &importLoad{before: map[int]bool{}} }

func (i *importLoad) prepare(t *testing.T, _ string) { i.dir = t.TempDir() }

func (i *importLoad) begin(t *testing.T, l life) {
	t.Helper()
	if _, err := dialCtrl(t, l).Do(t.Context(), "domainadd", i.domain()); err != nil {
		t.Fatal(err)
	}
	if err := i.write(); err != nil {
		t.Fatal(err)
	}
}

func (i *importLoad) domain() string { return fmt.Sprintf("i%d.example", i.list) }
func (i *importLoad) file() string   { return filepath.Join(i.dir, i.domain()+".csv") }
func (i *importLoad) report() string { return filepath.Join(i.dir, i.domain()+".report") }

// write writes the list.
func (i *importLoad) write() error {
	var b strings.Builder
	b.WriteString("domain,user,password\n")
	for n := range imported {
		fmt.Fprintf(&b, "%s,u%d,pw%d\n", i.domain(), n, n)
	}
	return os.WriteFile(i.file(), []byte(b.String()), 0o600)
}

func (i *importLoad) clients(l life, _ *rand.Rand, f *findings) []func() {
	return []func(){func() {
		for i.step(l, f) {
		}
	}}
}

// step imports the list, or removes what was imported and begins the next one. It
// returns whether the server was there until the end.
func (i *importLoad) step(l life, f *findings) bool {
	i.mu.Lock()
	removing := i.removing
	i.mu.Unlock()
	if !removing {
		cmd := exec.Command(filepath.Join(bin, "ctrlclnt"), "import", "--resume", "--skip-existing", "--report", i.report(), "users", i.file())
		cmd.Env = append(os.Environ(), "CTRL_SERVER="+l.ctrl, "CTRL_USER="+servertest.User, "CTRL_PASSWORD="+servertest.Password)
		if _, err := cmd.CombinedOutput(); err != nil {
			if l.gone() {
				i.giveUp(f)
			}
			return false // what the report says of it is looked at after the next start
		}
		i.mu.Lock()
		i.removing = true
		i.done += imported
		i.mu.Unlock()
		return true
	}
	client, err := ctrl.Dial(context.Background(), l.ctrl, servertest.User, servertest.Password)
	if err != nil {
		return false
	}
	defer client.Close()
	clear(i.before)
	next := fmt.Sprintf("i%d.example", i.list+1)
	for _, command := range [][]string{{"domaindel", i.domain()}, {"domainadd", next}} {
		_, err := client.Do(context.Background(), command...)
		// It may have been done in the life before, which did not come to say so.
		if err != nil && !refused(err, ctrl.CodeExists, ctrl.CodeDomainExists, ctrl.CodeNoDomain) {
			if refused(err) && !l.gone() {
				f.add("%q: %v", command, err)
			}
			return false
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.list++
	i.removing = false
	if err := i.write(); err != nil {
		f.add("list to import: %v", err)
		return false
	}
	return true
}

// giveUp forgets a report, but for what was done: a server without a disk has refused
// rows, and will take them after the next start.
func (i *importLoad) giveUp(f *findings) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n, verdict := range i.verdicts(f) {
		if verdict == "done" {
			i.before[n] = true
		}
	}
	if err := os.Remove(i.report()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.add("%v", err)
	}
}

func (i *importLoad) died(files, *findings) {}

// check compares the accounts with the report.
func (i *importLoad) check(l life, f *findings) {
	i.mu.Lock()
	defer i.mu.Unlock()
	client, err := ctrl.Dial(context.Background(), l.ctrl, servertest.User, servertest.Password)
	if err != nil {
		f.add("log in after a restart: %v", err)
		return
	}
	defer client.Close()
	found := facts{}
	if err := collect(client, l.disk, i.domain(), found); err != nil {
		f.add("%s after a restart: %v", i.domain(), err)
		return
	}
	there := found["domain "+i.domain()] != ""
	if i.removing {
		if len(found) != 0 && len(found) != imported+1 {
			f.add("%s: there are %d accounts of %d while the domain was being removed", i.domain(), len(found)-1, imported)
		}
		return
	}
	if !there {
		f.add("%s is not there", i.domain())
	}
	verdicts := i.verdicts(f)
	for n := range imported {
		name, want := fmt.Sprintf("user %s u%d", i.domain(), n), fmt.Sprintf("pw%d", n)
		switch verdict, got := verdicts[n], found[name]; {
		case (verdict == "done" || i.before[n]) && got != want:
			f.add("%s has the password %q, want the acknowledged %q", name, got, want)
		case got != "" && got != want:
			f.add("%s has the password %q, want %q or no account", name, got, want)
		case verdict == "refused" || verdict == "invalid":
			f.add("%s was %s by the report", name, verdict)
		}
	}
}

// verdicts are what the report says last of each row.
func (i *importLoad) verdicts(f *findings) map[int]string {
	all := map[int]string{}
	file, err := os.Open(i.report())
	if err != nil {
		return all // not begun
	}
	defer file.Close()
	r := csv.NewReader(file)
	r.FieldsPerRecord = -1
	for {
		row, err := r.Read()
		if err != nil {
			if err != io.EOF && !errors.Is(err, csv.ErrQuote) {
				f.add("report of an import: %v", err)
			}
			return all
		}
		var line int
		if _, err := fmt.Sscan(row[0], &line); err == nil && len(row) > 2 {
			all[line-2] = row[2] // after the header
		}
	}
}

func (i *importLoad) finish(_ files, f *findings) (int, string) {
	done := i.done + len(i.before)
	for _, verdict := range i.verdicts(f) {
		if verdict == "done" {
			done++
		}
	}
	return done, "imported accounts"
}
