package deliver_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/deliver"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// TestServerThatDiesInTheMiddleOfAListRepeatsFew looks at what is on disk while the
// second hundred members of one domain are being sent to.
func TestServerThatDiesInTheMiddleOfAListRepeatsFew(t *testing.T) {
	f := newFixture(t)
	if err := f.admin.UserAdd(t.Context(), "foo.test", "news", "x", "M"); err != nil {
		t.Fatal(err)
	}
	for n := range 250 {
		if err := f.admin.MemberAdd(t.Context(), "foo.test", "news", fmt.Sprintf("m%d@else.test", n), "R"); err != nil {
			t.Fatal(err)
		}
	}
	answer := make(chan struct{})
	f.net.calls, f.net.hold = make(chan int), map[string]chan struct{}{"else.test": answer}
	f.put("Subject: x\r\n\r\n", "s@ext.test", "news@foo.test")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		deliver.New(f.parts(f.boxes()), deliver.Options{Workers: 1, Host: "mx.test"}).Run(ctx)
		close(done)
	}()
	for sent, want := range []int{250, 150, 50} {
		<-f.net.calls // what came before is on disk
		after := filepath.Join(t.TempDir(), "spool")
		if err := os.CopyFS(after, os.DirFS(filepath.Join(f.dir, "spool"))); err != nil {
			t.Fatal(err)
		}
		q, err := spool.Open(t.Context(), after, spool.Options{Clock: f.clock})
		if err != nil {
			t.Fatal(err)
		}
		left := 0
		for range q.Items(func(i *spool.Item) bool { return strings.HasSuffix(i.Recipient, "@else.test") }) {
			left++
		}
		if left != want {
			t.Errorf("after %d hundred members %d are left; want %d", sent, left, want)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		answer <- struct{}{}
	}
	cancel()
	<-done
}
