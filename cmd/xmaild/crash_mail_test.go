//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"net/smtp"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// mailLoad sends mail to some accounts by SMTP, and fetches that of the last one by POP3.
// Each message has a number of its own in its subject and at its end.
type mailLoad struct {
	post

	// Of the account whose mail is fetched, by the numbers of messages.
	fetched  map[int]bool // a QUIT that was acknowledged has removed it
	doubtful map[int]bool // a QUIT that was not acknowledged may have
	again    map[int]bool // it may come back: it was in the queue still when a server died
	removed  int
}

// mailUsers are how many accounts get mail.
const mailUsers = 4

const mailDomain = "xmailserver.test"

func mailUser(n int) string { return fmt.Sprintf("user%d@%s", n, mailDomain) }

func newMailLoad() *mailLoad {
	return &mailLoad{post: newPost(), fetched: map[int]bool{}, doubtful: map[int]bool{}, again: map[int]bool{}}
}

// A post is what senders know of the mail that they send.
type post struct {
	mu       sync.Mutex
	next     int
	accepted map[int][]string // the addresses of messages that were acknowledged with 250
	unsure   map[int][]string // of those whose reply never came
}

func newPost() post { return post{accepted: map[int][]string{}, unsure: map[int][]string{}} }

// send sends messages until the server is gone. to says where the next one goes to.
func (p *post) send(l life, random *rand.Rand, f *findings, to func() []string) {
	client, err := smtp.Dial(l.smtp)
	if err != nil {
		return // killed before
	}
	defer client.Close()
	for {
		addresses := to()
		p.mu.Lock()
		p.next++
		number := p.next
		p.unsure[number] = addresses
		p.mu.Unlock()
		size := random.IntN(20000)
		if random.IntN(8) == 0 {
			size += longMessage
		}
		err := sendTo(client, number, addresses, size)
		var refused *textproto.Error
		switch {
		case err == nil:
		case errors.As(err, &refused) && refused.Code != 421 && !l.gone():
			f.add("message %d: %v, want it taken", number, err)
			return
		default:
			return // killed
		}
		p.mu.Lock()
		delete(p.unsure, number)
		p.accepted[number] = addresses
		p.mu.Unlock()
	}
}

// longMessage is the size of a message that is not delivered before it is in the queue,
// however few recipients it has.
const longMessage = 70_000

func sendTo(client *smtp.Client, number int, to []string, size int) error {
	if err := client.Mail("sender@ext.test"); err != nil {
		return err
	}
	for _, address := range to {
		if err := client.Rcpt(address); err != nil {
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

// numberOf returns which message a text is, which must be complete.
func numberOf(text string) (int, error) {
	subject, last := subjectLine.FindStringSubmatch(text), lastLine.FindStringSubmatch(text)
	if subject == nil || last == nil || subject[1] != last[1] {
		return 0, fmt.Errorf("a message of %d bytes is not whole: it begins %.200q and ends %.50q", len(text), text, text[max(0, len(text)-50):])
	}
	var n int
	_, err := fmt.Sscan(subject[1], &n)
	return n, err
}

func (m *mailLoad) prepare(*testing.T, string) {}

func (m *mailLoad) begin(t *testing.T, l life) {
	t.Helper()
	for n := range mailUsers {
		addAccounts(t, l, mailUser(n))
	}
}

// addAccounts makes accounts whose mailboxes never get full.
func addAccounts(t *testing.T, l life, addresses ...string) {
	t.Helper()
	client := dialCtrl(t, l)
	for _, address := range addresses {
		name, domain, _ := strings.Cut(address, "@")
		for _, command := range [][]string{{"useradd", domain, name, "pw", "U"}, {"uservarsset", domain, name, "MaxMBSize", "0"}} {
			if _, err := client.Do(t.Context(), command...); err != nil {
				t.Fatalf("%q: %v", command, err)
			}
		}
	}
}

func (m *mailLoad) clients(l life, random *rand.Rand, f *findings) []func() {
	var all []func()
	for range 3 {
		rng := rand.New(rand.NewPCG(random.Uint64(), 0))
		all = append(all, func() {
			m.send(l, rng, f, func() []string {
				var to []string
				for _, n := range rng.Perm(mailUsers)[:1+rng.IntN(mailUsers)] {
					to = append(to, mailUser(n))
				}
				return to
			})
		})
	}
	rng := rand.New(rand.NewPCG(random.Uint64(), 0))
	return append(all, func() { m.fetch(l, rng, f) })
}

// fetch reads the mail of the last account, and removes some of it, until the server is gone.
func (m *mailLoad) fetch(l life, random *rand.Rand, f *findings) {
	for {
		conn, err := net.Dial("tcp", l.pop3)
		if err != nil {
			return
		}
		err = m.fetchOnce(textproto.NewConn(conn), random)
		conn.Close()
		if errors.Is(err, errHungUp) {
			continue // as clients do that lose their connection
		}
		var bad *protocolError
		if errors.As(err, &bad) && !l.gone() {
			f.add("POP3: %v", err)
		}
		if err != nil {
			return
		}
	}
}

// A protocolError is a reply that is not what it should be.
type protocolError struct{ line, reply string }

func (e *protocolError) Error() string { return fmt.Sprintf("%.4s: %s", e.line, e.reply) }

var errHungUp = errors.New("the client hangs up")

func (m *mailLoad) fetchOnce(c *textproto.Conn, random *rand.Rand) error {
	command := func(line string) (string, error) {
		if line != "" {
			if err := c.PrintfLine("%s", line); err != nil {
				return "", err
			}
		}
		reply, err := c.ReadLine()
		if err == nil && !strings.HasPrefix(reply, "+OK") {
			err = &protocolError{line, reply}
		}
		return reply, err
	}
	reply := ""
	for _, line := range []string{"", "USER " + mailUser(mailUsers-1), "PASS pw", "STAT"} {
		var err error
		if reply, err = command(line); strings.HasPrefix(reply, "-ERR [IN-USE]") {
			return errHungUp // the server has not seen yet that the session before is over
		} else if err != nil {
			return err
		}
	}
	var count, size int
	if _, err := fmt.Sscanf(reply, "+OK %d %d", &count, &size); err != nil {
		return &protocolError{"STAT", reply}
	}
	var removed []int
	for n := 1; n <= count; n++ {
		if random.IntN(5) == 0 {
			continue // it stays
		}
		if _, err := command(fmt.Sprintf("RETR %d", n)); err != nil {
			return err
		}
		text, err := io.ReadAll(c.DotReader())
		if err != nil {
			return err
		}
		number, err := numberOf(string(text))
		if err != nil {
			return &protocolError{"RETR", err.Error()}
		}
		removed = append(removed, number)
		if _, err := command(fmt.Sprintf("DELE %d", n)); err != nil {
			return err
		}
	}
	switch random.IntN(8) {
	case 0:
		return errHungUp
	case 1:
		if _, err := command("RSET"); err != nil {
			return err
		}
		removed = nil
	}
	m.mu.Lock()
	for _, number := range removed {
		m.doubtful[number] = true
	}
	m.mu.Unlock()
	if _, err := command("QUIT"); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, number := range removed {
		delete(m.doubtful, number)
		m.fetched[number] = true
		m.removed++
	}
	return nil
}

// died looks for what the queue still has: it is delivered again where it was fetched
// between the delivery and the note of it.
func (m *mailLoad) died(disk files, f *findings) {
	names, err := disk.ReadDir("spool/live")
	if err != nil {
		f.add("%v", err)
	}
	for _, name := range names {
		text, err := disk.ReadFile("spool/live/" + name)
		if err != nil {
			f.add("%v", err)
		}
		if number, err := numberOf(string(text)); err == nil {
			m.again[number] = true
		}
	}
}

// check looks into the mailboxes of a server that has just started, and perhaps delivers
// already: what was promised to be gone is gone, what was to stay is there.
func (m *mailLoad) check(l life, f *findings) { m.read(l.disk, f, false) }

func (m *mailLoad) finish(disk files, f *findings) (int, string) {
	m.read(disk, f, true)
	total := 0
	for _, to := range m.accepted {
		total += len(to)
	}
	return total, fmt.Sprintf("deliveries (%d messages fetched)", m.removed)
}

// read compares the mailboxes with what is known. When all is delivered nothing may be
// missing.
func (m *mailLoad) read(disk files, f *findings, all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	there := map[string]map[int]int{}
	for n := range mailUsers {
		if all || n == mailUsers-1 {
			there[mailUser(n)] = mailbox(disk, mailUser(n), f, nil)
		}
	}
	reader := mailUser(mailUsers - 1)
	for number := range m.fetched {
		if there[reader][number] > 0 && !m.again[number] {
			f.add("%s has message %d, whose removal was acknowledged", reader, number)
		}
	}
	if !all {
		return
	}
	has := func(number int, to string) bool {
		return there[to][number] > 0 || to == reader && (m.fetched[number] || m.doubtful[number])
	}
	for number, addresses := range m.accepted {
		for _, to := range addresses {
			if !has(number, to) {
				f.add("%s has not got message %d, which was acknowledged", to, number)
			}
		}
	}
	for number, addresses := range m.unsure {
		with := slices.DeleteFunc(slices.Clone(addresses), func(to string) bool { return !has(number, to) })
		if len(with) != 0 && len(with) != len(addresses) {
			f.add("message %d was not acknowledged, and of %q only %q have it", number, addresses, with)
		}
	}
	for to, numbers := range there {
		for number := range numbers {
			if !slices.Contains(m.accepted[number], to) && !slices.Contains(m.unsure[number], to) {
				f.add("%s has message %d, which was not sent there", to, number)
			}
		}
	}
}

// mailbox returns how often each message is in a mailbox, which should be once.
func mailbox(disk files, address string, f *findings, look func(text string)) map[int]int {
	name, domain, _ := strings.Cut(address, "@")
	there := map[int]int{}
	for _, sub := range []string{"new", "cur"} {
		dir := "domains/" + domain + "/" + name + "/Maildir/" + sub
		entries, err := disk.ReadDir(dir)
		if err != nil {
			f.add("%v", err)
		}
		for _, e := range entries {
			text, err := disk.ReadFile(dir + "/" + e)
			if errors.Is(err, fs.ErrNotExist) {
				continue // fetched meanwhile
			}
			var number int
			if err == nil {
				number, err = numberOf(string(text))
			}
			if err != nil {
				f.add("%s: %v", address, err)
				continue
			}
			if look != nil {
				look(string(text))
			}
			there[number]++
		}
	}
	for _, number := range slices.Sorted(maps.Keys(there)) {
		if there[number] > 1 {
			f.add("%s has message %d %d times", address, number, there[number])
		}
	}
	return there
}

// waitForQueue waits until nothing is left to deliver.
func waitForQueue(disk files, f *findings) {
	deadline := time.Now().Add(patience)
	for {
		names, err := disk.ReadDir("spool/live")
		if err != nil {
			f.add("%v", err)
			return
		}
		names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".msg") })
		if len(names) == 0 {
			break
		}
		if time.Now().After(deadline) {
			f.add("%d messages are still in the queue after %v", len(names), patience)
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	if names, err := disk.ReadDir("spool/bad"); err == nil || !errors.Is(err, fs.ErrNotExist) {
		f.add("put aside as unreadable: %v, %v", names, err)
	}
}
