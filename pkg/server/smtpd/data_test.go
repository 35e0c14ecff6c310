package smtpd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/spool"
)

// taken reads the reply to a message and returns the text that is in the queue.
func taken(t *testing.T, r *rig, c *client) string {
	t.Helper()
	c.want("250 2.0.0 OK <S")
	texts := r.messages(t)
	if len(texts) != 1 {
		t.Fatalf("%d messages in the queue, want one: %q", len(texts), texts)
	}
	_, body, ok := strings.Cut(texts[0], ">;\r\n\t")
	_, body, _ = strings.Cut(body, "\r\n")
	if !ok {
		t.Fatalf("no Received header: %q", texts[0])
	}
	return body
}

func TestNothingButCRLFDotCRLFEndsAMessage(t *testing.T) {
	for _, end := range []string{
		"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\n.\r\r\n", "\n.\r", "\r.\n",
		"\r\n.\x00\r\n", "\r\n\x00.\r\n", "\r\n.\x00", "\n\r.\r\n", "\n\n.\n\n", "\r\n.\r\r", "\r\n. \r\n", "\r\n..\r\n", "\r\n.\t\r\n",
	} {
		t.Run(fmt.Sprintf("%q", end), func(t *testing.T) {
			r := newRig(t)
			c := r.greet(t)
			c.begin()
			c.ask("DATA", "354")
			c.send("Subject: a\r\n\r\nx" + end + "MAIL FROM:<evil@ext.test>\r\nRCPT TO:<bob@foo.test>\r\nDATA\r\nevil\r\n.\r\nNOOP\r\n")
			broken := strings.Count(end, "\r\n")*2 != strings.Count(end, "\r")+strings.Count(end, "\n") || strings.Contains(end, "\x00")
			if !broken {
				c.want("250 2.0.0 OK")
				c.want("250 2.0.0 OK") // to NOOP
				if got := r.messages(t); len(got) != 1 || !strings.Contains(got[0], "MAIL FROM:<evil@ext.test>") {
					t.Errorf("messages %q, want one with everything", got)
				}
				return
			}
			c.want("550 5.6.11 ")
			c.want("421 ")
			c.gone()
			if got := r.messages(t); len(got) != 0 {
				t.Errorf("messages %q, want none", got)
			}
		})
	}
}

// Who wrote CR CR LF may or may not have meant the end of a line: the message is
// refused, and what follows is not believed to be commands.
func TestCRCRLFIsRefusedAndWhatFollowsIsNotRun(t *testing.T) {
	for _, end := range []string{"\r\r\n.\r\n", "\r\r\n.\r\r\n\r\n.\r\n", "\r\n\r\r\n.\r\n"} {
		r := newRig(t)
		c := r.greet(t)
		c.begin()
		c.ask("DATA", "354")
		c.send("x" + end)
		c.want("550 5.6.11 ")
		c.send("MAIL FROM:<evil@ext.test>\r\nRCPT TO:<bob@foo.test>\r\n")
		c.want("421 4.7.0 ")
		c.gone()
	}
	r := newRig(t)
	c := r.greet(t)
	c.begin()
	c.ask("DATA", "354")
	c.send("a\nb\r\n.\r\n")
	c.want("550 5.6.11 ")
	c.ask("QUIT", "221 ")
}

func TestDotsAreUnstuffed(t *testing.T) {
	r := newRig(t)
	c := r.greet(t)
	c.begin()
	c.ask("DATA", "354")
	c.send("Subject: a\r\n\r\n..\r\n...\r\n.x\r\nx.\r\n\r\n..y")
	c.send("\r\n.")
	c.send("\r")
	c.send("\n")
	if got, want := taken(t, r, c), "Subject: a\r\n\r\n.\r\n..\r\nx\r\nx.\r\n\r\n.y\r\n"; got != want {
		t.Errorf("stored %q, want %q", got, want)
	}
}

func TestAMessageInPiecesOfAnySize(t *testing.T) {
	text := "Subject: a\r\n\r\n" + strings.Repeat("..dots and text of some length\r\n", 300) + strings.Repeat("long", 5000) + "\r\n"
	for _, size := range []int{1, 7, 512, 4096, 1 << 20} {
		if size == 1 && testing.Short() {
			continue
		}
		r := newRig(t)
		c := r.greet(t)
		c.begin()
		c.ask("DATA", "354")
		for rest := text + ".\r\n"; rest != ""; {
			n := min(size, len(rest))
			c.send(rest[:n])
			rest = rest[n:]
		}
		if got, want := taken(t, r, c), strings.ReplaceAll(text, "\r\n..", "\r\n."); got != want {
			t.Errorf("in pieces of %d: stored %d octets, want %d", size, len(got), len(want))
		}
	}
}

func TestPipelining(t *testing.T) {
	r := newRig(t)
	c := r.greet(t)
	c.send("MAIL FROM:<x@ext.test>\r\nRCPT TO:<nobody@foo.test>\r\nRCPT TO:<alice@foo.test>\r\nDATA\r\n")
	for _, want := range []string{"250 2.1.0", "550 5.1.1", "250 2.1.5", "354"} {
		c.want(want)
	}
	c.send("one\r\n.\r\nMAIL FROM:<x@ext.test>\r\nRCPT TO:<bob@foo.test>\r\nDATA\r\ntwo\r\n.\r\nRSET\r\nVRFY x\r\nQUIT\r\n")
	for _, want := range []string{"250 2.0.0 OK <S", "250 2.1.0", "250 2.1.5", "354", "250 2.0.0 OK <S", "250 2.0.0", "252 ", "221 "} {
		c.want(want)
	}
	c.gone()
	if got := r.messages(t); len(got) != 2 {
		t.Errorf("messages %q, want two", got)
	}
}

func TestTextAfterARefusedDATAIsNoMessage(t *testing.T) {
	r := newRig(t)
	c := r.greet(t)
	c.send("MAIL FROM:<x@ext.test>\r\nRCPT TO:<nobody@foo.test>\r\nDATA\r\n")
	c.want("250")
	c.want("550")
	c.want("503 5.5.1")
	c.ask("RCPT TO:<alice@foo.test>", "250") // the transaction goes on
	c.ask("DATA now", "501")
}

func TestATimeoutInDATAEndsTheSession(t *testing.T) {
	r := newRigSet(t, func(r *rig) { r.DataTimeout = 50 * time.Millisecond })
	c := r.greet(t)
	c.begin()
	c.ask("DATA", "354")
	c.send("half a line")
	c.want("421 4.4.2 ")
	// What comes now would be commands to a server that had gone back to them.
	if _, err := c.Write([]byte("\r\nMAIL FROM:<evil@ext.test>\r\nRCPT TO:<bob@foo.test>\r\nDATA\r\nx\r\n.\r\n")); err == nil {
		c.gone()
	}
	r.stop()
	if got := r.messages(t); len(got) != 0 {
		t.Errorf("messages %q, want none", got)
	}
}

func TestAnIdleClientIsToldToGo(t *testing.T) {
	r := newRigSet(t, func(r *rig) { r.Timeout = 50 * time.Millisecond })
	c := r.dial(t)
	c.want("220")
	c.want("421 4.4.2 ")
	c.gone()
}

func TestAConnectionThatBreaksInTheMessageLeavesNothing(t *testing.T) {
	for _, command := range []string{"DATA\r\nSubject: x\r\n\r\nhalf", "BDAT 1000 LAST\r\nhalf", "BDAT 4\r\nhalf", "BDAT 0\r\n"} {
		r := newRig(t)
		c := r.greet(t)
		c.begin()
		c.send(command)
		if strings.HasPrefix(command, "DATA") {
			c.want("354")
		} else if !strings.HasSuffix(command, "LAST\r\nhalf") {
			c.want("250 2.0.0 Continue")
		}
		c.Close()
		r.stop()
		all, err := filepath.Glob(filepath.Join(r.dir, "spool", "live", "*"))
		if err != nil || len(all) != 0 {
			t.Errorf("%.10q: left behind %q, %v", command, all, err)
		}
	}
}

func TestBDAT(t *testing.T) {
	for _, test := range []struct {
		name, send, replies, want string
	}{
		{"one chunk", "BDAT 16 LAST\r\nSubject: a\r\n\r\nb\r", "550", ""},
		{"octets that look like commands", "BDAT 31\r\nSubject: a\r\n\r\nQUIT\r\nRSET\r\n.\r\n.xBDAT 7 LAST\r\nDATA\r\n.", "250 250", "Subject: a\r\n\r\nQUIT\r\nRSET\r\n.\r\n.xDATA\r\n.\r\n"},
		{"lines over chunks", "BDAT 13\r\nSubject: a\r\n\rBDAT 3\r\n\n.\rBDAT 4 last\r\n\n.\r\n", "250 250 250", "Subject: a\r\n\r\n.\r\n.\r\n"},
		{"empty last chunk", "BDAT 14\r\nSubject: a\r\n\r\nBDAT 0 LAST\r\n", "250 250", "Subject: a\r\n\r\n"},
		{"nothing at all", "BDAT 0 LAST\r\n", "250", ""},
		{"other commands between", "BDAT 14\r\nSubject: a\r\n\r\nNOOP\r\nMAIL FROM:<a@b.test>\r\nDATA\r\nSTARTTLS\r\nHELP\r\nBDAT 3 LAST\r\nb\r\n", "250 250 503 503 503 214- 250", "Subject: a\r\n\r\nb\r\n"},
		{"bare LF", "BDAT 4 LAST\r\na\nb\n", "550", ""},
		{"bare CR", "BDAT 4 LAST\r\na\rb\n", "550", ""},
		{"NUL", "BDAT 4 LAST\r\na\x00\r\n", "550", ""},
		{"no size", "BDAT\r\nNOOP\r\n", "501", ""},
		{"bad size", "BDAT -1 LAST\r\nNOOP\r\n", "501", ""},
		{"too large a size", "BDAT 4294967296 LAST\r\nNOOP\r\n", "501", ""},
		{"more than LAST", "BDAT 1 LAST x\r\nNOOP\r\n", "501", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			c := r.greet(t)
			c.begin()
			c.send(test.send)
			replies := strings.Split(test.replies, " ")
			for _, want := range replies {
				c.want(want)
			}
			if test.want == "" && replies[0] == "501" {
				c.gone() // the octets of the chunk cannot be told from commands
			}
			got := r.messages(t)
			if refused := replies[len(replies)-1][:1] == "5" || replies[0] == "501"; refused != (len(got) == 0) {
				t.Fatalf("messages %q", got)
			}
			if len(got) == 1 && !strings.HasSuffix(got[0], test.want) {
				t.Errorf("stored %q, want %q at the end", got[0], test.want)
			}
			if replies[0] != "501" {
				c.ask("NOOP", "250")
			}
		})
	}
}

func TestAMessageInChunksCanBeGivenUp(t *testing.T) {
	for _, command := range []string{"RSET", "EHLO again.test"} {
		r := newRig(t)
		c := r.greet(t)
		c.begin()
		c.send("BDAT 3\r\nabc")
		c.want("250")
		c.ask(command, "250")
		c.ask("BDAT 6 LAST\r\nNOOP", "503") // the chunk is read all the same
		c.begin()
		c.ask("DATA", "354")
		c.send("x\r\n.\r\n")
		c.want("250")
		if got := r.messages(t); len(got) != 1 || strings.Contains(got[0], "abc") {
			t.Errorf("%s: messages %q, want one", command, got)
		}
		c.begin()
		c.send("BDAT 3\r\nabc")
		c.want("250")
		c.ask("QUIT", "221")
		c.gone()
	}
}

func TestASpoolThatTakesNothingIsSaid(t *testing.T) {
	r := newRig(t)
	c := r.greet(t)
	c.begin()
	live := filepath.Join(r.dir, "spool", "live")
	if err := os.Rename(live, live+".away"); err != nil {
		t.Fatal(err)
	}
	c.ask("DATA", "354")
	c.send("x\r\n.\r\n")
	c.want("451 4.3.0")
	c.begin()
	c.ask("BDAT 6 LAST\r\nNOOP", "451 4.3.0")
	if err := os.Rename(live+".away", live); err != nil {
		t.Fatal(err)
	}
	c.begin()
	c.ask("DATA", "354")
	c.send("x\r\n.\r\n")
	c.want("250")
}

// A queueOnce takes no message the first time.
type queueOnce struct {
	Queue
	asked bool
}

func (q *queueOnce) Begin(e spool.Envelope) (*spool.Draft, error) {
	if !q.asked {
		q.asked = true
		return nil, syscall.ENOSPC
	}
	return q.Queue.Begin(e)
}

func TestAChunkIsNoMessageWhereTheOneBeforeWasNotTaken(t *testing.T) {
	r := newRigSet(t, func(r *rig) { r.Server.Queue = &queueOnce{Queue: r.Server.Queue} })
	c := r.greet(t)
	c.begin()
	c.send("BDAT 14\r\nSubject: a\r\n\r\nBDAT 3 LAST\r\nb\r\n")
	c.want("452 4.3.1")
	c.want("503")
	if got := r.messages(t); len(got) != 0 {
		t.Errorf("messages %q, want none", got)
	}
}
