package server_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// TestMailRootsOfReleases starts on what earlier releases have left.
func TestMailRootsOfReleases(t *testing.T) {
	const all = "../../testdata/mailroots"
	releases, err := os.ReadDir(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, release := range releases {
		if !release.IsDir() {
			continue
		}
		t.Run(release.Name(), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "MailRoot")
			if err := os.CopyFS(dir, os.DirFS(filepath.Join(all, release.Name()))); err != nil {
				t.Fatal(err)
			}
			s := servertest.Start(t, servertest.Dir(dir))
			client := s.Dial(t)
			for _, command := range [][]string{
				{"userauth", "example.org", "alice", `say "hi" \`},
				{"userauth", "www.example.org", "jörg", "pässwörd"},
				{"useradd", "example.org", "new", "pw", "U"},
				{"userdel", "example.org", "alice"},
			} {
				if _, err := client.Do(t.Context(), command...); err != nil {
					t.Errorf("%q: %v", command, err)
				}
			}
			s.Stop(t)
			if _, err := os.Stat(filepath.Join(dir, "journal")); err == nil {
				t.Error("a journal is left after a clean stop")
			}
		})
	}
}
