//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// mailUsers are how many accounts get mail while the server is being killed. The
// last one has its mail fetched meanwhile.
const mailUsers = 4

// A post is what senders and the reader know of the mail: each message has a number
// of its own in its subject.
type post struct {
	mu       sync.Mutex
	next     int
	accepted map[string][]int // numbers that were acknowledged with 250, by recipient
	fetched  map[int]int      // how often the reader has removed each for good
	doubtful map[int]bool     // those that it may have removed
}

// TestKillLosesNoMail kills the server at random moments while clients send and
// fetch mail, starts it again, and wants every message that was acknowledged in its
// mailboxes, once. XMAILD_CRASH_TIME says how long, as in TestKillLosesNothing.
func TestKillLosesNoMail(t *testing.T) {
	length := crashTime(t)
	root := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(root); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	p := &post{accepted: map[string][]int{}, fetched: map[int]int{}, doubtful: map[int]bool{}}
	end := time.Now().Add(length)
	rounds := 0
	for ; time.Now().Before(end); rounds++ {
		d, addrs := startMail(t, root)
		if rounds == 0 {
			addMailUsers(t, addrs.ctrl)
		}
		var work sync.WaitGroup
		for range 4 {
			seed := random.Uint64()
			work.Go(func() { p.send(t, addrs.smtp, rand.New(rand.NewPCG(seed, 0))) })
		}
		work.Go(func() { p.fetch(t, addrs.pop3) })
		<-time.After(time.Duration(20+random.IntN(300)) * time.Millisecond)
		if err := d.kill(); err != nil {
			t.Fatal(err)
		}
		work.Wait()
		if t.Failed() {
			return
		}
	}
	d, _ := startMail(t, root)
	waitForQueue(t, root)
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status, err := d.wait(); err != nil || status != 0 {
		t.Fatalf("last stop: status %d, %v", status, err)
	}
	total := 0
	for user := range mailUsers {
		total += p.verify(t, root, user)
	}
	if total == 0 || len(p.fetched) == 0 {
		t.Errorf("%d messages were acknowledged, %d fetched; want some", total, len(p.fetched))
	}
	t.Logf("%d kills, %d acknowledged deliveries, %d messages fetched", rounds, total, len(p.fetched))
}

func mailUser(n int) string { return fmt.Sprintf("user%d@xmailserver.test", n) }

func addMailUsers(t *testing.T, addr string) {
	t.Helper()
	client, err := ctrl.Dial(t.Context(), addr, servertest.User, servertest.Password)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for n := range mailUsers {
		name, domain, _ := strings.Cut(mailUser(n), "@")
		if _, err := client.Do(t.Context(), "useradd", domain, name, "pw", "U"); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Do(t.Context(), "uservarsset", domain, name, "MaxMBSize", "0"); err != nil {
			t.Fatal(err)
		}
	}
}

// send sends mail until the server is gone.
func (p *post) send(t *testing.T, addr string, random *rand.Rand) {
	client, err := smtp.Dial(addr)
	if err != nil {
		return // killed before
	}
	defer client.Close()
	for {
		p.mu.Lock()
		p.next++
		number := p.next
		p.mu.Unlock()
		to := random.Perm(mailUsers)[:1+random.IntN(mailUsers)]
		size := random.IntN(20000)
		err := sendOne(client, number, to, size)
		var refused *textproto.Error
		switch {
		case errors.As(err, &refused) && refused.Code != 421:
			t.Errorf("message %d: %v, want it taken", number, err)
			return
		case err != nil:
			return // killed
		}
		p.mu.Lock()
		for _, n := range to {
			p.accepted[mailUser(n)] = append(p.accepted[mailUser(n)], number)
		}
		p.mu.Unlock()
	}
}

func sendOne(client *smtp.Client, number int, to []int, size int) error {
	if err := client.Mail("sender@ext.test"); err != nil {
		return err
	}
	for _, n := range to {
		if err := client.Rcpt(mailUser(n)); err != nil {
			return err
		}
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Subject: number %d\r\n\r\n%s\r\nend %d\r\n", number, strings.Repeat("line of a message\r\n", size/19), number)
	return w.Close()
}

var (
	subjectLine = regexp.MustCompile(`(?m)^Subject: number (\d+)\r?$`)
	lastLine    = regexp.MustCompile(`(?m)^end (\d+)\r?\n\z`)
)

// number returns which message a text is, which must be complete.
func numberOf(t *testing.T, text string) int {
	t.Helper()
	subject, last := subjectLine.FindStringSubmatch(text), lastLine.FindStringSubmatch(text)
	if subject == nil || last == nil || subject[1] != last[1] {
		t.Errorf("a message of %d bytes is not whole: it begins %.200q and ends %.50q", len(text), text, text[max(0, len(text)-50):])
		return 0
	}
	var n int
	fmt.Sscan(subject[1], &n)
	return n
}

// fetch reads and removes the mail of the last user until the server is gone.
func (p *post) fetch(t *testing.T, addr string) {
	for {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		err = p.fetchOnce(t, textproto.NewConn(conn))
		conn.Close()
		if err != nil {
			return
		}
	}
}

var errRefused = errors.New("refused")

func (p *post) fetchOnce(t *testing.T, c *textproto.Conn) error {
	command := func(line string) error {
		if line != "" {
			if err := c.PrintfLine("%s", line); err != nil {
				return err
			}
		}
		reply, err := c.ReadLine()
		if err == nil && !strings.HasPrefix(reply, "+OK") {
			t.Errorf("%.4s: %s", line, reply)
			err = errRefused
		}
		return err
	}
	for _, line := range []string{"", "USER " + mailUser(mailUsers-1), "PASS pw"} {
		if err := command(line); err != nil {
			return err
		}
	}
	if err := c.PrintfLine("STAT"); err != nil {
		return err
	}
	var count, size int
	reply, err := c.ReadLine()
	if err != nil {
		return err
	}
	if _, err := fmt.Sscanf(reply, "+OK %d %d", &count, &size); err != nil {
		t.Errorf("STAT: %q", reply)
		return err
	}
	var numbers []int
	for n := 1; n <= count; n++ {
		if err := command(fmt.Sprintf("RETR %d", n)); err != nil {
			return err
		}
		text, err := io.ReadAll(c.DotReader())
		if err != nil {
			return err
		}
		numbers = append(numbers, numberOf(t, string(text)))
		if err := command(fmt.Sprintf("DELE %d", n)); err != nil {
			return err
		}
	}
	p.mu.Lock()
	for _, n := range numbers {
		p.doubtful[n] = true
	}
	p.mu.Unlock()
	if err := command("QUIT"); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range numbers {
		delete(p.doubtful, n)
		p.fetched[n]++
	}
	return nil
}

// verify looks into the mailbox of a user, and returns how many messages were
// acknowledged to be for it.
func (p *post) verify(t *testing.T, root string, user int) int {
	t.Helper()
	address := mailUser(user)
	name, domain, _ := strings.Cut(address, "@")
	there := map[int]int{}
	for _, sub := range []string{"new", "cur"} {
		dir := filepath.Join(root, "domains", domain, name, "Maildir", sub)
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			there[numberOf(t, string(text))]++
		}
	}
	for n, count := range there {
		if count > 1 {
			t.Errorf("%s has message %d %d times", address, n, count)
		}
	}
	read := user == mailUsers-1
	for _, n := range p.accepted[address] {
		if there[n] == 0 && !(read && (p.fetched[n] > 0 || p.doubtful[n])) {
			t.Errorf("%s has not got message %d, which was acknowledged", address, n)
		}
	}
	return len(p.accepted[address])
}

// waitForQueue waits until nothing is left to deliver.
func waitForQueue(t *testing.T, root string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		names, err := filepath.Glob(filepath.Join(root, "spool", "live", "*.msg"))
		if err != nil {
			t.Fatal(err)
		}
		if len(names) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages are still in the queue after %v", len(names), patience)
		}
		<-time.After(10 * time.Millisecond)
	}
	if names, err := os.ReadDir(filepath.Join(root, "spool", "bad")); err == nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("put aside as unreadable: %v, %v", names, err)
	}
}

// mailAddrs are where a daemon serves.
type mailAddrs struct{ ctrl, smtp, pop3 string }

var mailServing = regexp.MustCompile(`msg=serving .*\bsmtp=(\S+) .*\bpop3=(\S+) `)

func startMail(t *testing.T, root string) (*daemon, mailAddrs) {
	t.Helper()
	d, ctrlAddr := startOn(t, root, "-SI", "127.0.0.1", "-Sp", "0", "-PI", "127.0.0.1", "-Pp", "0")
	m, err := d.logged(mailServing)
	if err != nil {
		t.Fatal(err)
	}
	return d, mailAddrs{ctrlAddr, m[1], m[2]}
}
