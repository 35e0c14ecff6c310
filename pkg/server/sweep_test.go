package server_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server"
	"github.com/xmaild/xmaild/pkg/server/program"
	"github.com/xmaild/xmaild/pkg/server/servertest"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

func TestBansThatHaveExpiredAreSwept(t *testing.T) {
	var now atomic.Int64
	now.Store(1_900_000_000)
	s := servertest.Start(t,
		servertest.Clock(func() time.Time { return time.Unix(now.Load(), 0) }),
		servertest.Config(func(c *server.Config) { c.Sweep = time.Millisecond }))
	c := s.Dial(t)
	for _, args := range [][]string{
		{"192.0.2.1", "expires=1900000050"},
		{"192.0.2.2", "255.255.255.255", "code=0,expires=1900000100"},
		{"192.0.2.3", "expires=1900000200"},
		{"192.0.2.4"},
	} {
		if _, err := c.Do(t.Context(), append([]string{"spammeradd"}, args...)...); err != nil {
			t.Fatalf("spammeradd %q: %v", args, err)
		}
	}
	if _, err := c.Do(t.Context(), "ipmapadd", "smtp", "192.0.2.1", "DENY", "5", "expires=1900000050"); err != nil {
		t.Fatal(err)
	}
	account := strings.TrimSpace(strings.Split(s.Read(t, "mailusers.tab"), "\n")[0])
	fields := tabfile.Split(account)
	if _, err := c.Do(t.Context(), "ipmapadd", "pop3:"+fields[1]+"@"+fields[0], "192.0.2.1", "DENY", "5", "expires=1900000050"); err != nil {
		t.Fatal(err)
	}
	now.Add(100)
	// The table is small, so that the file shows each change at once.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	want := "\"192.0.2.3\"\t\"expires=1900000200\"\n\"192.0.2.4\"\n"
	maps := []string{"smtp.ipmap.tab", "domains/" + fields[0] + "/" + fields[4] + "/pop3.ipmap.tab"}
	swept := func() bool {
		for _, name := range maps {
			if strings.Contains(s.Read(t, name), "192.0.2.1") {
				return false
			}
		}
		return s.Read(t, "spammers.tab") == want
	}
	for !swept() {
		if ctx.Err() != nil {
			t.Fatalf("spammers.tab holds\n%s\nwant\n%s\nand the maps hold\n%s%s", s.Read(t, "spammers.tab"), want, s.Read(t, maps[0]), s.Read(t, maps[1]))
		}
		if _, err := c.Do(ctx, "noop"); err != nil {
			t.Fatal(err)
		}
	}
	s.Restart(t)
	if got := s.Read(t, "spammers.tab"); got != want {
		t.Errorf("after a restart spammers.tab holds\n%s\nwant\n%s", got, want)
	}
	if !strings.Contains(s.Log(), "rows have expired") {
		t.Error("the log says nothing of what was swept")
	}
}

func TestFoldersOfProgramsAreSweptAtTheStart(t *testing.T) {
	s := servertest.Start(t)
	left, err := program.NewFolder("", s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	s.Restart(t)
	if _, err := os.Stat(left.Path("")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder of a server that died is still there (%v)", err)
		if err := left.Remove(); err != nil {
			t.Error(err)
		}
	}
}
