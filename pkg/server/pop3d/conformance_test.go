package pop3d

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailbox"
)

// recorded are the exchanges with the reference that have POP3 sessions in them.
var recorded = []string{"22-smtp-access.txt", "23-pop3-session.txt"}

// TestRecordedSessions plays the POP3 sessions that were recorded from the reference.
// Mail of the SMTP sessions between them is delivered directly.
func TestRecordedSessions(t *testing.T) {
	for _, name := range recorded {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "conformance", "services", name))
			if err != nil {
				t.Fatal(err)
			}
			sessions := 0
			for i, part := range strings.Split(string(text), "\n! fresh\n") {
				if strings.Contains("\n"+part, "\n! pop3\n") {
					sessions += strings.Count("\n"+part, "\n! pop3\n")
					t.Run(fmt.Sprint(i), func(t *testing.T) { play(t, part) })
				}
			}
			if sessions == 0 {
				t.Error("there is no POP3 session")
			}
		})
	}
}

// play plays exchanges with one MailRoot (testdata/conformance/README.md).
func play(t *testing.T, text string) {
	row := func(domain, name, password string, id int) string {
		return fmt.Sprintf("\"%s\"\t\"%s\"\t\"%s\"\t%d\t\"%s\"\t\"U\"\n", domain, name, auth.Scramble(password), id, name)
	}
	options := []option{
		tables("server.tab", "\"RootDomain\"\t\"xmailserver.test\"\n\"POP3Domain\"\t\"xmailserver.test\"\n"),
		tables("domains.tab", "\"xmailserver.test\"\n\"foo.test\"\n"),
		tables("mailusers.tab", row("xmailserver.test", "xmailuser", "xmail", 1)+row("foo.test", "alice", "al1cepw", 2)),
		tables("domains/xmailserver.test/xmailuser/Maildir/new/.keep", ""),
		tables("domains/foo.test/alice/Maildir/new/.keep", ""),
	}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		if name, ok := strings.CutPrefix(lines[i], "+ "); ok {
			content := ""
			for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "+| ") {
				i++
				content += strings.ReplaceAll(strings.TrimPrefix(lines[i], "+| "), `\t`, "\t") + "\n"
			}
			options = append(options, tables(name, content))
		}
	}
	s := newSite(t, options...)
	p := &player{site: s}
	for i, line := range lines {
		p.step(i+1, line)
	}
}

// A player is where playing has got to.
type player struct {
	*site
	service string // of the session that is open
	c       *client
	hello   string
	command string   // the last one
	body    []string // of a message
	mails   int
}

func (p *player) step(number int, line string) {
	p.t.Helper()
	switch {
	case strings.HasPrefix(line, "! "):
		p.service = strings.Fields(line)[1]
		if p.service == "pop3" {
			p.c = p.dial()
			p.hello, p.command = p.c.hello, "the connection"
		}
	case p.service == "smtp" && strings.HasPrefix(line, ">| "):
		p.body = append(p.body, strings.TrimPrefix(strings.TrimPrefix(line, ">| "), "."))
	case p.service == "smtp" && line == ">.":
		alice, ok := p.root.User("foo.test", "alice")
		if !ok {
			p.t.Fatal("there is no alice")
		}
		p.mails++
		m := mailbox.Message{Name: fmt.Sprint("m", p.mails), Body: strings.NewReader(strings.Join(p.body, "\r\n") + "\r\n"), Size: -1}
		if err := p.boxes.Deliver(p.t.Context(), alice, m); err != nil {
			p.t.Fatal(err)
		}
		p.body = nil
	case p.service != "pop3":
	case strings.HasPrefix(line, "> "):
		p.command = p.expand(strings.TrimPrefix(line, "> "))
		p.c.send(p.command)
	case strings.HasPrefix(line, "< "):
		got := p.hello
		if p.command != "the connection" {
			got = p.c.line()
		}
		if want := strings.TrimPrefix(line, "< "); !strings.HasPrefix(got, want) {
			p.t.Errorf("line %d: %s is answered %q, want %s", number, p.command, got, want)
		}
	}
}

// expand puts the digest of APOP into a command.
func (p *player) expand(command string) string {
	verb, rest, ok := strings.Cut(command, " {apop ")
	if !ok {
		return command
	}
	f := strings.Fields(strings.TrimSuffix(rest, "}"))
	return verb + " " + f[0] + " " + digest(p.hello, f[1])
}
