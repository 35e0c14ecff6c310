package tabfile

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTableThatComesBackTakesChanges takes the file of a table away, and puts the same one
// back.
func TestTableThatComesBackTakesChanges(t *testing.T) {
	root := t.TempDir()
	name, away := filepath.Join(root, "users.tab"), filepath.Join(root, "away")
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\nold nonsense\n")
	s := openIdle(t, root, OS())
	if err := os.Rename(name, away); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the loss of the file to be noticed", func() bool { return !s.Table("users.tab").Exists() })
	if err := os.Rename(away, name); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the file to be noticed", func() bool { return s.Table("users.tab").Exists() })
	waitProblems(t, s, "users.tab:2")
	mustUpdate(t, s, addUser("a.org", "bob", 2))
}

// TestProblemsOfAFileThatIsNotUsed takes back an edit that is not in force.
func TestProblemsOfAFileThatIsNotUsed(t *testing.T) {
	root := t.TempDir()
	name, away := filepath.Join(root, "users.tab"), filepath.Join(root, "away")
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	s := openIdle(t, root, OS())
	for range 2 { // the same edit is told of again
		if err := os.Rename(name, away); err != nil {
			t.Fatal(err)
		}
		writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\tbroken\n")
		waitProblems(t, s, "users.tab:1")
		if err := os.Rename(away, name); err != nil {
			t.Fatal(err)
		}
		waitProblems(t, s)
	}
}

// TestUploadMendsATable replaces a table with unreadable rows, one with an edit that is
// not in force, and one that is gone.
func TestUploadMendsATable(t *testing.T) {
	const good = "\"a.org\"\t\"ann\"\t1\n"
	root := t.TempDir()
	name := filepath.Join(root, "users.tab")
	writeTestFile(t, root, "users.tab", good+"nonsense\n")
	s := openIdle(t, root, OS())
	upload := func(text string) {
		t.Helper()
		mustUpdate(t, s, func(tx *Tx) error { return tx.WriteFile("users.tab", []byte(text)) })
	}
	waitProblems(t, s, "users.tab:2")
	upload("#\n" + good + "nonsense\n")
	waitProblems(t, s, "users.tab:3")
	upload(good)
	waitProblems(t, s)
	writeTestFile(t, root, "users.tab", good+"broken\n")
	waitProblems(t, s, "users.tab:2")
	upload(good)
	waitProblems(t, s)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	waitProblems(t, s, "users.tab")
	upload(good)
	waitProblems(t, s)
	mustUpdate(t, s, addUser("a.org", "bob", 2))
}

// waitProblems waits until the store has problems in these lines.
func waitProblems(t *testing.T, s *Store, lines ...string) {
	t.Helper()
	waitFor(t, "the problems "+strings.Join(lines, " "), func() bool {
		var got []string
		for _, p := range s.Problems() {
			at, _, _ := strings.Cut(p.Error(), ": ")
			got = append(got, at)
		}
		return strings.Join(got, " ") == strings.Join(lines, " ")
	})
}

// TestTableReadWhileItsFolderComesOrGoes makes and removes a folder while a table in it is
// read for the first time.
func TestTableReadWhileItsFolderComesOrGoes(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, "domains/old/user.tab", "\"old\"\n")
	disk := &readHookFS{FS: OS()}
	s := openIdle(t, root, disk)
	for _, c := range []struct {
		name   string
		change func(*Tx) error
		exists bool
	}{
		{"domains/new/user.tab", func(tx *Tx) error {
			return tx.MakeTree("domains/new", nil, map[string][]byte{"user.tab": []byte("\"new\"\n")})
		}, true},
		{"domains/old/user.tab", func(tx *Tx) error { return tx.RemoveTree("domains/old") }, false},
	} {
		done := false
		disk.read = func(name string) {
			if name == filepath.Join(root, c.name) && !done {
				done = true
				mustUpdate(t, s, c.change)
			}
		}
		if _, err := s.File(c.name, plainSchema); err != nil {
			t.Fatal(err)
		}
		v, err := s.File(c.name, plainSchema)
		if err != nil || v.Exists() != c.exists || !c.exists && v.Len() > 0 {
			t.Errorf("%s exists: %v with %d rows (error %v), want %v", c.name, v.Exists(), v.Len(), err, c.exists)
		}
	}
	if problems := s.Problems(); len(problems) > 0 {
		t.Errorf("problems %v, want none", problems)
	}
}

// A readHookFS is the real file system, and tells when a file was opened for reading.
type readHookFS struct {
	FS
	read func(name string)
}

func (h *readHookFS) Open(name string) (File, error) {
	f, err := h.FS.Open(name)
	if h.read != nil {
		h.read(name)
	}
	return f, err
}

// TestProblemsGoWithTheFolder moves and removes a folder whose table has a problem, and is
// not in memory any more.
func TestProblemsGoWithTheFolder(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, "domains/a.org/user.tab", "\"a\"\n")
	s := openIdle(t, root, OS())
	two := &Schema{Columns: 2}
	if _, err := s.File("domains/a.org/user.tab", two); err != nil {
		t.Fatal(err)
	}
	waitProblems(t, s, "domains/a.org/user.tab:1")
	mustUpdate(t, s, func(tx *Tx) error { return tx.MoveTree("domains/a.org", "domains/b.org") })
	waitProblems(t, s, "domains/b.org/user.tab:1")
	s.mu.Lock()
	clear(s.onDemand)
	s.mu.Unlock()
	mustUpdate(t, s, func(tx *Tx) error { return tx.RemoveTree("domains/b.org") })
	waitProblems(t, s)
	if err := s.Sync(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestTableThatComesBackBrokenTakesChanges takes the file of a table away, and makes one
// that cannot be taken: as with every such edit, the rows from before are in force, and
// changes are made on them.
func TestTableThatComesBackBrokenTakesChanges(t *testing.T) {
	root := t.TempDir()
	name, away := filepath.Join(root, "users.tab"), filepath.Join(root, "away")
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	s := openIdle(t, root, OS())
	for id, put := range []func(){
		func() { writeTestFile(t, root, "users.tab", "broken\n") },
		func() {
			if err := os.Rename(away, name); err != nil {
				t.Fatal(err)
			}
		},
	} {
		if err := os.Rename(name, away); err != nil {
			t.Fatal(err)
		}
		waitProblems(t, s, "users.tab")
		put()
		waitProblems(t, s, "users.tab:1")
		if err := s.Update(context.Background(), addUser("b.org", "bob", id)); err != nil {
			t.Error(err)
		}
	}
}
