package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrNoService is the error of a recording that needs a service which the target
// does not have.
var ErrNoService = errors.New("the target has no such service")

// A Target is the server that recordings are played to.
type Target interface {
	// Fresh starts a server on a new MailRoot, in which files were written
	// before. A server that ran is stopped.
	Fresh(files []NewFile) error

	// Restart stops the server, writes files and starts it on the same MailRoot.
	Restart(files []NewFile) error

	Addr() string // of the control port

	// ServiceAddr is where "smtp", "pop3" or "finger" listens; empty: nowhere.
	ServiceAddr(name string) string

	Dir() string // the MailRoot
}

// A Reporter takes what did not come as recorded; *testing.T is one.
type Reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// Run plays the file to the target and reports each difference with file and
// line. The error is for what makes the rest of the file meaningless.
func (f *File) Run(ctx context.Context, target Target, report Reporter) error {
	report.Helper()
	r := runner{ctx: ctx, file: f, target: target, report: report}
	defer r.hangUp()
	for _, step := range f.Steps {
		if err := r.step(step); err != nil {
			return fmt.Errorf("%s:%d: %w", f.Name, step.Line, err)
		}
	}
	return nil
}

type runner struct {
	ctx    context.Context
	file   *File
	target Target
	report Reporter

	service *service // nil: lines go to the control port
	left    *service // by Ctrl
	client  *client
	login   *Conn  // still to be sent, after the go-ahead for TLS
	command string // the latest, in lower case
	upload  *Step  // still to be sent, after +00101
}

func (r *runner) hangUp() {
	r.leave()
	r.disconnect()
}

// disconnect ends the control connection.
func (r *runner) disconnect() {
	if r.client != nil {
		r.client.close()
	}
	r.client, r.login, r.upload, r.command = nil, nil, nil, ""
}

// leave ends the session at a service.
func (r *runner) leave() {
	for _, s := range []*service{r.service, r.left} {
		if s != nil {
			s.close()
		}
	}
	r.service, r.left = nil, nil
}

func (r *runner) errorf(line int, format string, args ...any) {
	r.report.Helper()
	r.report.Errorf("%s:%d: %s", r.file.Name, line, fmt.Sprintf(format, args...))
}

func (r *runner) step(s Step) error {
	r.report.Helper()
	switch s.Op {
	case Fresh:
		r.hangUp()
		return r.target.Fresh(s.Files)
	case Restart:
		r.hangUp()
		return r.target.Restart(s.Files)
	case Connect:
		r.hangUp()
		return r.connect(s.Conn)
	case Send:
		switch {
		case r.service == nil:
			return r.send(s)
		case r.service.name == "finger":
			return r.finger(s)
		}
		return r.service.send(s)
	case Reply:
		if r.service != nil {
			return r.serviceReply(s)
		}
		return r.reply(s)
	case Cat:
		r.cat(s)
	case Tree:
		r.tree(s)
	case None:
		if _, err := os.Lstat(r.path(s.Text)); !errors.Is(err, fs.ErrNotExist) {
			r.errorf(s.Line, "%s is there, want nothing", s.Text)
		}
	case Ctrl:
		if r.service != nil {
			r.service, r.left = nil, r.service
		}
	case Back:
		if r.left == nil {
			return errors.New("no session was left")
		}
		r.service, r.left = r.left, nil
	case Service:
		r.leave()
		var err error
		r.service, err = dialService(r.ctx, s.Text, r.target.ServiceAddr(s.Text))
		return err
	case Wait:
		return r.wait(s)
	default:
		return fmt.Errorf("step %d is unknown", s.Op)
	}
	return nil
}

func (r *runner) connect(conn Conn) error {
	c, err := dial(r.ctx, r.target.Addr())
	if err != nil {
		return err
	}
	r.client = c
	switch {
	case conn.TLS:
		r.login = &conn
		return c.writeLine("#!TLS")
	case conn.NoAuth, c.token == "":
		return nil
	default:
		r.command = "login"
		return c.login(conn)
	}
}

// send sends a command line, in a new session where none is open.
func (r *runner) send(s Step) error {
	if len(s.Rows) > 0 {
		return errors.New("rows without a status before them")
	}
	if r.client == nil || r.client.closed {
		r.disconnect()
		if err := r.connect(Conn{User: DefaultUser, Pass: DefaultPass}); err != nil {
			return err
		}
		status, err := r.client.readLine()
		if err != nil {
			return fmt.Errorf("logging in: %w", err)
		}
		if !strings.HasPrefix(status, "+00000") {
			return fmt.Errorf("logging in: %q", status)
		}
	}
	command, _, _ := strings.Cut(s.Text, "\t")
	r.command = strings.ToLower(strings.Trim(command, `"`))
	r.upload = nil
	if s.End || len(s.Upload) > 0 {
		r.upload = &s
	}
	return r.client.writeLine(s.Text)
}

func (r *runner) reply(s Step) error {
	r.report.Helper()
	if r.client == nil {
		return errors.New("a reply without a connection")
	}
	line, err := r.client.readLine()
	if s.Text == EOF {
		switch {
		case err == nil:
			r.errorf(s.Line, "want the connection closed\n got %s", Escape(line))
		case errors.Is(err, os.ErrDeadlineExceeded):
			r.errorf(s.Line, "want the connection closed, it stays open")
		}
		r.hangUp()
		return nil
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the server closed the connection")
		}
		return fmt.Errorf("want %s: %w", s.Text, err)
	}
	var rows []string
	if strings.HasPrefix(line, "+00100") {
		if rows, err = r.client.readList(); err != nil {
			return err
		}
	}
	got := line[:min(len(line), 6)]
	if got != s.Text || !strings.HasPrefix(line[len(got):], " ") {
		r.errorf(s.Line, "%s: want %s\n got %s", r.command, s.Text, Escape(line))
	} else if len(rows) > 0 || len(s.Rows) > 0 {
		r.compareList(s, rows)
	}
	if got != s.Text && (got == "+00101" || s.Text == "+00101") {
		return errors.New("an upload on one side only: the replies that follow mean nothing")
	}
	return r.after(got)
}

// after does what follows a status: the upload, the handshake, the login.
func (r *runner) after(status string) error {
	switch {
	case r.upload != nil:
		up := r.upload
		r.upload = nil
		if status != "+00101" {
			return nil
		}
		for _, line := range up.Upload {
			if err := r.client.writeLine(line); err != nil {
				return err
			}
		}
		if up.End {
			return r.client.writeLine(".")
		}
	case r.login != nil:
		conn := *r.login
		r.login = nil
		if status != "+00000" {
			return nil
		}
		if err := r.client.startTLS(r.ctx); err != nil {
			return err
		}
		if !conn.NoAuth {
			r.command = "login"
			return r.client.login(conn)
		}
	case r.command == "quit" && status == "+00000", r.command == "login" && status[0] == '-':
		if line, err := r.client.readLine(); err == nil {
			return fmt.Errorf("the server says %q where it should have closed the connection", line)
		}
		r.client.close()
	}
	return nil
}

func (r *runner) compareList(s Step, rows []string) {
	r.report.Helper()
	want := s.Rows
	if r.command == "filelist" || r.command == "custdomlist" {
		rows = slices.Sorted(slices.Values(rows))
		want = slices.SortedFunc(slices.Values(want), func(a, b Row) int { return strings.Compare(a.Text, b.Text) })
	}
	if s.Open && len(rows) > len(want) {
		rows = rows[:len(want)]
	}
	r.compare(s.Line, r.command, want, rows, sameRow)
}

// sameRow compares rows of a list. The time of the last login is never that of
// the recording.
func sameRow(want Row, got string) bool {
	const varies = "\"LastLoginTimeDate\"\t"
	switch {
	case want.Pattern:
		return matches(want.Text, got)
	case strings.HasPrefix(want.Text, varies):
		return strings.HasPrefix(got, varies)
	}
	return want.Text == got
}

// matches reports whether s is pattern with something for each * in it.
func matches(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	last := parts[len(parts)-1]
	s, ok := strings.CutPrefix(s, parts[0])
	if len(parts) == 1 {
		return ok && s == ""
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(s, part)
		s, ok = after, ok && found
	}
	return ok && strings.HasSuffix(s, last)
}

func (r *runner) compare(line int, what string, want []Row, got []string, same func(want Row, got string) bool) {
	r.report.Helper()
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(want):
			r.errorf(line, "%s: want %d rows\n got another: %s", what, len(want), Escape(got[i]))
		case i >= len(got):
			r.errorf(want[i].Line, "%s: want %s\n got no row", what, Escape(want[i].Text))
		case !same(want[i], got[i]):
			r.errorf(want[i].Line, "%s: want %s\n got %s", what, Escape(want[i].Text), Escape(got[i]))
		}
	}
}

func sameText(want Row, got string) bool { return want.Text == got }

func (r *runner) path(rel string) string {
	return filepath.Join(r.target.Dir(), filepath.FromSlash(rel))
}

func (r *runner) cat(s Step) {
	r.report.Helper()
	content, err := os.ReadFile(r.path(s.Text))
	if err != nil {
		r.errorf(s.Line, "cat %s: %v", s.Text, err)
		return
	}
	var lines []string
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	r.compare(s.Line, s.Text, s.Rows, lines, sameText)
}

func (r *runner) tree(s Step) {
	r.report.Helper()
	root := r.path(s.Text)
	var names []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if d.IsDir() {
			name += "/"
		}
		names = append(names, name)
		return nil
	})
	if err != nil {
		r.errorf(s.Line, "tree %s: %v", s.Text, err)
		return
	}
	slices.Sort(names)
	want := slices.SortedFunc(slices.Values(s.Rows), func(a, b Row) int { return strings.Compare(a.Text, b.Text) })
	r.compare(s.Line, s.Text, want, names, sameText)
}

// Apply makes the changes of files in a MailRoot whose server does not run.
func Apply(dir string, files []NewFile) error {
	for _, file := range files {
		path := filepath.Join(dir, filepath.FromSlash(file.Path))
		if file.Remove {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, file.Content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
