package admin

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
	"github.com/xmaild/xmaild/pkg/tabfile/crashfs"
)

// A crashFS is a [crashfs.FS] as a MailRoot wants it.
type crashFS struct{ *crashfs.FS }

func (c crashFS) Open(name string) (tabfile.File, error) { return c.FS.Open(name) }
func (c crashFS) Create(name, like string, perm fs.FileMode) (tabfile.File, error) {
	return c.FS.Create(name, like, perm)
}

const crashRoot = "/mail"

// newDisk is a disk in memory with the MailRoot of the recorded exchanges, and a message
// in the mailbox of its account, all of it synced.
func newDisk(t *testing.T) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	disk := crashfs.New(mem, crashfs.Config{})
	dirs := map[string]bool{"/": true, crashRoot: true}
	mkdir := func(name string) error {
		for dir := name; dir != "/"; dir = path.Dir(dir) {
			dirs[dir] = true
		}
		return mem.MkdirAll(name, 0o700)
	}
	put := func(name string, content []byte) error {
		name = path.Join(crashRoot, name)
		if err := mkdir(path.Dir(name)); err != nil {
			return err
		}
		f, err := disk.Create(name, "", 0)
		if err != nil {
			return err
		}
		_, err = f.Write(content)
		return errors.Join(err, f.Sync(), f.Close())
	}
	from := os.DirFS("../../../testdata/conformance/mailroot")
	err := fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(from, name)
		return errors.Join(err, put(name, content))
	})
	for _, dir := range emptyDirs() {
		err = errors.Join(err, mkdir(path.Join(crashRoot, dir)))
	}
	const box = "domains/xmailserver.test/xmailuser/Maildir/"
	err = errors.Join(err, put(box+"new/m1", []byte("Subject: x\r\n\r\nx\r\n")), put(box+"cur/m2:2,S", []byte("Subject: y\r\n\r\ny\r\n")))
	err = errors.Join(err, disk.Sync(slices.Collect(maps.Keys(dirs))))
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

// crashSteps is a life of some accounts. Nil stands for a checkpoint.
func crashSteps() []step {
	const old = "xmailserver.test"
	passwd := func(domain, name, password string) step {
		return func(ctx context.Context, s *Service) error { return s.UserPasswd(ctx, domain, name, password) }
	}
	rename := func(domain, name, to string) step {
		return func(ctx context.Context, s *Service) error { return s.UserRename(ctx, domain, name, to, true) }
	}
	batch := func(steps ...step) step {
		return func(ctx context.Context, s *Service) error {
			_, err := s.Batch(ctx, len(steps), func(s *Service, i int) error { return steps[i](ctx, s) })
			return err
		}
	}
	list := func(domain, name string) step {
		return func(ctx context.Context, s *Service) error { return s.UserAdd(ctx, domain, name, "pw", "M") }
	}
	member := func(domain, name, address string) step {
		return func(ctx context.Context, s *Service) error { return s.MemberAdd(ctx, domain, name, address, "RW") }
	}
	mailproc := func(domain, name, text string) step {
		return func(ctx context.Context, s *Service) error {
			return s.SetMailProc(ctx, domain, name, "U", []byte(text))
		}
	}
	return []step{
		addDomain("a.test"), addUser("a.test", "ann"), setVar("a.test", "ann", "RealName", "Ann"), passwd("a.test", "ann", "other"),
		addAlias("a.test", "info", "ann"), mailproc("a.test", "ann", "\"mailbox\"\n"),
		nil,
		setVar(old, "xmailuser", "RealName", "X"), rename(old, "xmailuser", "xman"), setVar(old, "xman", "RealName", "Y"),
		addUser(old, "second"), delUser("a.test", "ann"), addUser("a.test", "ann"),
		list("a.test", "all"), member("a.test", "all", "ann@a.test"), member("a.test", "all", "x@ext.test"),
		batch(addDomain("b.test"), addUser("b.test", "ben"), addUser("b.test", "bea"), addAlias("b.test", "sales", "ben"), setVar("b.test", "ben", "RealName", "Ben")),
		nil,
		batch(delUser("b.test", "bea"), passwd("b.test", "ben", "new")),
		delUser(old, "xman"), delDomain("a.test"), delDomain("b.test"), addUser(old, "third"),
	}
}

// openDisk opens the MailRoot of a disk.
func openDisk(c crashFS) (*mailroot.Root, error) {
	return mailroot.Open(context.Background(), crashRoot, mailroot.Options{FS: c, Log: slog.New(slog.DiscardHandler)})
}

// runSteps runs steps until the disk dies, and returns how many were acknowledged.
func runSteps(t *testing.T, c crashFS, steps []step) int {
	t.Helper()
	root, err := openDisk(c)
	if err != nil {
		if !c.Dead() {
			t.Fatal(err)
		}
		return 0
	}
	s := New(root, Options{Log: slog.New(slog.DiscardHandler)})
	done := 0
	for _, step := range steps {
		if step == nil {
			err = root.Store.Sync(context.Background())
		} else {
			err = step(context.Background(), s)
		}
		if err != nil {
			if !c.Dead() {
				t.Fatalf("step %d: %v", done, err)
			}
			break
		}
		done++
	}
	if err := root.Close(); err != nil && !c.Dead() {
		t.Fatal(err)
	}
	return done
}

// tree is what a MailRoot holds, without what its owner keeps for itself.
func tree(t *testing.T, mem *vfs.MemFS) map[string]string {
	t.Helper()
	all := map[string]string{}
	var walk func(name string)
	walk = func(name string) {
		full := path.Join(crashRoot, name)
		info, err := mem.Stat(full)
		if err != nil {
			t.Fatal(err)
		}
		if !info.IsDir() {
			f, err := mem.Open(full)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(f)
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			all[name] = string(text)
			return
		}
		all[name+"/"] = ""
		names, err := mem.List(full)
		if err != nil {
			t.Fatal(err)
		}
		for _, child := range names {
			// A file that was being prepared beside one of an account is written over later.
			if leftover := name != "" && strings.HasPrefix(child, ".") && strings.HasSuffix(child, ".new"); !leftover && (name != "" || child != "tmp") {
				walk(path.Join(name, child))
			}
		}
	}
	walk("")
	return all
}

// TestPowerCutsAtEveryStepOfCommands compares whole MailRoots: with what each command
// leaves on a disk that works.
func TestPowerCutsAtEveryStepOfCommands(t *testing.T) {
	steps := crashSteps()
	after := make([]map[string]string, len(steps)+1) // so many steps
	for n := range after {
		mem := newDisk(t)
		if done := runSteps(t, crashFS{crashfs.New(mem, crashfs.Config{})}, steps[:n]); done != n {
			t.Fatalf("%d of %d steps were done", done, n)
		}
		after[n] = tree(t, mem)
	}
	for _, unsynced := range []int{0, 50, 100} {
		for dieAt := 1; ; dieAt++ {
			c := crashFS{crashfs.New(newDisk(t), crashfs.Config{DieAt: dieAt, Unsynced: unsynced, Seed: uint64(dieAt)})}
			done := runSteps(t, c, steps)
			died := c.Dead()
			disk := c.Crash()
			root, err := openDisk(crashFS{crashfs.New(disk, crashfs.Config{})})
			if err == nil {
				err = root.Close()
			}
			if err != nil {
				t.Fatalf("after a power cut at step %d: %v", dieAt, err)
			}
			got := tree(t, disk)
			if !maps.Equal(got, after[done]) && !maps.Equal(got, after[min(done+1, len(steps))]) {
				t.Fatalf("power cut at step %d of the disk, %d%% of the rest written: after %d commands the MailRoot differs from what was acknowledged by\n%s\nand from what was under way by\n%s",
					dieAt, unsynced, done, cmp.Diff(after[done], got), cmp.Diff(after[min(done+1, len(steps))], got))
			}
			if !died {
				t.Logf("%d steps of the disk", dieAt)
				break
			}
		}
	}
}

// TestPowerCutTestNoticesAMissingSync makes sure that the test above can fail.
func TestPowerCutTestNoticesAMissingSync(t *testing.T) {
	steps := crashSteps()
	c := crashFS{crashfs.New(newDisk(t), crashfs.Config{Forgetful: true})}
	if done := runSteps(t, c, steps); done != len(steps) {
		t.Fatalf("%d of %d steps were done", done, len(steps))
	}
	names := strings.Join(slices.Sorted(maps.Keys(tree(t, c.Crash()))), "\n")
	if strings.Contains(names, "domains/xmailserver.test/third/") {
		t.Errorf("what was never synced is there:\n%s", names)
	}
}
