package tabfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/google/go-cmp/cmp"
	"github.com/xmaild/xmaild/pkg/tabfile/crashfs"
)

// The tests here let the power fail at every single step of a workload, and
// look at what comes back: all that was acknowledged, and of the transaction
// that was under way all or nothing.

const crashRoot = "/mail"

// A world is all that the workload's transactions change.
type world struct {
	users []string          // rows of users.tab
	relay []string          // rows of relay.tab
	trees map[string]string // user -> rows of user.tab
	file  string            // content of a file that is no table; "" when there is none
}

func (w world) clone() world {
	return world{slices.Clone(w.users), slices.Clone(w.relay), maps.Clone(w.trees), w.file}
}

func (w world) String() string {
	var b strings.Builder
	for _, row := range w.users {
		fmt.Fprintf(&b, "user %s\n", row)
	}
	fmt.Fprintf(&b, "relay %s\nfile %q\n", w.relay, w.file)
	for _, user := range slices.Sorted(maps.Keys(w.trees)) {
		fmt.Fprintf(&b, "tree %s %q\n", user, w.trees[user])
	}
	return b.String()
}

// A workStep is one transaction of the workload, on the store and on the model;
// without f it is a checkpoint.
type workStep struct {
	f     func(*Tx) error
	model func(*world)
}

func row(fields ...string) string { return Join(fields[:2]...) + "\t" + fields[2] }

func userPath(user string) string { return "domains/" + user }

func stepAdd(user string, id int) workStep {
	return workStep{
		f: func(tx *Tx) error {
			err := tx.MakeTree(userPath(user), []string{"Maildir", "Maildir/new"},
				map[string][]byte{"user.tab": []byte("\"Name\"\t\"" + user + "\"\n")})
			if err != nil {
				return err
			}
			return tx.Table("users.tab").Append("a.org", user, fmt.Sprint(id))
		},
		model: func(w *world) {
			w.users = append(w.users, row("a.org", user, fmt.Sprint(id)))
			w.trees[user] = Join("Name", user) + "\n"
		},
	}
}

func stepDelete(user string) workStep {
	return workStep{
		f: func(tx *Tx) error {
			users := tx.Table("users.tab")
			r, ok := users.First("user", "a.org\t"+user)
			if !ok {
				return fmt.Errorf("no user %s", user)
			}
			if err := tx.RemoveTree(userPath(user)); err != nil {
				return err
			}
			return users.Delete(r)
		},
		model: func(w *world) {
			w.users = slices.DeleteFunc(w.users, func(r string) bool { return strings.Contains(r, `"`+user+`"`) })
			delete(w.trees, user)
		},
	}
}

func stepRenumber(user string, id int) workStep {
	return workStep{
		f: func(tx *Tx) error {
			users := tx.Table("users.tab")
			r, ok := users.First("user", "a.org\t"+user)
			if !ok {
				return fmt.Errorf("no user %s", user)
			}
			return users.Replace(r, "a.org", user, fmt.Sprint(id))
		},
		model: func(w *world) {
			for i := range w.users {
				if strings.Contains(w.users[i], `"`+user+`"`) {
					w.users[i] = row("a.org", user, fmt.Sprint(id))
				}
			}
		},
	}
}

func stepVariable(user, name string) workStep {
	return workStep{
		f: func(tx *Tx) error {
			vars, err := tx.File(userPath(user)+"/user.tab", plainSchema)
			if err != nil {
				return err
			}
			return vars.Append(name)
		},
		model: func(w *world) { w.trees[user] += Join(name) + "\n" },
	}
}

// stepRename gives a user another name, with rows in the folder changed before
// and after it moves.
func stepRename(from, to string, id int) workStep {
	return workStep{
		f: func(tx *Tx) error {
			if err := stepVariable(from, "before").f(tx); err != nil {
				return err
			}
			if err := tx.MoveTree(userPath(from), userPath(to)); err != nil {
				return err
			}
			users := tx.Table("users.tab")
			r, ok := users.First("user", "a.org\t"+from)
			if !ok {
				return fmt.Errorf("no user %s", from)
			}
			if err := users.Replace(r, "a.org", to, fmt.Sprint(id)); err != nil {
				return err
			}
			return stepVariable(to, "after").f(tx)
		},
		model: func(w *world) {
			stepVariable(from, "before").model(w)
			w.trees[to] = w.trees[from]
			delete(w.trees, from)
			for i := range w.users {
				if strings.Contains(w.users[i], `"`+from+`"`) {
					w.users[i] = row("a.org", to, fmt.Sprint(id))
				}
			}
			stepVariable(to, "after").model(w)
		},
	}
}

// stepAll is several steps in one transaction.
func stepAll(steps ...workStep) workStep {
	return workStep{
		f: func(tx *Tx) error {
			for _, step := range steps {
				if err := step.f(tx); err != nil {
					return err
				}
			}
			return nil
		},
		model: func(w *world) {
			for _, step := range steps {
				step.model(w)
			}
		},
	}
}

// stepMany is several changes that build on each other, with one that is taken
// back in between.
func stepMany(user string, id int) workStep {
	return workStep{
		f: func(tx *Tx) error {
			if err := stepAdd(user, id).f(tx); err != nil {
				return err
			}
			_ = tx.Attempt(func() error {
				_ = stepAdd("nobody", id+1).f(tx) // what it did is taken back
				return crashfs.ErrDead
			})
			if err := stepVariable(user, "own").f(tx); err != nil {
				return err
			}
			return stepRelay(user).f(tx)
		},
		model: func(w *world) {
			stepAdd(user, id).model(w)
			stepVariable(user, "own").model(w)
			stepRelay(user).model(w)
		},
	}
}

func stepRelay(address string) workStep {
	return workStep{
		f:     func(tx *Tx) error { return tx.Table("relay.tab").Append(address) },
		model: func(w *world) { w.relay = append(w.relay, Join(address)) },
	}
}

// stepAbove puts a row above another: in the small table and in the one that may
// be large.
func stepAbove(below, address string, oldUser, user string, id int) workStep {
	return workStep{
		f: func(tx *Tx) error {
			relay, users := tx.Table("relay.tab"), tx.Table("users.tab")
			for r := range relay.Rows() {
				if r.Field(0) == below {
					if err := relay.InsertBefore(r, address); err != nil {
						return err
					}
					break
				}
			}
			r, ok := users.First("user", "a.org\t"+oldUser)
			if !ok {
				return fmt.Errorf("no user %s", oldUser)
			}
			return users.InsertBefore(r, "b.org", user, fmt.Sprint(id))
		},
		model: func(w *world) {
			at := slices.Index(w.relay, Join(below))
			w.relay = slices.Insert(w.relay, at, Join(address))
			at = slices.IndexFunc(w.users, func(r string) bool { return strings.Contains(r, `"a.org"	"`+oldUser+`"`) })
			w.users = slices.Insert(w.users, at, row("b.org", user, fmt.Sprint(id)))
		},
	}
}

func stepUploadRelay(address string) workStep {
	return workStep{
		f:     func(tx *Tx) error { return tx.WriteFile("relay.tab", []byte(Join(address)+"\n")) },
		model: func(w *world) { w.relay = []string{Join(address)} },
	}
}

func stepFile(content string) workStep {
	return workStep{
		f: func(tx *Tx) error {
			if content == "" {
				return tx.RemoveFile("mailproc")
			}
			return tx.WriteFile("mailproc", []byte(content))
		},
		model: func(w *world) { w.file = content },
	}
}

var stepCheckpoint = workStep{}

// workload is a life of a small server.
func workload() []workStep {
	return []workStep{
		stepAdd("ann", 1), stepAdd("bob", 2), stepRelay("10.0.0.1"), stepFile("one"),
		stepVariable("ann", "x"), stepRenumber("ann", 7), stepVariable("ann", "y"),
		stepCheckpoint,
		stepDelete("bob"), stepAdd("bob", 8), stepFile("two"), stepRelay("10.0.0.2"),
		stepAbove("10.0.0.1", "10.0.0.0", "ann", "above", 20), stepAbove("10.0.0.2", "10.0.0.1", "old1", "between", 21),
		stepUploadRelay("10.1.1.1"), stepRelay("10.1.1.2"), stepDelete("ann"), stepFile(""),
		stepCheckpoint,
		stepAdd("eve", 9), stepVariable("eve", "z"), stepRenumber("bob", 10), stepRelay("10.1.1.3"),
		stepAbove("10.1.1.1", "10.1.1.0", "eve", "last", 22),
		stepMany("joe", 11), stepVariable("joe", "w"),
		// Folders that move: changed before and after, made in the same transaction,
		// made again at the old place, moved on, removed at the new one.
		stepCheckpoint,
		stepRename("joe", "jim", 12), stepVariable("jim", "v"), stepRename("eve", "eva", 13), stepAdd("eve", 14),
		stepDelete("eva"), stepRename("jim", "tim", 15), stepDelete("tim"), stepRename("eve", "tim", 16),
		stepAll(stepAdd("sue", 17), stepRename("sue", "zoe", 18), stepRename("zoe", "liz", 19)),
		stepAll(stepRename("bob", "rob", 20), stepDelete("rob")), stepVariable("liz", "u"),
	}
}

// manyUsers have a large table: their rows are long, and few enough for a test
// that reads them many thousand times.
const manyUsers = 500

// newDisk is a disk with what was there before, all of it synced.
func newDisk(t *testing.T, users int) (*vfs.MemFS, world) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	w := world{trees: make(map[string]string)}
	var text strings.Builder
	for i := range users {
		r := row("a.org", fmt.Sprintf("old%d", i), fmt.Sprint(100+i))
		if users == manyUsers {
			r += "\t" + strings.Repeat("x", 2*directMax/manyUsers)
		}
		w.users = append(w.users, r)
		text.WriteString(r + "\n")
	}
	if err := mem.MkdirAll(crashRoot+"/domains", 0o700); err != nil {
		t.Fatal(err)
	}
	c := newCrashFS(mem, 0, 0, 0)
	for name, content := range map[string]string{"users.tab": text.String(), "relay.tab": ""} {
		f, err := c.Create(crashRoot+"/"+name, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write([]byte(content))
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Sync([]string{"/", crashRoot, crashRoot + "/domains"}); err != nil {
		t.Fatal(err)
	}
	return mem, w
}

// live runs the workload until the power fails. It returns the world as it was
// acknowledged, and as it would be with the transaction that was under way.
func live(t *testing.T, c crashFS, w world) (acknowledged, underWay world) {
	t.Helper()
	o := testOptions(crashRoot, c)
	o.times = times{rest: quick.rest, idle: 1 << 40, longest: 1 << 40}
	s, err := Open(context.Background(), o)
	if err != nil {
		if !c.Dead() {
			t.Fatal(err)
		}
		return w, w
	}
	defer func() { _ = s.Close() }() // on a dead disk it cannot succeed
	for i, step := range workload() {
		if step.f == nil {
			if err := s.Sync(context.Background()); err != nil && !c.Dead() {
				t.Fatalf("checkpoint at %d: %v", i, err)
			}
			continue
		}
		next := w.clone()
		step.model(&next)
		if err := s.Update(context.Background(), step.f); err != nil {
			if !c.Dead() {
				t.Fatalf("transaction %d: %v", i, err)
			}
			return w, next
		}
		w = next
	}
	return w, w
}

// look reads a world from disk, without a store.
func look(t *testing.T, mem *vfs.MemFS) world {
	t.Helper()
	c := newCrashFS(mem, 0, 0, 0)
	lines := func(name string) []string {
		text, _, err := readFile(c, crashRoot+"/"+name)
		if err != nil {
			t.Fatal(err)
		}
		if text == "" {
			return nil
		}
		return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	w := world{users: lines("users.tab"), relay: lines("relay.tab"), trees: make(map[string]string)}
	names, err := c.ReadDir(crashRoot + "/domains")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := c.Stat(crashRoot + "/" + userPath(name) + "/Maildir/new"); err != nil {
			t.Errorf("%s has no mailbox: %v", name, err)
		}
		text, _, err := readFile(c, crashRoot+"/"+userPath(name)+"/user.tab")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		w.trees[name] = text
	}
	w.file, _, err = readFile(c, crashRoot+"/mailproc")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return w
}

// revive opens and closes the store on a disk and returns what is there then.
func revive(t *testing.T, mem *vfs.MemFS) world {
	t.Helper()
	s, err := Open(context.Background(), testOptions(crashRoot, newCrashFS(mem, 0, 0, 0)))
	if err != nil {
		t.Fatalf("start after a crash: %v", err)
	}
	if p := s.Problems(); len(p) > 0 {
		t.Errorf("problems after a crash: %v", p)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("stop after a crash: %v", err)
	}
	if _, err := mem.Stat(crashRoot + "/" + journalDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("journal after a clean stop: %v, want none", err)
	}
	return look(t, mem)
}

func TestPowerCutAtEveryStep(t *testing.T) {
	for _, size := range []struct {
		name  string
		users int
	}{{"small table", 3}, {"large table", manyUsers}} {
		for _, unsynced := range []int{0, 50, 100} {
			t.Run(fmt.Sprintf("%s, %d%% of unsynced data kept", size.name, unsynced), func(t *testing.T) {
				t.Parallel()
				for dieAt := 1; ; dieAt++ {
					mem, before := newDisk(t, size.users)
					c := newCrashFS(mem, dieAt, unsynced, uint64(dieAt))
					acknowledged, underWay := live(t, c, before)
					died := c.Dead()
					got := revive(t, c.Crash()).String()
					if got != acknowledged.String() && got != underWay.String() {
						t.Fatalf("after a power cut at step %d what is there differs from what was acknowledged (-) by\n%s\nand from what was under way by\n%s",
							dieAt, cmp.Diff(acknowledged.String(), got), cmp.Diff(underWay.String(), got))
					}
					if !died {
						t.Logf("%d steps", dieAt)
						break
					}
				}
			})
		}
	}
}

func TestPowerCutDuringRecovery(t *testing.T) {
	for _, users := range []int{3, manyUsers} {
		for dieAt := 20; dieAt < 320; dieAt += 23 {
			for again := 1; ; again++ {
				mem, before := newDisk(t, users)
				c := newCrashFS(mem, dieAt, 50, uint64(dieAt))
				acknowledged, underWay := live(t, c, before)
				second := newCrashFS(c.Crash(), again, 50, uint64(again))
				s, err := Open(context.Background(), testOptions(crashRoot, second))
				if err == nil {
					_ = s.Close() // on a dead disk it cannot succeed
				}
				died := second.Dead()
				got := revive(t, second.Crash()).String()
				if got != acknowledged.String() && got != underWay.String() {
					t.Fatalf("after power cuts at step %d and at step %d of the recovery what is there differs from what was acknowledged (-) by\n%s\nand from what was under way by\n%s",
						dieAt, again, cmp.Diff(acknowledged.String(), got), cmp.Diff(underWay.String(), got))
				}
				if !died {
					break
				}
				if users > 3 {
					again += 4 // a large disk takes long to copy
				}
			}
		}
	}
}

// TestPowerCutTestNoticesAMissingSync makes sure that the tests above can fail.
func TestPowerCutTestNoticesAMissingSync(t *testing.T) {
	mem, before := newDisk(t, 3)
	c := crashFS{crashfs.New(mem, crashfs.Config{Seed: 1, Forgetful: true})}
	acknowledged, _ := live(t, c, before)
	clone := mem.CrashClone(vfs.CrashCloneCfg{})
	if got := revive(t, clone).String(); got == acknowledged.String() {
		t.Error("all changes came back from a disk that was never synced")
	}
}
