package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestSoak has all loads on a server for as long as XMAILD_SOAK_TIME says, watches what
// the server uses, and wants it not to grow without end. Meanwhile somebody reads all mail.
func TestSoak(t *testing.T) {
	length := 10 * time.Second
	if testing.Short() {
		length = 5 * time.Second
	}
	if s := os.Getenv("XMAILD_SOAK_TIME"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatalf("XMAILD_SOAK_TIME: %v", err)
		}
	}
	c := newCrash(t, 1, 1)
	random := rand.New(rand.NewPCG(c.seed, 0))
	loads, drop := allLoads(t)
	root := newCrashRoot(t, loads)
	p := newProcess(root, drop)
	read := &harvest{files: rootFiles(root), numbers: map[string][]harvested{}}
	f := &findings{}

	l := p.start(t)
	var ending atomic.Bool
	over := make(chan struct{})
	l.disk, l.gone, l.over = read, ending.Load, over
	for _, load := range loads {
		load.begin(t, l)
	}
	var work sync.WaitGroup
	for _, load := range loads {
		for _, client := range load.clients(l, random, f) {
			work.Go(client)
		}
	}
	work.Go(func() { read.reap(over, f) })
	uses := watch(t, p, length, f)
	ending.Store(true)
	p.stop(t)
	close(over)
	work.Wait()
	p.wantNoRace(f)

	l = p.start(t)
	l.disk, l.last = read, true
	for _, load := range loads {
		load.check(l, f)
	}
	waitForQueue(read, f)
	p.stop(t)
	p.wantNoRace(f)
	total := 0
	for _, load := range loads {
		promised, what := load.finish(read, f)
		total += promised
		t.Logf("%d %s", promised, what)
	}
	if total == 0 {
		t.Error("nothing was done")
	}
	report(t, f.all)
	for _, growth := range grown(uses) {
		t.Error(growth)
	}
}

// A use is what a server uses at some time.
type use struct {
	at                      time.Duration
	resident, heap          int // KiB
	goroutines, descriptors int
}

var stateLine = regexp.MustCompile(`msg=state goroutines=(\d+) heap=(\d+)`)

// watch looks at the server from time to time.
func watch(t *testing.T, p *process, length time.Duration, f *findings) []use {
	t.Helper()
	var uses []use
	// Enough to see a trend in a short run, and few enough lines in a long one.
	tick := time.NewTicker(min(max(length/40, 200*time.Millisecond), time.Minute))
	defer tick.Stop()
	began, told := time.Now(), time.Now()
	for time.Since(began) < length && !f.any() {
		select {
		case <-tick.C:
		case <-p.daemon.exited:
			t.Fatalf("the server has ended: %v\n%s", p.daemon.err, p.daemon.log())
		}
		u := look(t, p)
		u.at = time.Since(began)
		uses = append(uses, u)
		if time.Since(told) > length/20 || len(uses) == 1 {
			told = time.Now()
			t.Logf("%v: %d KiB resident, %d KiB heap, %d goroutines, %d descriptors",
				u.at.Round(time.Second), u.resident, u.heap, u.goroutines, u.descriptors)
		}
	}
	return uses
}

// look asks the server, and the kernel.
func look(t *testing.T, p *process) use {
	t.Helper()
	pid := p.daemon.cmd.Process.Pid
	states := func() [][]string { return stateLine.FindAllStringSubmatch(p.daemon.log(), -1) }
	before := len(states())
	if err := p.daemon.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	deadline := time.Now().Add(patience)
	all := states()
	for ; len(all) == before; all = states() {
		if time.Now().After(deadline) {
			t.Fatal("the server does not answer SIGUSR1")
		}
		<-time.After(5 * time.Millisecond)
	}
	last := all[len(all)-1]
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return use{
		resident:   number(strings.TrimSuffix(procStatus(t, pid, "VmRSS"), " kB")),
		goroutines: number(last[1]), heap: number(last[2]) / 1024, descriptors: len(open),
	}
}

// grown compares the last quarter of the time with the second one: what goes up and
// down is no growth, what is always above what it ever was before is.
func grown(uses []use) []string {
	if len(uses) < 8 {
		return []string{fmt.Sprintf("the server was looked at %d times only", len(uses))}
	}
	early, late := uses[len(uses)/4:len(uses)/2], uses[3*len(uses)/4:]
	var found []string
	for _, what := range []struct {
		name  string
		of    func(use) int
		slack func(int) int
	}{
		{"KiB of resident memory", func(u use) int { return u.resident }, func(n int) int { return n/4 + 16<<10 }},
		{"goroutines", func(u use) int { return u.goroutines }, func(int) int { return 16 }},
		{"open files and sockets", func(u use) int { return u.descriptors }, func(int) int { return 16 }},
	} {
		most := what.of(slices.MaxFunc(early, func(a, b use) int { return what.of(a) - what.of(b) }))
		least := what.of(slices.MinFunc(late, func(a, b use) int { return what.of(a) - what.of(b) }))
		if least > most+what.slack(most) {
			found = append(found, fmt.Sprintf("%s have grown: never above %d in the second quarter of the time, never below %d in the last", what.name, most, least))
		}
	}
	return found
}

func TestGrowthIsFound(t *testing.T) {
	steady, leaking := make([]use, 100), make([]use, 100)
	for n := range steady {
		wave := n % 10
		steady[n] = use{resident: 50000 + 1000*wave, goroutines: 30 + wave, descriptors: 20 + wave}
		leaking[n] = use{resident: 50000 + 3000*n, goroutines: 30 + wave + n, descriptors: 20 + wave + n}
	}
	if found := grown(steady); len(found) != 0 {
		t.Errorf("what is steady has grown: %q", found)
	}
	if found := grown(leaking); len(found) != 3 {
		t.Errorf("of three leaks these were found: %q", found)
	}
}

// A harvest is the files of a MailRoot whose mail somebody reads and removes. What was
// read is there still for those who look by it.
type harvest struct {
	files rootFiles

	mu      sync.Mutex
	numbers map[string][]harvested // by folder
}

type harvested struct {
	number  int
	stamped bool // a filter has seen it
}

// reap reads the mailboxes again and again.
func (h *harvest) reap(over <-chan struct{}, f *findings) {
	for {
		select {
		case <-over:
			return
		case <-time.After(200 * time.Millisecond):
		}
		for _, domain := range []string{mailDomain, processDomain} {
			accounts, err := h.files.ReadDir("domains/" + domain)
			if err != nil {
				f.add("%v", err)
			}
			for _, account := range accounts {
				// The last account reads its mail by itself.
				if account+"@"+domain != mailUser(mailUsers-1) {
					h.empty("domains/"+domain+"/"+account+"/Maildir/new", f)
				}
			}
		}
	}
}

// settled is how old a message is that no delivery is busy with any more.
const settled = 5 * time.Second

func (h *harvest) empty(dir string, f *findings) {
	names, err := h.files.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return // a list
	}
	if err != nil {
		f.add("%v", err)
	}
	for _, name := range names {
		full := path.Join(string(h.files), dir, name)
		info, err := os.Stat(full)
		if err != nil || time.Since(info.ModTime()) < settled {
			continue
		}
		text, err := os.ReadFile(full)
		if err != nil {
			f.add("%v", err)
			continue
		}
		number, err := numberOf(string(text))
		if err != nil {
			f.add("%s: %v", dir, err)
			continue
		}
		h.mu.Lock()
		if err := os.Remove(full); err != nil {
			f.add("%v", err)
		}
		h.numbers[dir] = append(h.numbers[dir], harvested{number, strings.Contains(string(text), stamp)})
		h.mu.Unlock()
	}
}

// ReadDir shows what was read as well.
func (h *harvest) ReadDir(name string) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	names, err := h.files.ReadDir(name)
	for n := range h.numbers[name] {
		names = append(names, fmt.Sprintf("read-%d", n))
	}
	return names, err
}

func (h *harvest) ReadFile(name string) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var n int
	if _, err := fmt.Sscanf(path.Base(name), "read-%d", &n); err != nil {
		return h.files.ReadFile(name)
	}
	message := h.numbers[path.Dir(name)][n]
	text := fmt.Sprintf("Subject: number %d\r\n\r\nend %d\r\n", message.number, message.number)
	if message.stamped {
		text = stamp + text
	}
	return []byte(text), nil
}
