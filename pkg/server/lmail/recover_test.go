package lmail

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/durable"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// tookAll is a queue that has every message already.
type tookAll struct{ Queue }

func (tookAll) Took(spool.Source) bool { return true }

// TestFilesAreGoneForGoodBeforeTheirMailIsDelivered has a file whose message is in the
// queue when the server starts.
func TestFilesAreGoneForGoodBeforeTheirMailIsDelivered(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "MailRoot")
	err := mailroot.Create(dir, mailroot.NewRoot{Domains: []string{"x.test"}, Account: "ann", AccountPassword: "x", Admin: "admin", AdminPassword: "x"})
	if err != nil {
		t.Fatal(err)
	}
	root, err := mailroot.Open(t.Context(), dir, mailroot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	local := filepath.Join(dir, "spool", localDir)
	if err := os.MkdirAll(local, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(local, "1795299965000.812.mx")
	if err := os.WriteFile(file, []byte("mail from:<>\r\nrcpt to:<ann@x.test>\r\n\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := New(root, tookAll{}, Options{})
	var synced []string
	m.sync = durable.New(func(names []string) error {
		if _, err := os.Lstat(file); err == nil {
			t.Error("synced before the file was removed")
		}
		synced = append(synced, names...)
		return nil
	})
	if err := m.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(file); !os.IsNotExist(err) {
		t.Errorf("the file: %v, want it gone", err)
	}
	if !slices.Equal(synced, []string{local}) {
		t.Errorf("synced %q, want the folder once", synced)
	}
}
