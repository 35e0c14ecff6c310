//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/xmaild/xmaild/pkg/server"
	"github.com/xmaild/xmaild/pkg/server/check"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/spool"
	"github.com/xmaild/xmaild/pkg/tabfile"
	"github.com/xmaild/xmaild/pkg/tabfile/crashfs"
)

// A process is a server in a process of its own, on the disk of this machine.
type process struct {
	root, drop string
	daemon     *daemon
}

func newProcess(root, drop string) *process { return &process{root: root, drop: drop} }

var mailServing = regexp.MustCompile(`msg=serving .*\bsmtp=(\S+) .*\bpop3=(\S+) `)

func (p *process) start(t *testing.T) life {
	t.Helper()
	program := "xmaild"
	if raced {
		program = racedName
	}
	d, ctrl := startAs(t, program, p.root, "-SI", "127.0.0.1", "-Sp", "0", "-PI", "127.0.0.1", "-Pp", "0", "--drop", p.drop)
	m, err := d.logged(mailServing)
	if err != nil {
		t.Fatal(err)
	}
	p.daemon = d
	// A process that is killed says nothing more: what it said before counts.
	return life{ctrl: ctrl, smtp: m[1], pop3: m[2], disk: p.disk(), gone: func() bool { return false }}
}

func (p *process) disk() files { return rootFiles(p.root) }

func (p *process) die(t *testing.T, within time.Duration, random *rand.Rand, f *findings) {
	t.Helper()
	<-time.After(time.Duration(random.Int64N(int64(within))))
	if err := p.daemon.kill(); err != nil {
		t.Fatal(err)
	}
	p.wantNoRace(f)
	wholeTables(p.disk(), f)
}

// wantNoRace looks for what the race detector says, where the program has it.
func (p *process) wantNoRace(f *findings) {
	if log := p.daemon.log(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") {
		f.add("the server says\n%s", log)
	}
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.daemon.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status, err := p.daemon.wait(); err != nil || status != 0 {
		t.Errorf("stop: status %d, %v; log:\n%s", status, err, p.daemon.log())
	}
}

// rootFiles are the files of a MailRoot on this machine's disk.
type rootFiles string

func (r rootFiles) ReadFile(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(r), filepath.FromSlash(name)))
}

func (r rootFiles) ReadDir(name string) ([]string, error) {
	f, err := os.Open(filepath.Join(string(r), filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

// wholeTables reads the tables as anyone may at any time, without the help of the
// server, and wants each row readable.
func wholeTables(disk files, f *findings) {
	for name, schema := range mailroot.Schemas() {
		content, err := disk.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			f.add("%v", err)
		}
		for line := range strings.Lines(string(content)) {
			line = tabfile.TrimEnd(line)
			if line == "" || tabfile.IsComment(line) {
				continue
			}
			fields := tabfile.Split(line)
			if len(fields) < schema.Columns || schema.Check != nil && schema.Check(fields) != nil {
				f.add("%s has the broken row %q after a kill", name, line)
			}
		}
	}
}

// wantSound wants nothing for "xmaild check" to find but risks.
func wantSound(t *testing.T, root string) {
	t.Helper()
	found, err := check.MailRoot(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range found {
		if !problem.Risk {
			t.Errorf("in the end: %v", problem)
		}
	}
}

// A memory is a server in the test's process, whose disk for tables, queue and mailboxes
// is in memory and forgets at a power cut what was not synced.
type memory struct {
	root      string
	drop      string // a folder on the disk of this machine
	forgetful bool   // it forgets also what was synced
	random    *rand.Rand
	mem       *vfs.MemFS
	fs        crashFS
	server    *server.Server
}

// A crashFS is a [crashfs.FS] as a server wants it.
type crashFS struct{ *crashfs.FS }

func (c crashFS) Open(name string) (tabfile.File, error) { return c.FS.Open(name) }
func (c crashFS) Modify(name string) (spool.File, error) { return c.FS.Modify(name) }
func (c crashFS) Create(name, like string, perm fs.FileMode) (tabfile.File, error) {
	return c.FS.Create(name, like, perm)
}

// newMemory copies a MailRoot into memory. Logs and what else no promise is about stay
// on the disk of this machine.
func newMemory(t *testing.T, root string, seed uint64) *memory {
	t.Helper()
	m := &memory{root: root, random: rand.New(rand.NewPCG(seed, 99)), mem: vfs.NewCrashableMem()}
	if err := m.mem.MkdirAll(root, 0o700); err != nil {
		t.Fatal(err)
	}
	sync := crashfs.New(m.mem, crashfs.Config{})
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if err := m.mem.MkdirAll(name, 0o700); err != nil {
				return err
			}
			// Its parents have it now as well.
			var names []string
			for dir := name; ; dir = path.Dir(dir) {
				names = append(names, dir)
				if dir == "/" {
					return sync.Sync(names)
				}
			}
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f, err := sync.Create(name, "", 0)
		if err != nil {
			return err
		}
		_, err = f.Write(content)
		return errors.Join(err, f.Sync(), f.Close(), sync.Sync([]string{path.Dir(name)}))
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// start starts the server. Now and then the power fails meanwhile, and comes back.
func (m *memory) start(t *testing.T) life {
	t.Helper()
	for {
		config := crashfs.Config{Unsynced: m.random.IntN(3) * 50, Seed: m.random.Uint64(), Forgetful: m.forgetful}
		if m.random.IntN(4) == 0 {
			config.DieAt = 1 + m.random.IntN(40)
		}
		m.fs = crashFS{crashfs.New(m.mem, config)}
		if err := m.serve(t); err == nil {
			m.fs.DieIn(1 << 40)
			if !m.fs.Dead() {
				break
			}
		} else if !m.fs.Dead() {
			m.powerOff()
			return life{failed: fmt.Errorf("start after a power cut: %w", err)}
		}
		m.powerOff()
	}
	return life{
		ctrl: one(m.server.CtrlAddrs()), smtp: one(m.server.SMTPAddrs()), pop3: one(m.server.POP3Addrs()),
		disk: m.disk(), gone: m.fs.Dead,
	}
}

func one(all []netip.AddrPort) string { return all[0].String() }

func (m *memory) serve(t *testing.T) error {
	t.Helper()
	here := server.Endpoint{Addrs: []string{"127.0.0.1:0"}}
	off := server.Endpoint{Off: true}
	s, err := server.New(server.Config{
		Root: m.root, FS: m.fs, Log: slog.New(slog.DiscardHandler), Version: "test",
		Ctrl: here, SMTP: here, POP3: here, Ctrls: off, SMTPS: off, POP3S: off, Finger: off, LinksOff: true, Drop: m.drop,
	})
	if err == nil {
		m.server = s
		err = s.Start(t.Context())
	}
	return err
}

func (m *memory) die(t *testing.T, within time.Duration, random *rand.Rand, _ *findings) {
	t.Helper()
	// Small numbers are as likely as large ones.
	m.fs.DieIn(1 + random.IntN(16<<random.IntN(12)))
	over := time.After(within)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for alive := true; alive && !m.fs.Dead(); {
		select {
		case <-over:
			alive = false
		case <-tick.C:
		}
	}
	m.powerOff()
}

// powerOff ends the server and keeps what a disk would hold.
func (m *memory) powerOff() {
	m.mem = m.fs.Crash()
	if m.server == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.server.Shutdown(ctx) // on a dead disk it cannot succeed
	m.server = nil
}

func (m *memory) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := m.server.Shutdown(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
	m.server = nil
}

func (m *memory) disk() files { return memFiles{m.mem, m.root} }

// memFiles are the files of a MailRoot in memory.
type memFiles struct {
	mem  *vfs.MemFS
	root string
}

func (m memFiles) ReadFile(name string) ([]byte, error) {
	f, err := m.mem.Open(path.Join(m.root, name))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(f)
	return text, errors.Join(err, f.Close())
}

func (m memFiles) ReadDir(name string) ([]string, error) { return m.mem.List(path.Join(m.root, name)) }
