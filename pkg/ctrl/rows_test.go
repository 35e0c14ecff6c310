package ctrl

import (
	"context"
	"testing"
)

func TestRowsOfAListPassAFunction(t *testing.T) {
	w := startServer(t, func(s *Server) {
		s.Handler = HandlerFunc(func(ctx context.Context, req *Request) Reply {
			return echo(ctx, req).Rows(func(fields []string) []string {
				if fields[0] == "b" {
					return nil
				}
				return []string{fields[0], ""}
			})
		})
	}).login(t)
	w.send("list\ta\tb\tc")
	w.wantLines("+00100 OK", `"a"`+"\t"+`""`, `"c"`+"\t"+`""`, ".")
	w.send("list\tb")
	w.wantLines("+00100 OK", ".")
	w.send("text\tb")
	w.wantLines("+00100 OK", "b", ".")
	w.send("noop")
	w.wantLines("+00000 OK")
}

func TestSessionKeepsTheValueOfItsHandler(t *testing.T) {
	s := startServer(t, func(s *Server) {
		s.Handler = HandlerFunc(func(_ context.Context, req *Request) Reply {
			n, _ := req.Session.Value.(int)
			req.Session.Value = n + 1
			return OKf("%d", n)
		})
	})
	w := s.login(t)
	for _, want := range []string{"+00000 OK 0", "+00000 OK 1", "+00000 OK 2"} {
		w.send("count")
		w.wantLines(want)
	}
	other := s.login(t)
	other.send("count")
	other.wantLines("+00000 OK 0")
}
