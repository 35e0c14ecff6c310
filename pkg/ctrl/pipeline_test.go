package ctrl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// dialFake logs in at a fake server.
func dialFake(t *testing.T, serve func(w *wire)) *Client {
	t.Helper()
	c, err := Dial(t.Context(), fakeServer(t, serve), "admin", "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestPipelineRepliesComeInOrder(t *testing.T) {
	c := startServer(t, nil).dial(t)
	p := c.Pipeline(t.Context())
	const n = 1000
	received := 0
	receive := func() {
		r, err := p.Receive()
		switch {
		case received%10 == 3:
			wantCode(t, err, CodeCommand)
		case err != nil:
			t.Fatalf("reply %d: %v", received, err)
		case received%10 == 7:
			if _, err := p.Receive(); err != ErrBusy {
				t.Fatalf("Receive before the list was read: %v, want %v", err, ErrBusy)
			}
			for line, err := range r.Lines() {
				if want := fmt.Sprintf("\"%d\"\t\"x\"", received); err != nil || line != want {
					t.Fatalf("list %d: %q, %v; want %q", received, line, err, want)
				}
			}
		case r.Text != fmt.Sprintf(`OK ["%d"]`, received):
			t.Fatalf("reply %d is %q", received, r.Text)
		}
		received++
	}
	fullest := 0
	for i := range n {
		command := "args"
		switch i % 10 {
		case 3:
			command = "nosuch"
		case 7:
			command = "list"
		}
		if err := p.Send(command, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		fullest = max(fullest, p.Len())
		for p.Full() {
			receive()
		}
	}
	for p.Len() > 0 {
		receive()
	}
	if received != n || fullest < 2 {
		t.Errorf("%d replies to %d commands, at most %d under way", received, n, fullest)
	}
	if _, err := p.Receive(); err != ErrIdle {
		t.Errorf("Receive with nothing awaited: %v, want %v", err, ErrIdle)
	}
	p.Stop()
	if _, err := c.Do(t.Context(), "noop"); err != nil {
		t.Errorf("Do after the pipeline: %v", err)
	}
}

func TestPipelineSendsAheadOfReplies(t *testing.T) {
	c := dialFake(t, func(w *wire) {
		greet(w)
		for range 3 {
			w.line()
		}
		w.send("+00000 one", "-00013 two", "+00000 three")
		w.wantEOF()
	})
	p := c.Pipeline(t.Context())
	for range 3 {
		if err := p.Send("noop"); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := p.Receive(); err != nil || r.Text != "one" {
		t.Errorf("first reply: %v, %v", r, err)
	}
	_, err := p.Receive()
	wantCode(t, err, CodeUserExists)
	if r, err := p.Receive(); err != nil || r.Text != "three" {
		t.Errorf("third reply: %v, %v", r, err)
	}
	p.Stop()
	c.Close()
}

func TestPipelineSaysWhatBecameOfEachCommand(t *testing.T) {
	c := dialFake(t, func(w *wire) {
		greet(w)
		for range 3 {
			w.line()
		}
		w.send("+00000 OK")
	})
	p := c.Pipeline(t.Context())
	for range 3 {
		p.Send("useradd", "x")
	}
	if _, err := p.Receive(); err != nil {
		t.Fatalf("first reply: %v", err)
	}
	for i := range 2 {
		if _, err := p.Receive(); !isUnknown(err) {
			t.Errorf("command %d after the loss: %v, want its outcome unknown", i+2, err)
		}
	}
	// What was never written was not done.
	p.Send("useradd", "x")
	_, err := p.Receive()
	if err == nil || isUnknown(err) || !strings.Contains(err.Error(), "not sent") {
		t.Errorf("command after the loss: %v, want one that was not sent", err)
	}
	p.Stop()
}

func isUnknown(err error) bool {
	_, ok := errors.AsType[*UnknownOutcomeError](err)
	return ok
}

func TestPipelineAfterAServerThatStops(t *testing.T) {
	c := dialFake(t, func(w *wire) {
		greet(w)
		for range 3 {
			w.line()
		}
		w.send("+00000 OK", "-00001 stopping")
	})
	p := c.Pipeline(t.Context())
	for range 3 {
		p.Send("useradd", "x")
	}
	if _, err := p.Receive(); err != nil {
		t.Fatalf("first reply: %v", err)
	}
	for i := range 2 {
		_, err := p.Receive()
		if isUnknown(err) {
			t.Errorf("command %d: %v, want one that was not done", i+2, err)
		}
		wantCode(t, err, CodeShutdown)
	}
	p.Stop()
}

func TestPipelineRefusesWhatNoLineHolds(t *testing.T) {
	c := startServer(t, nil).dial(t)
	p := c.Pipeline(t.Context())
	defer p.Stop()
	if _, ok := errors.AsType[*ArgError](p.Send("args", "a\tb")); !ok || p.Len() != 0 {
		t.Errorf("a TAB is no *ArgError, or %d commands are awaited", p.Len())
	}
	p.Send("args", "b")
	if r, err := p.Receive(); err != nil || r.Text != `OK ["b"]` {
		t.Errorf("the next one: %v, %v", r, err)
	}
}

func TestPipelineEndsWithItsContext(t *testing.T) {
	c := dialFake(t, func(w *wire) {
		greet(w)
		w.line()
		w.wantEOF()
	})
	ctx, cancel := context.WithCancel(t.Context())
	p := c.Pipeline(ctx)
	p.Send("noop")
	p.Flush()
	cancel()
	if _, err := p.Receive(); !isUnknown(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want an unknown outcome since the context was canceled", err)
	}
	p.Stop()
}

func TestPipelineStoppedInTheMiddle(t *testing.T) {
	c := startServer(t, nil).dial(t)
	p := c.Pipeline(t.Context())
	p.Send("noop")
	p.Stop()
	if _, err := c.Do(t.Context(), "noop"); err == nil {
		t.Error("Do after a pipeline that was stopped in the middle: no error")
	}
}

// Neither side may wait for the other, however long the lists are.
func TestPipelineOfLongLists(t *testing.T) {
	long := strings.Repeat("x", 1000)
	c := startServer(t, func(s *Server) {
		s.Handler = HandlerFunc(func(context.Context, *Request) Reply {
			return List(func(w *ListWriter) error {
				for range 200 {
					if err := w.Row(long); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}).dial(t)
	p := c.Pipeline(t.Context())
	defer p.Stop()
	for !p.Full() {
		p.Send("list", long)
	}
	lines := 0
	for n := p.Len(); n > 0; n-- {
		r, err := p.Receive()
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range r.Lines() {
			if err != nil {
				t.Fatal(err)
			}
			lines++
		}
	}
	if lines != 17*200 {
		t.Errorf("%d lines, want %d", lines, 17*200)
	}
}

func BenchmarkPipeline(b *testing.B) {
	c := startServer(b, nil).dial(b)
	p := c.Pipeline(b.Context())
	defer p.Stop()
	start := time.Now()
	for range b.N {
		p.Send("noop")
		if p.Full() {
			for p.Len() > pipelineCommands/2 {
				if _, err := p.Receive(); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	for p.Len() > 0 {
		if _, err := p.Receive(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "commands/s")
}
