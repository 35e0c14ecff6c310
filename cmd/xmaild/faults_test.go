//go:build unix

package main

import (
	"errors"
	"io/fs"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// refused reports whether err is a refusal, with one of codes where some are given.
func refused(err error, codes ...ctrl.Code) bool {
	var e *ctrl.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, code := range codes {
		if e.Code == code {
			return true
		}
	}
	return len(codes) == 0
}

// TestFullDiskRefusesChanges limits the size of files, as a full disk would,
// and wants changes refused whole while everything else goes on.
func TestFullDiskRefusesChanges(t *testing.T) {
	root := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(root); err != nil {
		t.Fatal(err)
	}
	cmd := xmaild(t.TempDir(), "-Ms", root, "-CI", "127.0.0.1", "-Cp", "0", "-W-", "--pid-dir", "", "-SI", "127.0.0.1", "-Sp", "0", "-PI", "127.0.0.1", "-Pp", "0")
	// In blocks of 512 bytes by POSIX; bash has blocks of 1024.
	cmd.Args = append([]string{"sh", "-c", `ulimit -f 64; exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	d, err := startDaemon(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.kill(); err != nil {
			t.Error(err)
		}
	}()
	addr, _, err := d.serving()
	if err != nil {
		t.Fatal(err)
	}
	client, err := ctrl.Dial(t.Context(), addr, servertest.User, servertest.Password)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Do(t.Context(), "useradd", "xmailserver.test", "before", "pw", "U"); err != nil {
		t.Fatalf("useradd with room: %v", err)
	}
	big := strings.NewReader(strings.Repeat("\"a.example\"\t\"b\"\t\"xmailuser\"\n", 40000))
	err = client.Upload(t.Context(), big, "cfgfileset", "filters/big.tab")
	if !refused(err) {
		t.Errorf("upload without room: %v, want a refusal", err)
	}
	if _, err := os.Stat(filepath.Join(root, "filters", "big.tab")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of the refused upload: %v, want none", err)
	}
	again, err := ctrl.Dial(t.Context(), addr, servertest.User, servertest.Password)
	if err != nil {
		t.Fatalf("log in after the refusal: %v", err)
	}
	defer again.Close()
	if lines, err := again.List(t.Context(), "userlist", "xmailserver.test"); err != nil || len(lines) != 2 {
		t.Errorf("userlist after the refusal: %q, %v, want two accounts", lines, err)
	}
	if _, err := again.Do(t.Context(), "useradd", "xmailserver.test", "after", "pw", "U"); err != nil {
		t.Errorf("a small change after the refusal: %v", err)
	}
	m, err := d.logged(mailServing)
	if err != nil {
		t.Fatal(err)
	}
	send := func(number, size int) error {
		client, err := smtp.Dial(m[1])
		if err != nil {
			return err
		}
		defer client.Close()
		return sendTo(client, number, []string{"xmailuser@" + mailDomain}, size)
	}
	var reply *textproto.Error
	if err := send(1, 200000); !errors.As(err, &reply) || reply.Code != 451 && reply.Code != 452 {
		t.Errorf("a large message without room: %v, want 451 or 452", err)
	}
	if err := send(2, 1000); err != nil {
		t.Errorf("a small message after it: %v", err)
	}
	f := &findings{}
	waitForQueue(rootFiles(root), f)
	if there := mailbox(rootFiles(root), "xmailuser@"+mailDomain, f, nil); len(there) != 1 || there[2] != 1 {
		t.Errorf("the mailbox has %v, want message 2 alone", there)
	}
	report(t, f.all)
}

// TestReadOnlyMailRootIsRefused wants one clear line where nothing can be written.
func TestReadOnlyMailRootIsRefused(t *testing.T) {
	root := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(root); err != nil {
		t.Fatal(err)
	}
	cmd := xmaild(t.TempDir(), "-Ms", root, "-CI", "127.0.0.1", "-Cp", "0", "-W-", "--pid-dir", "")
	if os.Getuid() == 0 {
		// Modes do not bind root: the server runs as someone else, who may read.
		if err := os.Chmod(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		for dir := root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(cmd.Dir, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	} else {
		if err := os.Chmod(root, 0o500); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Chmod(root, 0o700); err != nil {
				t.Error(err)
			}
		})
	}
	d, err := startDaemon(cmd)
	if err != nil {
		t.Fatal(err)
	}
	status, err := d.wait()
	if err != nil {
		t.Fatal(errors.Join(err, d.kill()))
	}
	lines := strings.Split(strings.TrimSpace(d.log()), "\n")
	last := lines[len(lines)-1]
	if status != exitFailed || !strings.HasPrefix(last, "xmaild: ") || !strings.Contains(last, "permission denied") {
		t.Errorf("status %d and %q, want %d and the reason", status, last, exitFailed)
	}
}

// TestLostRightsRefuseUntilTheyAreBack takes the right to write from a server at work.
func TestLostRightsRefuseUntilTheyAreBack(t *testing.T) {
	root := filepath.Join(programtest.Dir(t), "MailRoot")
	if err := servertest.NewMailRoot(root); err != nil {
		t.Fatal(err)
	}
	cmd := xmaild(t.TempDir(), "-Ms", root, "-CI", "127.0.0.1", "-Cp", "0", "-W-", "--pid-dir", "",
		"-SI", "127.0.0.1", "-Sp", "0", "-PI", "127.0.0.1", "-Pp", "0", "-Qt", "1", "-Qi", "0")
	if os.Getuid() == 0 {
		// Modes do not bind root: the server runs as someone else.
		err := filepath.WalkDir(root, func(name string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(name, somebodyElse, somebodyElse))
		})
		if err := errors.Join(err, os.Chmod(bin, 0o755), os.Chmod(cmd.Dir, 0o777), os.Chmod(filepath.Dir(cmd.Dir), 0o755)); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: somebodyElse, Gid: somebodyElse}
	}
	d, err := startDaemon(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.kill(); err != nil {
			t.Error(err)
		}
	})
	addr, _, err := d.serving()
	if err != nil {
		t.Fatal(err)
	}
	m, err := d.logged(mailServing)
	if err != nil {
		t.Fatal(err)
	}
	client, err := ctrl.Dial(t.Context(), addr, servertest.User, servertest.Password)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	add := func(name string) error {
		_, err := client.Do(t.Context(), "useradd", mailDomain, name, "pw", "U")
		return err
	}
	send := func(number int) error {
		client, err := smtp.Dial(m[1])
		if err != nil {
			return err
		}
		defer client.Close()
		return sendTo(client, number, []string{"xmailuser@" + mailDomain}, longMessage)
	}
	if err := errors.Join(add("before"), send(1)); err != nil {
		t.Fatal(err)
	}
	f := &findings{}
	waitForQueue(rootFiles(root), f)
	lock := func(mode os.FileMode, names ...string) {
		t.Helper()
		for _, name := range names {
			if err := os.Chmod(filepath.Join(root, filepath.FromSlash(name)), mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	tables := []string{".", "domains/" + mailDomain, "tmp"}
	lock(0o500, tables...)
	if err := add("refused"); !refused(err) {
		t.Errorf("useradd without the right to write: %v, want a refusal", err)
	}
	lock(0o700, tables...)
	if err := add("refused"); err != nil {
		t.Errorf("useradd with the right again: %v", err)
	}
	lock(0o500, "spool/live")
	var reply *textproto.Error
	if err := send(2); !errors.As(err, &reply) || reply.Code != 451 {
		t.Errorf("mail without the right to write into the queue: %v, want 451", err)
	}
	lock(0o700, "spool/live")
	box := "domains/" + mailDomain + "/xmailuser/Maildir/"
	lock(0o500, box+"tmp", box+"new")
	if err := send(3); err != nil {
		t.Errorf("mail with the right again: %v", err)
	}
	if _, err := d.logged(regexp.MustCompile(`deliver.*permission denied`)); err != nil {
		t.Error(err)
	}
	lock(0o700, box+"tmp", box+"new")
	waitForQueue(rootFiles(root), f)
	if there := mailbox(rootFiles(root), "xmailuser@"+mailDomain, f, nil); len(there) != 2 || there[1] != 1 || there[3] != 1 {
		t.Errorf("the mailbox has %v, want messages 1 and 3 once", there)
	}
	report(t, f.all)
}
