package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/server/servertest"
)

func TestWatchShowsEachRowOnce(t *testing.T) {
	r := startTestRecorder(t)
	row := func(second, what string) string {
		return "\"2026-11-22T10:00:" + second + "Z\"\t\"admin\"\t\"::1\"\t\"useradd\"\t\"" + what + "\"\t\"+00000\""
	}
	var old []string
	for range 20 {
		old = append(old, row("00", "old"))
	}
	rounds := [][]string{
		append(old, row("01", "a")),
		{row("01", "a")},
		{row("01", "a"), row("01", "a"), row("02", "b")},
		{row("02", "b"), row("03", "c")},
		{row("03", "c")},
	}
	out, err := os.Create(filepath.Join(r.dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var stderr strings.Builder
	p := &program{name: "ctrlclnt", stdout: out, stderr: &stderr, lookup: environment("CTRL_PASSWORD=" + recorderPassword)}
	p.now = func() time.Time { return time.Date(2026, 11, 22, 10, 0, 5, 0, time.UTC) }
	n := 0
	next := func() { r.reply(t, "auditlist", append([]string{"list"}, rounds[n]...)...) }
	next()
	p.wait = func(_ context.Context, d time.Duration) error {
		if d != 3*time.Second {
			t.Errorf("waits %v, want 3s", d)
		}
		if n++; n == len(rounds) {
			return errors.New("that will do")
		}
		next()
		return nil
	}
	p.run([]string{"-s", r.plain, "-u", "admin", "watch", "--interval", "3", "user*"})
	content, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join(append(old[:9:9], row("01", "a"), row("01", "a"), row("02", "b"), row("03", "c")), "\n") + "\n"
	if string(content) != want {
		t.Errorf("shown\n%swant\n%s%s", content, want, stderr.String())
	}
	wantRequests := `auditlist "2026-11-21T10:00:05Z" "user*"
auditlist "2026-11-22T10:00:01Z" "user*"
auditlist "2026-11-22T10:00:01Z" "user*"
auditlist "2026-11-22T10:00:02Z" "user*"
auditlist "2026-11-22T10:00:03Z" "user*"
`
	if got := r.requests(t); got != wantRequests {
		t.Errorf("asked\n%swant\n%s", got, wantRequests)
	}

	r.reply(t, "auditlist", "refuse 103 unknown command")
	stderr.Reset()
	if status := p.run([]string{"-s", r.plain, "-u", "admin", "--status", "watch"}); status != exitRefused || !strings.Contains(stderr.String(), "keeps no audit log") {
		t.Errorf("a server without one: status %d\n%s", status, stderr.String())
	}
	if status := p.run([]string{"-s", r.plain, "-u", "admin", "watch", "--since", "yesterday"}); status != exitUsage {
		t.Errorf("--since yesterday: status %d, want %d", status, exitUsage)
	}
}

// A server that lets everybody in and ends each answer in the middle is not asked again
// and again without a rest.
func TestWatchRestsWhereNoAnswerComes(t *testing.T) {
	r := startTestRecorder(t)
	r.reply(t, "auditlist", "cut", `"2026-11-22T10:00:00Z"`)
	out, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var stderr strings.Builder
	p := &program{name: "ctrlclnt", stdout: out, stderr: &stderr, lookup: environment("CTRL_PASSWORD=" + recorderPassword)}
	rests := 0
	p.wait = func(context.Context, time.Duration) error {
		if rests++; rests == 3 {
			return errors.New("that will do")
		}
		return nil
	}
	p.run([]string{"-s", r.plain, "-u", "admin", "watch"})
	if n := strings.Count(r.requests(t), "\n"); n != rests {
		t.Errorf("asked %d times with %d rests\n%s", n, rests, stderr.String())
	}
}

func TestWatchFollowsAnXmaild(t *testing.T) {
	s := servertest.Start(t)
	client := s.Dial(t)
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var stderr strings.Builder
	p := &program{name: "ctrlclnt", stdout: out, stderr: &stderr, lookup: environment("CTRL_PASSWORD=" + servertest.Password)}
	domains := []string{"one.example", "two.example", "three.example"}
	p.wait = func(ctx context.Context, _ time.Duration) error {
		if len(domains) == 0 {
			return errors.New("that will do")
		}
		_, err := client.Do(ctx, "domainadd", domains[0])
		domains = domains[1:]
		return err
	}
	p.run([]string{"-s", s.Addr, "-u", servertest.User, "-o", "tsv", "watch", "domainadd"})
	content, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for line := range strings.Lines(string(content)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		seen = append(seen, fields[min(4, len(fields)-1)])
	}
	if diff := cmp.Diff([]string{"one.example", "two.example", "three.example"}, seen); diff != "" {
		t.Errorf("-want +got\n%s\n%s%s", diff, content, stderr.String())
	}
}
