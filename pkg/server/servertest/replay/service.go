package replay

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// service is a session at a service other than the control port.
type service struct {
	*client
	name      string
	challenge string // of the latest reply, or of the greeting, decoded
	upload    *Step  // still to be sent, after 354
	command   string // the latest, with the words after it
	greeted   bool   // the greeting has been read
}

func dialService(ctx context.Context, name, addr string) (*service, error) {
	if addr == "" {
		return nil, fmt.Errorf("%s: %w", name, ErrNoService)
	}
	d := net.Dialer{Timeout: patience}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &service{client: &client{conn: conn, r: bufio.NewReader(conn)}, name: name}, nil
}

// send sends a line with credentials filled in.
func (s *service) send(step Step) error {
	line, err := s.fill(step.Text)
	if err != nil {
		return err
	}
	s.upload = nil
	if step.End || len(step.Upload) > 0 {
		s.upload = &step
	}
	s.command = line
	return s.writeLine(line)
}

// fill puts credentials in the place of {plain U P} and its like.
func (s *service) fill(line string) (string, error) {
	open, end := strings.Index(line, "{"), strings.LastIndex(line, "}")
	if open < 0 || end < open {
		return line, nil
	}
	words := strings.Fields(line[open+1 : end])
	if len(words) == 0 {
		return line, nil
	}
	word := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	filled := ""
	switch words[0] {
	case "plain":
		filled = encode("\x00" + word(1) + "\x00" + word(2))
	case "b64":
		filled = encode(strings.TrimPrefix(line[open+1:end], "b64 "))
	case "cram":
		mac := hmac.New(md5.New, []byte(word(2)))
		mac.Write([]byte(s.challenge))
		filled = encode(word(1) + " " + hex.EncodeToString(mac.Sum(nil)))
	case "apop":
		sum := md5.Sum([]byte(s.challenge + word(2)))
		filled = word(1) + " " + hex.EncodeToString(sum[:])
	default:
		return "", fmt.Errorf("unknown credentials %q", line[open:end+1])
	}
	return line[:open] + filled + line[end+1:], nil
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// reply reads one reply: what counts of it, and the rows that came with it.
func (s *service) reply() (status string, rows []string, err error) {
	if s.name == "smtp" {
		return s.smtpReply()
	}
	line, err := s.readLine()
	if err != nil {
		return "", nil, err
	}
	status, _, _ = strings.Cut(line, " ")
	if !s.greeted {
		s.greeted = true
		if open, end := strings.Index(line, "<"), strings.Index(line, ">"); open >= 0 && end > open {
			s.challenge = line[open : end+1]
		}
		return status, nil, nil
	}
	words := strings.Fields(strings.ToUpper(s.command))
	if status != "+OK" || len(words) == 0 {
		return status, nil, nil
	}
	switch many := words[0]; {
	case many == "RETR", many == "TOP", many == "CAPA", (many == "LIST" || many == "UIDL") && len(words) == 1:
		rows, err = s.readList()
	}
	return status, rows, err
}

func (s *service) smtpReply() (status string, rows []string, err error) {
	for {
		line, err := s.readLine()
		if err != nil {
			return "", rows, err
		}
		if len(line) < 3 || strings.Trim(line[:3], "0123456789") != "" || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
			return "", rows, fmt.Errorf("%q is no reply of SMTP", line)
		}
		rows = append(rows, line[min(len(line), 4):])
		if len(line) > 3 && line[3] == '-' {
			continue
		}
		if text, err := base64.StdEncoding.DecodeString(line[min(len(line), 4):]); err == nil && line[:3] == "334" {
			s.challenge = string(text)
		}
		return line[:3], rows, nil
	}
}

// same reports whether a reply is of the class that was recorded.
func (s *service) same(want, got string) bool {
	if s.name == "smtp" {
		return want != "" && got != "" && want[0] == got[0]
	}
	return want == got
}

// serviceReply expects a reply of the service.
func (r *runner) serviceReply(step Step) error {
	r.report.Helper()
	s := r.service
	got, rows, err := s.reply()
	if step.Text == EOF {
		switch {
		case err == nil:
			r.errorf(step.Line, "want the connection closed\n got %s", Escape(got))
		case !errors.Is(err, io.EOF):
			return err
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: want %s: %w", Escape(s.command), step.Text, err)
	}
	if !s.same(step.Text, got) {
		r.errorf(step.Line, "%s: want %s\n got %s %s", Escape(s.command), step.Text, got, Escape(strings.Join(rows, " | ")))
	}
	if len(step.Rows) > 0 {
		r.compareList(step, rows)
	}
	up := s.upload
	s.upload = nil
	if up == nil || got != "354" {
		return nil
	}
	for _, line := range up.Upload {
		if err := s.writeLine(line); err != nil {
			return err
		}
	}
	if up.End {
		return s.writeLine(".")
	}
	return nil
}

// finger sends a query and expects lines until the end.
func (r *runner) finger(step Step) error {
	r.report.Helper()
	s := r.service
	// A server that does not let us in may have closed already.
	if err := s.writeLine(step.Text); err != nil && len(step.Rows) > 0 {
		return err
	}
	if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	text, err := io.ReadAll(s.r)
	if err != nil && (len(step.Rows) > 0 || os.IsTimeout(err)) {
		return err
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			got = append(got, line)
		}
	}
	want := slices.DeleteFunc(slices.Clone(step.Rows), func(row Row) bool { return row.Text == "" })
	r.compare(step.Line, "finger "+step.Text, want, got, sameRow)
	return nil
}

// waitTime is how long the files of a Wait may take to come.
const waitTime = 30 * time.Second

// wait waits for files in a folder.
func (r *runner) wait(step Step) error {
	r.report.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, waitTime)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	n := 0
	for {
		entries, err := os.ReadDir(r.path(step.Text))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if n = len(entries); n >= step.Count {
			break
		}
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		break
	}
	if r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	want := strconv.Itoa(step.Count)
	if len(step.Rows) > 0 {
		want = step.Rows[0].Text
	}
	if got := strconv.Itoa(n); got != want {
		r.errorf(step.Line, "%s: want %s files\n got %s", step.Text, want, got)
	}
	return nil
}
