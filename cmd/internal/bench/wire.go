package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"sync"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

// A wire is a connection to the control port that costs the client as little as can be,
// so that what is measured is the server.
type wire struct {
	conn net.Conn
	r    *bufio.Reader
	line []byte
}

// timestamp is the part of a greeting that a digest is made of.
var timestamp = regexp.MustCompile(`<[^>]*>`)

// wire logs in. The connection is closed after the run, or when ctx ends.
func (d *daemon) wire(ctx context.Context, e *env) (*wire, error) {
	conn, err := net.Dial("tcp", d.ctrl)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	e.cleanup(func() error {
		stop()
		conn.Close() // it may be closed already
		return nil
	})
	w := &wire{conn: conn, r: bufio.NewReaderSize(conn, 1<<16)}
	greeting, err := w.r.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("greeting: %w", err)
	}
	digest := ctrl.Digest(timestamp.FindString(greeting), d.root.password)
	if err := w.do(appendCommand(nil, d.root.user, "#"+digest)); err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	return w, nil
}

// wires logs in so often.
func (d *daemon) wires(ctx context.Context, e *env, count int) ([]*wire, error) {
	all := make([]*wire, count)
	for i := range all {
		var err error
		if all[i], err = d.wire(ctx, e); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// appendCommand appends a command line with its end. No argument has a quote in it.
func appendCommand(b []byte, args ...string) []byte {
	for i, a := range args {
		if i > 0 {
			b = append(b, '\t')
		}
		b = append(append(append(b, '"'), a...), '"')
	}
	return append(b, '\r', '\n')
}

// do sends a line and waits for the reply.
func (w *wire) do(line []byte) error {
	if _, err := w.conn.Write(line); err != nil {
		return err
	}
	return w.reply()
}

// reply reads a reply of one line.
func (w *wire) reply() error {
	line, err := w.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if line[0] != '+' {
		return fmt.Errorf("refused: %s", line)
	}
	return nil
}

// A command appends command number i to b, with the end of the line.
type command func(b []byte, i int) []byte

// each sends a command at a time for the period of e, waiting for each reply, most of
// them at most, and returns how many a second.
func (w *wire) each(ctx context.Context, e *env, most int, line command) (float64, error) {
	return e.loop(ctx, most, func(i int) error {
		w.line = line(w.line[:0], i)
		return w.do(w.line)
	})
}

// These are lines sent in one piece, and pieces under way.
const (
	pieceLines = 64
	piecesAway = 16
)

// pipelined sends commands for the period of e without waiting for the replies, most of
// them at most, and returns how many a second were answered.
func (w *wire) pipelined(ctx context.Context, e *env, most int, line command) (float64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	away := make(chan int, piecesAway)
	sent := make(chan error, 1)
	begin := time.Now()
	stop := make(chan struct{})
	go func() {
		defer close(away)
		for i := 0; i < most && time.Since(begin) < e.period(); {
			n := min(e.size(pieceLines), most-i)
			w.line = w.line[:0]
			for range n {
				w.line = line(w.line, i)
				i++
			}
			select {
			case away <- n:
			case <-stop:
				sent <- nil
				return
			}
			if _, err := w.conn.Write(w.line); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	total := 0
	var err error
	for n := range away {
		for ; n > 0 && err == nil; n-- {
			if err = w.reply(); err == nil {
				total++
			}
		}
		if err != nil {
			close(stop)
			w.conn.Close() // so that a write ends
			break
		}
	}
	took := time.Since(begin)
	return float64(total) / took.Seconds(), errors.Join(err, <-sent)
}

// together has each connection send a command at a time for the period of e, and
// returns how many a second they did in all. The numbers of commands differ, and are
// below most.
func together(ctx context.Context, e *env, wires []*wire, most int, line command) (float64, error) {
	var (
		wg    sync.WaitGroup
		rates = make([]float64, len(wires))
		errs  = make([]error, len(wires))
	)
	for i, w := range wires {
		wg.Go(func() {
			rates[i], errs[i] = w.each(ctx, e, most/len(wires), func(b []byte, n int) []byte { return line(b, n*len(wires)+i) })
		})
	}
	wg.Wait()
	sum := 0.0
	for _, r := range rates {
		sum += r
	}
	return sum, errors.Join(errs...)
}
