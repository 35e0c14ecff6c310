package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// pop3Figures are those of clients that look whether there is mail.
func pop3Figures() []figure {
	return []figure{{
		name: "pop3-warm", title: "POP3 login, STAT and QUIT on a mailbox of 10,000 messages, warm", unit: "ms",
		goal: goal{value: 2, most: true, text: "2 ms"},
		run:  popWarm,
	}, {
		name: "pop3-cold", title: "POP3 login, STAT and QUIT on a mailbox of 100,000 messages, cold", unit: "ms",
		goal: goal{value: 1000, most: true, text: "1 s"},
		run:  popCold,
	}}
}

func popWarm(ctx context.Context, e *env) (measure, error) {
	r, err := e.fullRoot(ctx, e.size(10_000))
	if err != nil {
		return measure{}, err
	}
	d, err := e.start(ctx, r)
	if err != nil {
		return measure{}, err
	}
	want := e.size(10_000)
	for range 3 {
		if _, err := d.poll(ctx, want); err != nil {
			return measure{}, err
		}
	}
	took := make([]time.Duration, e.size(400))
	for i := range took {
		if took[i], err = d.poll(ctx, want); err != nil {
			return measure{}, err
		}
	}
	return measure{value: milliseconds(median(took))}, nil
}

func popCold(ctx context.Context, e *env) (measure, error) {
	r, err := e.fullRoot(ctx, e.size(100_000))
	if err != nil {
		return measure{}, err
	}
	d, err := e.start(ctx, r)
	if err != nil {
		return measure{}, err
	}
	note := "the caches of the system were dropped"
	switch {
	case e.scale > 1:
		note = "the caches of the system were kept" // a trial is not to slow down everything else
	case !dropCaches(ctx):
		note = "the server was started anew, the caches of the system could not be dropped (root can)"
	}
	took, err := d.poll(ctx, e.size(100_000))
	return measure{value: milliseconds(took), note: note}, err
}

// fullRoot makes a MailRoot with so many small messages in the mailbox of userName(0).
func (e *env) fullRoot(ctx context.Context, messages int) (*root, error) {
	r, err := e.mailRoot(ctx)
	if err != nil {
		return nil, err
	}
	dir := r.path("domains/" + domain + "/" + userName(0) + "/Maildir/new")
	body := letter(512)
	for i := range messages {
		name := filepath.Join(dir, "1700000000.M"+strconv.Itoa(i)+"P123.host")
		if err := os.WriteFile(name, body, 0o600); err != nil {
			return nil, err
		}
	}
	// The mail came some time ago: a folder that has just changed is read again.
	past := time.Now().Add(-time.Hour)
	return r, os.Chtimes(dir, past, past)
}

// dropCaches has the system forget what it knows of files, and reports whether it did.
func dropCaches(ctx context.Context) bool {
	// Only what is on the disk can be forgotten.
	if err := exec.CommandContext(ctx, "sync").Run(); err != nil {
		return false
	}
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3\n"), 0) == nil
}

// poll connects, logs in, asks how many messages there are, and leaves.
func (d *daemon) poll(ctx context.Context, messages int) (time.Duration, error) {
	begin := time.Now()
	s, err := dialPOP3(ctx, d.pop3, nil)
	if err != nil {
		return 0, err
	}
	defer s.close()
	if err := s.login(); err != nil {
		return 0, err
	}
	reply, err := s.command("STAT")
	if err != nil {
		return 0, err
	}
	if n, _, _ := bytes.Cut(bytes.TrimPrefix(reply, []byte("+OK ")), []byte(" ")); string(n) != strconv.Itoa(messages) {
		return 0, fmt.Errorf("STAT: %q, want %d messages", reply, messages)
	}
	if _, err := s.command("QUIT"); err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}

// A popSession is a connection to POP3.
type popSession struct {
	conn net.Conn
	in   *bufio.Reader
	stop func() bool
}

// dialPOP3 connects, inside TLS where config is not nil. The connection is closed when
// ctx ends.
func dialPOP3(ctx context.Context, addr string, config *tls.Config) (*popSession, error) {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &popSession{conn: c, stop: context.AfterFunc(ctx, func() { c.Close() })}
	if config != nil {
		s.conn = tls.Client(c, config)
	}
	s.in = bufio.NewReader(s.conn)
	if _, err := s.reply(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *popSession) close() {
	s.stop()
	s.conn.Close()
}

// login logs in to the seeded account.
func (s *popSession) login() error {
	if _, err := s.command("USER " + userName(0) + "@" + domain); err != nil {
		return err
	}
	_, err := s.command("PASS " + password)
	return err
}

// command returns the first line of the reply, good until the next one.
func (s *popSession) command(line string) ([]byte, error) {
	if _, err := io.WriteString(s.conn, line+"\r\n"); err != nil {
		return nil, err
	}
	return s.reply()
}

func (s *popSession) reply() ([]byte, error) {
	line, err := s.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if line[0] != '+' {
		return nil, fmt.Errorf("POP3: refused: %q", line)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}
