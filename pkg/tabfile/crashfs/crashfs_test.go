package crashfs_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/xmaild/xmaild/pkg/tabfile/crashfs"
)

// TestWriteLeavesWhatItIsGiven writes what the caller goes on using. Without a look for
// races (-race) the file in memory does so by itself.
func TestWriteLeavesWhatItIsGiven(t *testing.T) {
	f, err := crashfs.New(vfs.NewCrashableMem(), crashfs.Config{}).Create("/file", "", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := []byte("text")
	if _, err := f.Write(b); err != nil || string(b) != "text" {
		t.Errorf("after Write (%v) the caller has %q, want its text", err, b)
	}
	if _, err := f.WriteAt(b, 0); err != nil || string(b) != "text" {
		t.Errorf("after WriteAt (%v) the caller has %q, want its text", err, b)
	}
}
