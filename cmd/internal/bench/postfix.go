package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A postfix is a Postfix of the run's own, with its configuration, queue and mailboxes in
// a folder. It takes mail for one user, and delivers into a Maildir.
type postfix struct {
	config  string
	queue   string
	addr    string
	mailbox *mailbox
}

// The reasons for which Postfix is left out.
var (
	errNoPostfix = errors.New("no Postfix with its smtp-source is installed")
	errNotRoot   = errors.New("only root can start Postfix")
	errHidden    = errors.New("the folder of the run cannot be entered by the user of Postfix")
)

// skips reports why a figure has no value where err is a reason to leave it out.
func skips(err error) (why string, ok bool) {
	for _, reason := range []error{errNoPostfix, errNotRoot, errHidden} {
		if errors.Is(err, reason) {
			return reason.Error(), true
		}
	}
	return "", false
}

// The configuration leaves nothing out that makes mail safe, and has no limit in it that
// the load would meet: fsync is at its default, no names are looked up, sessions and
// deliveries at once are as many as there are clients, and nothing slows clients down.
const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.example.test
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = %[2]s
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = static:user/Maildir/
virtual_uid_maps = static:%[3]s
virtual_gid_maps = static:%[4]s
virtual_mailbox_limit = 0
message_size_limit = 0
default_destination_concurrency_limit = 100
initial_destination_concurrency = 20
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
`

// postfixMaster names the programs, none of them in a chroot.
const postfixMaster = `127.0.0.1:%d inet n - n - 100 smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
proxymap unix - - n - - proxymap
virtual unix - n n - 100 virtual
anvil unix - - n - 1 anvil
`

// postfix starts Postfix. It is stopped after the run.
func (e *env) postfix(ctx context.Context) (*postfix, error) {
	for _, name := range []string{"postfix", "smtp-source"} {
		if _, err := exec.LookPath(name); err != nil {
			return nil, errNoPostfix
		}
	}
	owner, err := user.Lookup("postfix")
	if err != nil {
		return nil, errNoPostfix
	}
	recipient, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	if os.Getuid() != 0 {
		return nil, errNotRoot
	}
	dir, err := e.openFolder()
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p := &postfix{
		config: filepath.Join(dir, "config"), queue: filepath.Join(dir, "queue"), addr: "127.0.0.1:" + strconv.Itoa(port),
		mailbox: &mailbox{dir: filepath.Join(dir, "mail", "user", "Maildir", "new")},
	}
	for _, f := range []struct {
		name  string
		owner *user.User
	}{{"config", nil}, {"queue", nil}, {"data", owner}, {"mail", recipient}} {
		name := filepath.Join(dir, f.name)
		if err := os.Mkdir(name, 0o755); err != nil {
			return nil, err
		}
		if err := os.Chmod(name, 0o755); err != nil {
			return nil, err
		}
		if f.owner == nil {
			continue
		}
		uid, uidErr := strconv.Atoi(f.owner.Uid)
		gid, gidErr := strconv.Atoi(f.owner.Gid)
		if err := errors.Join(uidErr, gidErr, os.Chown(name, uid, gid)); err != nil {
			return nil, err
		}
	}
	for name, content := range map[string]string{
		"main.cf":   fmt.Sprintf(postfixMain, dir, domain, recipient.Uid, recipient.Gid),
		"master.cf": fmt.Sprintf(postfixMaster, port),
	} {
		if err := os.WriteFile(filepath.Join(p.config, name), []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	e.cleanup(p.stop)
	if err := p.run(ctx, "start"); err != nil {
		return nil, err
	}
	return p, p.answers(ctx)
}

// openFolder makes a folder that every user may enter. The folders above that of the run
// may be closed, as those of tests are; then it is one beside them on the same disk.
func (e *env) openFolder() (string, error) {
	dir, err := e.mkdir("postfix")
	if err != nil {
		return "", err
	}
	if err := errors.Join(os.Chmod(e.dir, 0o711), os.Chmod(dir, 0o711)); err != nil {
		return "", err
	}
	if isOpen(filepath.Dir(e.dir)) {
		return dir, nil
	}
	here, err := machineOf(e.dir)
	if err != nil {
		return "", err
	}
	there, err := machineOf(os.TempDir())
	if err != nil {
		return "", err
	}
	if !isOpen(os.TempDir()) || here != there {
		return "", errHidden
	}
	if dir, err = os.MkdirTemp("", "xmaild-bench-postfix-*"); err != nil {
		return "", err
	}
	e.cleanup(func() error { return os.RemoveAll(dir) })
	return dir, os.Chmod(dir, 0o711)
}

// isOpen reports whether every user may enter a folder and those above it.
func isOpen(dir string) bool {
	dir, err := filepath.Abs(dir)
	for err == nil {
		var info os.FileInfo
		if info, err = os.Stat(dir); err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
	return false
}

// freePort is a port of the loopback that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// run runs a command of postfix.
func (p *postfix) run(ctx context.Context, command string) error {
	c := exec.CommandContext(ctx, "postfix", "-c", p.config, command)
	// What it starts in the background must not keep this from ending.
	c.WaitDelay = time.Second
	out, err := c.CombinedOutput()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("postfix %s: %w\n%s", command, err, out)
	}
	return nil
}

// answers waits until Postfix takes mail.
func (p *postfix) answers(ctx context.Context) error {
	latest := time.Now().Add(patience)
	for {
		c, err := net.DialTimeout("tcp", p.addr, time.Second)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(latest) {
			return fmt.Errorf("no answer from Postfix: %w", err)
		}
		if err := pause(ctx, seldom); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := dialSMTP(ctx, p.addr)
	if err != nil {
		return fmt.Errorf("session with Postfix: %w", err)
	}
	s.close()
	return nil
}

// stop stops Postfix, and waits until it is gone.
func (p *postfix) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pid, err := p.pid()
	if err != nil {
		return nil // it has not started
	}
	if err := p.run(ctx, "stop"); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil {
			return nil
		}
		if err := pause(ctx, seldom); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// pid is that of the process that has started the others.
func (p *postfix) pid() (int, error) {
	text, err := os.ReadFile(filepath.Join(p.queue, "pid", "master.pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// cpu is the processor time that all of Postfix has used: that of the processes that
// run, and of those that have ended.
func (p *postfix) cpu() (time.Duration, error) {
	pid, err := p.pid()
	if err != nil {
		return 0, err
	}
	return familyCPU(pid)
}
