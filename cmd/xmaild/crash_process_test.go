//go:build unix

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// The addresses that TestKillLosesNoProcessedMail sends to, and whose mailboxes the
// mail gets to.
var processed = map[string][]string{
	"user0@xmailserver.test":   {"user0"},
	"list@xmailserver.test":    {"user0", "user1", "user2"},
	"forward@xmailserver.test": {"forward", "user1"},
	"command@xmailserver.test": {"user2", "user3"},
	"nested@xmailserver.test":  {"forward", "user1", "user3"},
}

// TestKillLosesNoProcessedMail kills the server at random moments while it sends mail on
// to lists and by files of commands, and a filter rewrites what comes to mailboxes. Every
// message that was acknowledged is wanted in each mailbox that it leads to, once, and
// rewritten.
func TestKillLosesNoProcessedMail(t *testing.T) {
	length := crashTime(t)
	root := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(root); err != nil {
		t.Fatal(err)
	}
	stamp := programtest.Script(t, `sed 's/^Subject: /X-Filter: stamped\r\n&/' "$1" > "$1.new" && cat "$1.new" > "$1" && rm "$1.new" && exit 7; exit 75`+"\n")
	for name, content := range map[string]string{
		"filters.in.tab":    "\"*\"\t\"*\"\t\"0.0.0.0/0\"\t\"0.0.0.0/0\"\t\"stamp.tab\"\n",
		"filters/stamp.tab": fmt.Sprintf("%q\t\"@@FILE\"\n", stamp),
		"cmdaliases/xmailserver.test/command.tab": "\"redirect\"\t\"user2@xmailserver.test\"\n" +
			"\"lredirect\"\t\"user3@xmailserver.test\"\n",
	} {
		if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(name)), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	p := &post{accepted: map[string][]int{}, fetched: map[int]int{}, doubtful: map[int]bool{}}
	rounds := 0
	for end := time.Now().Add(length); time.Now().Before(end); rounds++ {
		d, addrs := startMail(t, root)
		if rounds == 0 {
			addProcessing(t, root, addrs.ctrl)
		}
		var work sync.WaitGroup
		for range 3 {
			seed := random.Uint64()
			work.Go(func() { p.sendProcessed(t, addrs.smtp, rand.New(rand.NewPCG(seed, 0))) })
		}
		<-time.After(time.Duration(20+random.IntN(400)) * time.Millisecond)
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
	total := p.verifyProcessed(t, root)
	if total == 0 {
		t.Error("no message was acknowledged")
	}
	t.Logf("%d kills, %d acknowledged deliveries", rounds, total)
}

// addProcessing makes the accounts and the lists.
func addProcessing(t *testing.T, root, addr string) {
	t.Helper()
	addMailUsers(t, addr)
	client, err := ctrl.Dial(t.Context(), addr, servertest.User, servertest.Password)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const domain = "xmailserver.test"
	commands := [][]string{
		{"useradd", domain, "forward", "pw", "U"}, {"uservarsset", domain, "forward", "MaxMBSize", "0"},
		{"useradd", domain, "list", "pw", "M"}, {"uservarsset", domain, "list", "ClosedML", "0"},
		{"useradd", domain, "nested", "pw", "M"}, {"uservarsset", domain, "nested", "ClosedML", "0"},
		{"mluseradd", domain, "nested", "forward@" + domain, "RW"}, {"mluseradd", domain, "nested", "user3@" + domain, "RW"},
	}
	for _, member := range processed["list@"+domain] {
		commands = append(commands, []string{"mluseradd", domain, "list", member + "@" + domain, "RW"})
	}
	for _, c := range commands {
		if _, err := client.Do(t.Context(), c...); err != nil {
			t.Fatalf("%q: %v", c, err)
		}
	}
	mailproc := filepath.Join(root, "domains", domain, "forward", "mailproc.tab")
	if err := os.WriteFile(mailproc, []byte("\"mailbox\"\n\"redirect\"\t\"user1@xmailserver.test\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sendProcessed sends mail until the server is gone.
func (p *post) sendProcessed(t *testing.T, addr string, random *rand.Rand) {
	client, err := smtp.Dial(addr)
	if err != nil {
		return // killed before
	}
	defer client.Close()
	var targets []string
	for to := range processed {
		targets = append(targets, to)
	}
	for {
		p.mu.Lock()
		p.next++
		number := p.next
		p.mu.Unlock()
		to := targets[random.IntN(len(targets))]
		err := sendTo(client, number, to)
		var refused *textproto.Error
		switch {
		case errors.As(err, &refused) && refused.Code != 421:
			t.Errorf("message %d: %v, want it taken", number, err)
			return
		case err != nil:
			return // killed
		}
		p.mu.Lock()
		p.accepted[to] = append(p.accepted[to], number)
		p.mu.Unlock()
	}
}

func sendTo(client *smtp.Client, number int, to string) error {
	if err := errors.Join(client.Mail("sender@ext.test"), client.Rcpt(to)); err != nil {
		return err
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Subject: number %d\r\n\r\ntext\r\nend %d\r\n", number, number)
	return w.Close()
}

// verifyProcessed looks into all mailboxes, and returns how many deliveries there were.
func (p *post) verifyProcessed(t *testing.T, root string) int {
	t.Helper()
	there := map[string]map[int]int{} // by account and number
	boxes, err := filepath.Glob(filepath.Join(root, "domains", "xmailserver.test", "*", "Maildir", "new"))
	if err != nil {
		t.Fatal(err)
	}
	for _, box := range boxes {
		account := filepath.Base(filepath.Dir(filepath.Dir(box)))
		there[account] = map[int]int{}
		entries, err := os.ReadDir(box)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(box, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), "X-Filter: stamped\r\n"); n == 0 {
				t.Errorf("%s has a message that the filter has not seen: %.300q", account, text)
			}
			there[account][numberOf(t, string(text))]++
		}
	}
	for account, numbers := range there {
		for n, count := range numbers {
			if count > 1 {
				t.Errorf("%s has message %d %d times", account, n, count)
			}
		}
	}
	total := 0
	for to, numbers := range p.accepted {
		for _, n := range numbers {
			for _, account := range processed[to] {
				if total++; there[account][n] == 0 {
					t.Errorf("%s has not got message %d, which was acknowledged for %s", account, n, to)
				}
			}
		}
	}
	return total
}
