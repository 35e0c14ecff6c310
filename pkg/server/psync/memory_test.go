package psync

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/admin"
)

// stamp gives a file a time.
func stamp(t *testing.T, file string, at time.Time) {
	t.Helper()
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
}

// TestKillBetweenTheQueueAndTheNote starts again with a message in the queue that is not
// noted as fetched. Where something was forgotten after it, so was this perhaps.
func TestKillBetweenTheQueueAndTheNote(t *testing.T) {
	before, after := time.Now().Add(-time.Minute), time.Now().Add(time.Minute)
	for name, test := range map[string]struct {
		file, folder time.Time // when they were changed last; zero: the file is gone
		again        int
	}{
		"nothing since":                   {before, before, 0},
		"another account of the host":     {before, after, 0}, // its file was written anew
		"the note was cut off":            {after, before, 0},
		"the file was written anew":       {after, after, 1},
		"all was forgotten":               {time.Time{}, after, 1},
		"the file was gone before it was": {time.Time{}, before, 0},
	} {
		for _, options := range []string{"CLR", "CLR,Leave"} {
			s, there := newSite(t), newScripted(t, mailText)
			s.link(there.addr, options)
			there.refuse("DELE", "", true)
			s.fetch()
			there.on(nil)
			file := filepath.Join(s.dir, "msgsync", strings.ReplaceAll(there.addr, ":", "_"), "bob.uidb")
			write(t, file, "")
			if test.file.IsZero() {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			} else {
				stamp(t, file, test.file)
			}
			stamp(t, filepath.Dir(file), test.folder)
			s.restart()
			s.Recover()
			s.wantTaken(1)
			s.fetch()
			if got := len(s.taken()); got != test.again {
				t.Errorf("%s, %s: %d messages are fetched again, want %d", name, options, got, test.again)
			}
		}
	}
}

// TestNoteThatWasCutOffIsNotAnotherMessage has a file of which the last line is what is
// left of the UID uid-10: the UID of a message that was not fetched.
func TestNoteThatWasCutOffIsNotAnotherMessage(t *testing.T) {
	for _, options := range []string{"CLR", "CLR,Leave"} {
		s, there := newSite(t), newScripted(t, mailText, mailText)
		s.link(there.addr, options)
		file := filepath.Join(s.dir, "msgsync", strings.ReplaceAll(there.addr, ":", "_"), "bob.uidb")
		write(t, file, "uid-0\nuid-1")
		s.fetch()
		s.wantTaken(1)
		if options == "CLR" {
			continue // all is deleted there, and forgotten here
		}
		if text, err := os.ReadFile(file); string(text) != "uid-0\nuid-1\n" {
			t.Errorf("%s: the file is %q (%v), want both UIDs in it", options, text, err)
		}
		s.fetch()
		s.wantTaken(0)
	}
}

// TestNothingIsTakenThatCannotBeNoted has a folder in the place of the file.
func TestNothingIsTakenThatCannotBeNoted(t *testing.T) {
	s, there := newSite(t), newScripted(t, mailText)
	s.link(there.addr, "CLR,Leave")
	dir := filepath.Join(s.dir, "msgsync", strings.ReplaceAll(there.addr, ":", "_"))
	write(t, dir, "a file")
	s.fetch()
	s.wantTaken(0)
	s.wantLine("SYNC=EFAIL 0 0 0 0")
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	s.fetch()
	s.wantTaken(1)
}

// TestClosedListsAreClosedToLinks fetches for a list, of which the sender is a member or
// not.
func TestClosedListsAreClosedToLinks(t *testing.T) {
	s, there := newSite(t, "CompatLevel", "1"), newScripted(t, mailText, strings.ReplaceAll(mailText, "eve@", "ann@"))
	if err := s.admin.UserAdd(t.Context(), "here.test", "team", "x", "M"); err != nil {
		t.Fatal(err)
	}
	if err := s.admin.SetUserVars(t.Context(), "here.test", "team", admin.Setting{Name: "ClosedML", Value: "1"}); err != nil {
		t.Fatal(err)
	}
	if err := s.admin.MemberAdd(t.Context(), "here.test", "team", "ann@out.test", "RW"); err != nil {
		t.Fatal(err)
	}
	s.linkFor("@here.test", "team", there.addr, "CLR")
	s.fetch()
	if all := s.wantTaken(1); all[0].From != "ann@out.test" {
		t.Errorf("the list got mail from %s, who is no member", all[0].From)
	}
	if n := there.left(); n != 1 {
		t.Errorf("%d messages are left there, want that of the stranger", n)
	}
}
