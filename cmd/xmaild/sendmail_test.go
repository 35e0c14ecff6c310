//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/lmail"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// A sender calls the program as sendmail.
type sender struct {
	name, drop string
	as         *syscall.Credential // nil: who runs the tests
	env        []string
}

// newSender makes a drop folder, and links to the program that everybody may run.
func newSender(t *testing.T) *sender {
	t.Helper()
	dir := programtest.Dir(t)
	program, err := os.ReadFile(filepath.Join(bin, "xmaild"))
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{name: filepath.Join(dir, "sendmail"), drop: filepath.Join(dir, "drop")}
	for _, err := range []error{
		os.WriteFile(filepath.Join(dir, "xmaild"), program, 0o755),
		os.Symlink("xmaild", s.name),
		os.Mkdir(s.drop, 0o700),
		syscall.Chmod(s.drop, lmail.DropMode),
		os.Chmod(dir, 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// asNobody makes it another user where the tests may.
func (s *sender) asNobody() *sender {
	if os.Geteuid() == 0 {
		s.as = &syscall.Credential{Uid: somebodyElse, Gid: somebodyElse}
	}
	return s
}

// somebodyElse is a user that is neither root nor, in most systems, anybody.
const somebodyElse = 65533

func (s *sender) command(input string, args ...string) *exec.Cmd {
	cmd := exec.Command(s.name, args...)
	cmd.Dir = "/"
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "XMAIL_DROP=" + s.drop}, s.env...)
	cmd.Stdin = strings.NewReader(input)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	return cmd
}

// send runs it, and returns what it says on standard error, and its exit status.
func (s *sender) send(t *testing.T, input string, args ...string) (string, int) {
	t.Helper()
	cmd := s.command(input, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return stderr.String(), cmd.ProcessState.ExitCode()
}

// must runs it and wants it to go well.
func (s *sender) must(t *testing.T, input string, args ...string) string {
	t.Helper()
	text, status := s.send(t, input, args...)
	if status != 0 {
		t.Fatalf("sendmail %q: status %d, %s", args, status, text)
	}
	return text
}

// arrived waits until the account of the tests has as many messages, and returns them
// all in one.
func arrived(t *testing.T, root string, count int) string {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		names, err := filepath.Glob(filepath.Join(root, "domains/xmailserver.test/xmailuser/Maildir/new/*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(names) >= count {
			var all strings.Builder
			for _, name := range names {
				text, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				all.Write(text)
			}
			if len(names) > count {
				t.Fatalf("%d messages arrived, want %d:\n%s", len(names), count, all.String())
			}
			return all.String()
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages after %v, want %d", len(names), patience, count)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func mailRoot(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(root); err != nil {
		t.Fatal(err)
	}
	return root
}

// startLocal starts a server that takes mail from a drop folder.
func startLocal(t *testing.T, root, drop string) *daemon {
	t.Helper()
	d, _ := startOn(t, root, "--drop", drop, "-Ll")
	return d
}

func TestMailIsQueuedWithoutAServerAndDeliveredByOne(t *testing.T) {
	root := mailRoot(t)
	s := newSender(t).asNobody()
	said := s.must(t, "Subject: from cron\nTo: xmailuser\nBcc: xmailuser@xmailserver.test\n\n..dots\n.\nnot sent\n", "-t", "-oem", "-odi", "-FCronDaemon")
	if !strings.Contains(said, "no server runs") {
		t.Errorf("without a server it said %q", said)
	}
	if entries, err := os.ReadDir(s.drop); os.Geteuid() == 0 && (err != nil || len(entries) != 1) {
		t.Fatalf("drop folder: %v, %v; want one file", entries, err)
	}
	startLocal(t, root, s.drop)
	text := arrived(t, root, 1)
	uid := os.Getuid()
	if s.as != nil {
		uid = somebodyElse
	}
	for _, want := range []string{
		"\nSubject: from cron\r\n", "\nTo: xmailuser@xmailserver.test\r\n", "\r\n\r\n..dots\r\n", fmt.Sprintf(", uid %d)\r\n", uid),
		"\nFrom: \"CronDaemon\" <", "\nDate: ", "\nMessage-ID: <",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the message lacks %q:\n%s", want, text)
		}
	}
	for _, not := range []string{"Bcc", "not sent"} {
		if strings.Contains(text, not) {
			t.Errorf("the message has %q:\n%s", not, text)
		}
	}
	if said := s.must(t, "Subject: two\n\n.\nafter the dot\n", "-i", "-f", "ann@ext.test", "xmailuser@xmailserver.test"); said != "" {
		t.Errorf("with a server it said %q", said)
	}
	if text := arrived(t, root, 2); !strings.Contains(text, "Return-Path: <ann@ext.test>\r\n") || !strings.Contains(text, "\r\n.\r\nafter the dot\r\n") {
		t.Errorf("the second message:\n%s", text)
	}
}

func TestWhatSendmailRefuses(t *testing.T) {
	s := newSender(t)
	empty := programtest.Dir(t)
	for _, test := range []struct {
		args   []string
		env    string
		status int
		want   string
	}{
		{nil, "", 64, "no recipient"},
		{[]string{"-Z", "a@b.test"}, "", 64, "unknown option -Z"},
		{[]string{"--what"}, "", 64, "unknown option --what"},
		{[]string{"-f"}, "", 64, "option -f needs a value"},
		{[]string{"-bd"}, "", 64, "xmaild serve"},
		{[]string{"-N", "sometimes", "a@b.test"}, "", 64, "option -N"},
		{[]string{"-B", "9BIT", "a@b.test"}, "", 64, "option -B"},
		{[]string{"a@b.test", "-f", "c@d.test"}, "", 64, `"-f" behind an address`},
		{[]string{"a b@c.test"}, "", 65, "is no address"},
		{[]string{"-f", "a\nb", "a@b.test"}, "", 65, "is no address"},
		{[]string{"-t"}, "", 65, "none in the header"},
		{[]string{"--rcpt-file", filepath.Join(empty, "none")}, "", 66, "no such file"},
		{[]string{"--input-file", filepath.Join(empty, "none"), "a@b.test"}, "", 66, "no such file"},
		{[]string{"-bp"}, "", 69, "ctrlclnt queuelist"},
		{[]string{"a@b.test"}, "XMAIL_DROP=" + filepath.Join(empty, "none"), 78, "no mail is taken on this machine"},
		{[]string{"--root", filepath.Join(empty, "none"), "a@b.test"}, "", 78, "no such file"},
	} {
		s.env = []string{test.env}
		said, status := s.send(t, "Subject: x\n\ntext\n", test.args...)
		if status != test.status || !strings.Contains(said, test.want) || strings.Count(said, "\n") != 1 {
			t.Errorf("sendmail %q: status %d, %q; want %d and a line with %q", test.args, status, said, test.status, test.want)
		}
	}
	if entries, err := os.ReadDir(s.drop); err != nil || len(entries) != 0 {
		t.Errorf("drop folder: %v, %v; want nothing in it", entries, err)
	}
	s.env = nil
	for _, args := range [][]string{{"-bi"}, {"-q"}, {"-q15m"}, {"-qG", "x"}, {"--help"}} {
		if said, status := s.send(t, "", args...); status != 0 || said != "" {
			t.Errorf("sendmail %q: status %d, %q; want nothing", args, status, said)
		}
	}
}

func TestOptionsThatProgramsPass(t *testing.T) {
	s := newSender(t)
	for n, test := range []struct {
		args []string
		env  string
		want string // of the file
	}{
		{[]string{"-f", "ann@ext.test", "-N", "failure, delay", "-R", "hdrs", "-V", "id 1", "-B8BITMIME", "bob@ext.test"}, "",
			"mail from:<ann@ext.test> BODY=8BITMIME RET=HDRS ENVID=id+201\r\nrcpt to:<bob@ext.test> NOTIFY=FAILURE,DELAY\r\n\r\n"},
		{[]string{"-rann@ext.test", "bob@ext.test,Eve <eve@ext.test>"}, "", "mail from:<ann@ext.test>\r\nrcpt to:<bob@ext.test>\r\nrcpt to:<eve@ext.test>\r\n\r\n"},
		{[]string{"-f", "<>", "--", "bob"}, "", "mail from:<>\r\nrcpt to:<bob>\r\n\r\n"},
		{[]string{"-f", "ann", "bob", "BOB"}, "DEFAULT_DOMAIN=ext.test", "mail from:<ann@ext.test>\r\nrcpt to:<bob@ext.test>\r\n\r\n"},
		{[]string{"-f", "a@ext.test", "-F", "Ann <ann@ext.test>", "bob"}, "", "mail from:<ann@ext.test>\r\nrcpt to:<bob>\r\n\r\nSubject: x\r\nFrom: Ann <ann@ext.test>\r\n"},
		{[]string{"-f", "ann", "-F", `An "n`, "bob"}, "", "rcpt to:<bob>\r\n\r\nSubject: x\r\nFrom: \"An \\\"n\" <ann>\r\n"},
		{[]string{"-bm", "-ti", "-v", "-G", "-U", "-n", "-m", "-oem", "-oi", "-odb", "-o", "7", "-O", "Timeout=1", "-L", "tag", "-X", "/nowhere", "-C", "/etc/mail.cf",
			"-h", "3", "-p", "p", "-d0.1", "-Am", "-f", "ann", "bob"}, "", "mail from:<ann>\r\nrcpt to:<bob>\r\n\r\n"},
	} {
		s.env = []string{test.env}
		s.must(t, "Subject: x\n\ntext\n", test.args...)
		names, err := filepath.Glob(filepath.Join(s.drop, "*.msg"))
		if err != nil || len(names) != 1 {
			t.Fatalf("%d: %q, %v; want one file", n, names, err)
		}
		text, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), test.want) {
			t.Errorf("sendmail %q wrote\n%s\nwant\n%s", test.args, text, test.want)
		}
		if err := os.Remove(names[0]); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSMTPOnStandardInput(t *testing.T) {
	root := mailRoot(t)
	s := newSender(t).asNobody()
	startLocal(t, root, s.drop)
	cmd := s.command("EHLO me.test\r\nMAIL FROM:<ann@ext.test>\r\nRCPT TO:<xmailuser@xmailserver.test>\r\nDATA\r\nSubject: by SMTP\r\n\r\n..\r\n.\r\nQUIT\r\n", "-bs")
	out, err := cmd.Output()
	if err != nil || !regexp.MustCompile(`(?s)^220 .*\n354 .*\n250 .*\n221 `).Match(out) {
		t.Fatalf("%v:\n%s", err, out)
	}
	if text := arrived(t, root, 1); !strings.Contains(text, "Subject: by SMTP\r\n") || !strings.HasSuffix(text, "\r\n\r\n.\r\n") {
		t.Errorf("the message:\n%s", text)
	}
}

func TestTheOwnerOfTheMailRootNeedsNoDropFolder(t *testing.T) {
	root := mailRoot(t)
	s := newSender(t)
	s.must(t, "Subject: x\n\ntext\n", "--root", root, "xmailuser")
	s.env = []string{"MAIL_ROOT=" + root, "XMAIL_DROP="}
	s.must(t, "Subject: y\n\ntext\n", "xmailuser")
	startOn(t, root)
	if text := arrived(t, root, 2); strings.Count(text, "Received: from /spool/local (user ") != 2 {
		t.Errorf("the messages:\n%s", text)
	}
}

// TestPHPSendsMail has PHP send by its function mail, as web pages do.
func TestPHPSendsMail(t *testing.T) {
	php, err := exec.LookPath("php")
	if err != nil {
		t.Skip("PHP is not installed")
	}
	root := mailRoot(t)
	s := newSender(t).asNobody()
	startLocal(t, root, s.drop)
	cmd := s.command("")
	cmd.Path, cmd.Args = php, []string{php, "-d", "sendmail_path=" + s.name + " -t -i", "-r",
		`exit(mail("xmailuser@xmailserver.test", "Grüße", "line one\r\n.\r\n..two", "From: Web <web@ext.test>\r\nBcc: xmailuser@xmailserver.test", "-fbounce@ext.test") ? 0 : 1);`}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	text := arrived(t, root, 1)
	for _, want := range []string{"Return-Path: <bounce@ext.test>\r\n", "\nFrom: Web <web@ext.test>\r\n", "\r\n\r\nline one\r\n.\r\n..two\r\n", "Subject: Grüße\r\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the message lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "Bcc") {
		t.Errorf("the message has Bcc:\n%s", text)
	}
}

// TestExamplesOfTheManualOfSendmail runs the lines of docs/sendmail.md.
func TestExamplesOfTheManualOfSendmail(t *testing.T) {
	manual, err := os.ReadFile("../../docs/sendmail.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := tourBlocks.FindAllStringSubmatch(string(manual), -1)
	if len(blocks) != 1 {
		t.Fatalf("the manual has %d blocks of commands, want 1", len(blocks))
	}
	s := newSender(t)
	cmd := s.command("")
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-e", "-c", blocks[0][1]}
	cmd.Env = append(cmd.Env, "PATH="+filepath.Dir(s.name)+string(filepath.ListSeparator)+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	names, err := filepath.Glob(filepath.Join(s.drop, "*.msg"))
	if want := strings.Count(blocks[0][1], "| sendmail"); err != nil || len(names) != want {
		t.Errorf("%d messages, %v; want %d", len(names), err, want)
	}
}
