package check

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/server/selfcert"
)

func TestCertificates(t *testing.T) {
	dir := fresh(t)
	if err := os.Mkdir(filepath.Join(dir, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	pair := func(stem string, made time.Time, host string) {
		t.Helper()
		cert, key, err := selfcert.New([]string{host}, made)
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string][]byte{stem + ".cert": cert, stem + ".key": key} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	now := time.Now()
	pair("server", now.Add(-selfcert.Life-48*time.Hour), "localhost")
	pair("tls/good.test", now, "good.test")
	pair("tls/soon.test", now.Add(20*24*time.Hour-selfcert.Life), "*.test")
	pair("tls/early.test", now.Add(48*time.Hour), "early.test")
	pair("tls/other.test", now, "another.test")
	write(t, dir, "tls/broken.test.cert", "rubbish")
	write(t, dir, "tls/broken.test.key", "rubbish")
	write(t, dir, "tls/lone.test.key", "rubbish")
	write(t, dir, "tls/half.test.cert", "rubbish")
	write(t, dir, "tls/notes.txt", "rubbish")
	day := func(d time.Duration) string { return now.Add(d).UTC().Format(time.DateOnly) }
	if err := os.Chmod(filepath.Join(dir, "tls/broken.test.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "tls/good.test.key"), 0o640); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"server.cert: has expired, on " + day(-48*time.Hour),
		"tls/broken.test.cert: tls: failed to find any PEM data in certificate input",
		"tls/early.test.cert: is not good before " + day(47*time.Hour),
		"tls/good.test.key: risky: others may read it (mode 640); 600 is enough",
		"tls/half.test.key: no such file or directory",
		"tls/lone.test.key: there is no lone.test.cert to this key",
		"tls/notes.txt: is neither NAME.cert nor NAME.key, and nobody reads it",
		"tls/other.test.cert: risky: is shown to clients that ask for other.test, but is not good for that name",
		"tls/soon.test.cert: risky: expires on " + day(20*24*time.Hour),
	}
	if d := cmp.Diff(want, findings(t, dir)); d != "" {
		t.Errorf("findings (-want +got):\n%s", d)
	}
}
