package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// retrFigures are those of large messages that clients fetch.
func retrFigures() []figure {
	return []figure{{
		name: "retr", title: "RETR over the loopback, messages of 64 MiB", unit: "MB/s",
		goal: goal{value: 1000, text: "1 GB/s on two cores"},
		run:  func(ctx context.Context, e *env) (measure, error) { return retrieve(ctx, e, nil) },
	}, {
		name: "retr-tls", title: "RETR over the loopback inside TLS, messages of 64 MiB", unit: "MB/s",
		goal: goal{value: 400, text: "400 MB/s on two cores"},
		run: func(ctx context.Context, e *env) (measure, error) {
			return retrieve(ctx, e, &tls.Config{InsecureSkipVerify: true}) // the certificate is one of the run
		},
	}}
}

// readSize is how much a client takes at a time, so that it is not what is measured.
const readSize = 1 << 20

func retrieve(ctx context.Context, e *env, config *tls.Config) (measure, error) {
	r, err := e.mailRoot(ctx)
	if err != nil {
		return measure{}, err
	}
	line := strings.Repeat("x", 76) + "\r\n"
	lines := e.size(64<<20) / len(line)
	text := "Subject: large\r\n\r\n" + strings.Repeat(line, lines)
	name := r.path("domains/" + domain + "/" + userName(0) + "/Maildir/new/1700000000.M1P123.host")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		return measure{}, err
	}
	d, err := e.start(ctx, r)
	if err != nil {
		return measure{}, err
	}
	addr := d.pop3
	if config != nil {
		addr = d.pop3s
	}
	s, err := dialPOP3(ctx, addr, config)
	if err != nil {
		return measure{}, err
	}
	defer s.close()
	if err := s.login(); err != nil {
		return measure{}, err
	}
	buf := make([]byte, readSize)
	var total int64
	if err := s.retr(len(text), buf); err != nil { // the first time fills the caches
		return measure{}, err
	}
	begin := time.Now()
	for total == 0 || time.Since(begin) < e.period() {
		if err := ctx.Err(); err != nil {
			return measure{}, err
		}
		if err := s.retr(len(text), buf); err != nil {
			return measure{}, err
		}
		total += int64(len(text))
	}
	return measure{value: float64(total) / 1e6 / time.Since(begin).Seconds()}, nil
}

// retr fetches the only message, which has so many octets and no dots. What it reads is
// not looked at, but for the end.
func (s *popSession) retr(octets int, buf []byte) error {
	reply, err := s.command("RETR 1")
	if err != nil {
		return err
	}
	if want := "+OK " + strconv.Itoa(octets); !bytes.HasPrefix(reply, []byte(want)) {
		return fmt.Errorf("RETR: %q, want %q", reply, want)
	}
	const end = ".\r\n"
	left := octets + len(end)
	var last [len(end)]byte
	for left > 0 {
		// A read as large as this goes past the buffer of s.in once that is empty.
		n, err := s.in.Read(buf[:min(len(buf), left)])
		if err != nil {
			return err
		}
		for _, c := range buf[max(n-len(end), 0):n] {
			copy(last[:], last[1:])
			last[len(end)-1] = c
		}
		left -= n
	}
	if string(last[:]) != end {
		return fmt.Errorf("RETR ends in %q: %w", last, io.ErrUnexpectedEOF)
	}
	return nil
}
