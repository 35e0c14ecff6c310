//go:build unix

package sendmail

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/lmail"
)

// A mailer calls sendmail, with a drop folder of its own.
type mailer struct {
	drop string
	env  map[string]string
}

func newMailer(t *testing.T) *mailer {
	t.Helper()
	m := &mailer{drop: filepath.Join(t.TempDir(), "drop")}
	if err := os.Mkdir(m.drop, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Chmod(m.drop, lmail.DropMode); err != nil {
		t.Fatal(err)
	}
	m.env = map[string]string{"XMAIL_DROP": m.drop}
	return m
}

// run returns the exit status, what is said on standard output and error, and the files
// that were dropped.
func (m *mailer) run(t *testing.T, input string, args ...string) (status int, said string, dropped []string) {
	t.Helper()
	var out, bad bytes.Buffer
	p := Program{Args: args, Stdin: strings.NewReader(input), Stdout: &out, Stderr: &bad, Getenv: func(name string) string { return m.env[name] }}
	status = p.Run()
	names, err := filepath.Glob(filepath.Join(m.drop, "*.msg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err == nil {
			err = os.Remove(name)
		}
		if err != nil {
			t.Fatal(err)
		}
		dropped = append(dropped, string(text))
	}
	return status, out.String() + bad.String(), dropped
}

func TestProgramsSpeakSMTPAsTheyLike(t *testing.T) {
	const session = "EHLO me.test\nMAIL FROM:<ann>\nRCPT TO:<bob>\nrcpt to: <carl@ext.test>\nDATA\nSubject: x\n\nMAIL FROM:<text>\nBDAT 3\n..\n.\nMAIL FROM:<>\nRCPT TO:<bob>\nBDAT 17 LAST\nRCPT TO:<text>\r\nxQUIT\n"
	crlf := strings.ReplaceAll(strings.ReplaceAll(session, "\r\n", "\n"), "\n", "\r\n")
	for name, input := range map[string]string{"LF": session, "CRLF": crlf} {
		for domain, want := range map[string]string{"": "bob", "own.test": "bob@own.test"} {
			m := newMailer(t)
			m.env["DEFAULT_DOMAIN"] = domain
			status, said, dropped := m.run(t, input, "-bs")
			if status != 0 || len(dropped) != 2 || strings.Contains(said, "\n5") {
				t.Errorf("%s: status %d, %d messages, said:\n%s", name, status, len(dropped), said)
				continue
			}
			first, second := dropped[0], dropped[1]
			if strings.HasPrefix(first, "mail from:<>") {
				first, second = second, first
			}
			wantFirst := fmt.Sprintf("mail from:<%s>\r\nrcpt to:<%s>\r\nrcpt to:<carl@ext.test>\r\n\r\nSubject: x\r\n\r\nMAIL FROM:<text>\r\nBDAT 3\r\n.\r\n",
				strings.Replace(want, "bob", "ann", 1), want)
			if wantSecond := "mail from:<>\r\nrcpt to:<" + want + ">\r\n\r\nRCPT TO:<text>\r\nx\r\n"; first != wantFirst || second != wantSecond {
				t.Errorf("%s: messages\n%q\n%q; want\n%q\n%q", name, first, second, wantFirst, wantSecond)
			}
		}
	}
}

// TestDotBetweenLineFeedsEndsNoMessage: a program that ends its lines in CR LF passes on
// the text of strangers.
func TestDotBetweenLineFeedsEndsNoMessage(t *testing.T) {
	_, said, dropped := newMailer(t).run(t, "EHLO me.test\r\nMAIL FROM:<ann@a.test>\r\nRCPT TO:<bob@a.test>\r\nDATA\r\n\r\na\n.\nMAIL FROM:<eve@b.test>\r\n.\r\nQUIT\r\n", "-bs")
	if len(dropped) != 1 || !strings.HasSuffix(dropped[0], "\r\n\r\n\r\na\r\n.\r\nMAIL FROM:<eve@b.test>\r\n") {
		t.Errorf("messages %q, said:\n%s", dropped, said)
	}
}

func TestWhatIsTooBigIsRefused(t *testing.T) {
	m := newMailer(t)
	if err := os.WriteFile(filepath.Join(m.drop, ".limit"), []byte("1000\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("0123456789\r\n", 100)
	if status, said, dropped := m.run(t, "Subject: x\n\n"+big, "bob@a.test"); status != DataErr || len(dropped) != 0 || !strings.Contains(said, "1000 bytes") {
		t.Errorf("status %d, %d messages, said %q", status, len(dropped), said)
	}
	if _, said, dropped := m.run(t, "EHLO me.test\r\nMAIL FROM:<>\r\nRCPT TO:<bob@a.test>\r\nDATA\r\n\r\n"+big+".\r\nQUIT\r\n", "-bs"); len(dropped) != 0 || !strings.Contains(said, "\r\n552 ") {
		t.Errorf("%d messages, said %q", len(dropped), said)
	}
	if status, _, dropped := m.run(t, "Subject: small\n\n", "bob@a.test"); status != 0 || len(dropped) != 1 {
		t.Errorf("a small message: status %d, %d messages", status, len(dropped))
	}
	header := "To: bob@a.test\nBcc: " + strings.Repeat("x", 5<<20) + "\n\nx\n"
	if status, said, dropped := newMailer(t).run(t, header, "-t"); status != DataErr || len(dropped) != 0 {
		t.Errorf("a header of 5 MiB: status %d, %d messages, said %q", status, len(dropped), said)
	}
}

// TestBlindCopiesOfALongLineStayBlind has more addresses in one line than a buffer holds.
func TestBlindCopiesOfALongLineStayBlind(t *testing.T) {
	var all []string
	for n := range 9000 {
		all = append(all, fmt.Sprintf("somebody-with-a-long-name-%d@ext.test", n))
	}
	status, said, dropped := newMailer(t).run(t, "From nobody Sun Nov 22\n>From here\nTo: bob@a.test\nBcc: "+strings.Join(all, ", ")+"\nSubject: x\n\ntext\n", "-t")
	if status != 0 || len(dropped) != 1 {
		t.Fatalf("status %d, %d messages, said %q", status, len(dropped), said)
	}
	head, text, _ := strings.Cut(dropped[0], "\r\n\r\n")
	if n := strings.Count(head, "rcpt to:"); n != 9001 || strings.Contains(text, "somebody") || !strings.HasPrefix(text, "To: bob@a.test\r\nSubject: x\r\n") {
		t.Errorf("%d recipients, and the message is\n%.300s", n, text)
	}
}
