package ctrl

import (
	"context"
	"strings"
	"sync"
	"testing"
)

// A slowHandler begins each "begin" and answers it when it is told to; "late" it does not
// begin.
type slowHandler struct {
	HandlerFunc
	mu     sync.Mutex
	under  int // begun and not answered
	most   int
	served []int // how many were under way at each ServeCtrl

	answer chan struct{} // nil: at once
}

func (h *slowHandler) ServeCtrl(ctx context.Context, req *Request) Reply {
	h.mu.Lock()
	h.served = append(h.served, h.under)
	h.mu.Unlock()
	return h.HandlerFunc(ctx, req)
}

func (h *slowHandler) Begin(ctx context.Context, req *Request, first bool) func() Reply {
	h.mu.Lock()
	defer h.mu.Unlock()
	if req.Command == "noop" || req.Command == "list" {
		return nil
	}
	if first != (h.under == 0) {
		return func() Reply { return Refuse(CodeInternal, "first is %v with %d under way", first, h.under) }
	}
	h.under++
	h.most = max(h.most, h.under)
	return func() Reply {
		if h.answer != nil {
			<-h.answer
		}
		h.mu.Lock()
		h.under--
		h.mu.Unlock()
		return h.HandlerFunc(ctx, req)
	}
}

func startSlow(t *testing.T, h *slowHandler) *wire {
	h.HandlerFunc = echo
	return startServer(t, func(s *Server) { s.Handler = h }).login(t)
}

func TestPipelinedCommandsAreBegunTogetherAndAnsweredInOrder(t *testing.T) {
	h := &slowHandler{answer: make(chan struct{})}
	w := startSlow(t, h)
	w.send("args\t1", "args\t2", "args\t3", "bad", "noop", "args\t4")
	for range 4 {
		h.answer <- struct{}{}
	}
	w.want(`+00000 OK ["1"]`)
	w.want(`+00000 OK ["2"]`)
	w.want(`+00000 OK ["3"]`)
	w.want("-00103")
	w.want("+00000 OK")
	w.want(`+00000 OK ["4"]`)
	if h.most != 4 {
		t.Errorf("%d commands were worked on at a time, want the four before noop", h.most)
	}
	if len(h.served) != 2 || h.served[0] != 0 || h.served[1] != 0 {
		t.Errorf("commands under way when others were served: %v, want none at noop and at the last one", h.served)
	}
}

func TestCommandThatComesAloneIsNotBegun(t *testing.T) {
	h := &slowHandler{}
	w := startSlow(t, h)
	for range 3 {
		w.send("args\tx")
		w.want(`+00000 OK ["x"]`)
	}
	if h.most != 0 || len(h.served) != 3 {
		t.Errorf("%d begun, %d served; want 0 and 3", h.most, len(h.served))
	}
}

func TestNothingIsAnsweredAfterAPanic(t *testing.T) {
	h := &slowHandler{}
	w := startSlow(t, h)
	w.send("args\t1", "panic", "args\t2", "noop")
	w.want(`+00000 OK ["1"]`)
	w.want("-00002")
	if line, err := w.r.ReadString('\n'); err == nil {
		t.Errorf("%q after a panic, want the end", line)
	}
}

func TestManyPipelinedCommandsAreBoundedAndAllAnswered(t *testing.T) {
	h := &slowHandler{}
	w := startSlow(t, h)
	const count = 5000
	go w.Write([]byte(strings.Repeat("args\tx\r\n", count)))
	for i := range count {
		line, err := w.r.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "+00000") {
			t.Fatalf("reply %d: %q, %v", i, line, err)
		}
	}
	if h.most > mostBegun {
		t.Errorf("%d commands at a time, want %d at most", h.most, mostBegun)
	}
	if h.under != 0 {
		t.Errorf("%d commands were not asked for their replies", h.under)
	}
}
