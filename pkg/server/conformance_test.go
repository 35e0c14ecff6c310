package server_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/program/programtest"
	"github.com/xmaild/xmaild/pkg/server/resolve/resolvetest"
	"github.com/xmaild/xmaild/pkg/server/servertest"
	"github.com/xmaild/xmaild/pkg/server/servertest/replay"
)

// The exchanges that were recorded from XMail 1.27, with our departures.
func TestConformance(t *testing.T) { replayAll(t, "../../testdata/conformance/control/*.txt") }

// Sessions of mail and finger that were recorded from it.
func TestConformanceOfServices(t *testing.T) {
	replayAll(t, "../../testdata/conformance/services/*.txt")
}

// Exchanges of our own: bad input, refusals, what changes on disk.
func TestExchanges(t *testing.T) { replayAll(t, "../../testdata/exchanges/*.txt") }

func replayAll(t *testing.T, pattern string) {
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no exchanges in %s: %v", pattern, err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			t.Parallel()
			file, err := replay.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := file.Run(t.Context(), &replayed{t: t}, t); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// replayed is the server that exchanges are played to.
type replayed struct {
	t *testing.T
	*servertest.Server
}

func (r *replayed) Addr() string { return r.Server.Addr }
func (r *replayed) Dir() string  { return r.Server.Dir }

func (r *replayed) ServiceAddr(name string) string {
	return map[string]string{"smtp": r.Server.SMTP, "pop3": r.Server.POP3, "finger": r.Server.Finger}[name]
}

func (r *replayed) Fresh(files []replay.NewFile) error {
	if r.Server != nil {
		r.Stop(r.t)
	}
	// Programs that tables name write to their folder, the MailRoot, also where they
	// run as nobody.
	dir := filepath.Join(programtest.Dir(r.t), "MailRoot")
	if err := servertest.NewMailRoot(dir); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		return err
	}
	if err := replay.Apply(dir, files); err != nil {
		return err
	}
	r.Server = servertest.Start(r.t, servertest.Dir(dir))
	// Mail to example.org waits. All other domains do not exist.
	r.DNS.Set(r.t, resolvetest.Zones{"example.org.": {Err: errors.New("no answer")}})
	return nil
}

func (r *replayed) Restart(files []replay.NewFile) error {
	if r.Server == nil {
		return errors.New("no server runs")
	}
	r.Stop(r.t)
	if err := replay.Apply(r.Server.Dir, files); err != nil {
		return err
	}
	r.Server.Restart(r.t)
	return nil
}
