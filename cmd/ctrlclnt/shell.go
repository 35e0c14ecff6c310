package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"golang.org/x/term"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
)

func shellVerb() verb {
	return verb{
		name:  "shell",
		short: "Talk to the server, with history and completion",
		long: `Run commands of the server as they are typed, over one connection. The lines are
those of a batch. Lists are drawn as tables, unless -o says otherwise. TAB
completes commands, domains, users and other names that the server knows, and
shows the grammar of the command; the arrow keys bring lines back, which are
kept in memory only. "help [command]" helps, "exit" ends. An upload is read
from a file that is named last: usersetmproc example.org bob <FILE

Where standard input is no terminal, commands are read from it without a prompt.`,
		run: (*program).runShell,
	}
}

// A shell is one session with a person.
type shell struct {
	p      *program
	o      *options
	dialer ctrl.Dialer
	client *ctrl.Client
	known  []commands.Command // what the server knows, by name
	out    io.Writer
	screen *term.Terminal // nil where there is none
	exit   int            // of the first failure, where there is no person

	begun bool  // a transaction, which the server collects
	over  error // why one is not gone on with, until it is ended; nil: there is none
}

// Why a transaction is not gone on with. What follows of it would be done at once, and
// without what came before.
var (
	errGone    = errors.New("the connection in which the transaction began is lost, and nothing of it was done; rollback forgets it")
	errSpoiled = usagef("a line of the transaction was refused, so nothing of it is done; rollback forgets it")
)

func (p *program) runShell(o *options) int {
	dialer, err := p.dialer(o)
	if err != nil {
		return p.report(err, true, o)
	}
	s := &shell{p: p, o: o, dialer: dialer, out: p.stdout}
	return p.supervise(o, task{run: func(ctx context.Context, stopping <-chan struct{}) (bool, error) {
		if s.client, err = p.connect(ctx, o, dialer); err != nil {
			return true, err
		}
		defer func() {
			if s.client != nil {
				s.client.Close()
			}
		}()
		s.learn(ctx)
		if term.IsTerminal(int(p.stdin.Fd())) && term.IsTerminal(int(p.stdout.Fd())) {
			err = s.talk(ctx, stopping)
		} else {
			err = s.read(ctx)
		}
		if s.client != nil && err == nil {
			goodbye(s.client, o)
			s.client = nil
		}
		return false, err
	}})
}

// learn asks the server for its commands. XMail itself has no answer, and is not asked.
func (s *shell) learn(ctx context.Context) {
	s.known = commands.All()
	if strings.Contains(s.client.Greeting(), " CTRL Server;") {
		s.known = slices.DeleteFunc(s.known, func(c commands.Command) bool { return c.Ours })
		return
	}
	resp, err := s.client.Do(ctx, "help")
	if err != nil {
		return
	}
	var theirs []commands.Command
	for row, err := range resp.Rows() {
		if err != nil {
			return
		}
		if c, err := commands.ParseHelpRow(row); err == nil {
			theirs = append(theirs, c)
		}
	}
	if len(theirs) > 0 {
		s.known = theirs
	}
}

// lookup returns a command that the server knows.
func (s *shell) lookup(name string) (commands.Command, bool) {
	name = strings.ToLower(name)
	for _, c := range s.known {
		if c.Name == name {
			return c, true
		}
	}
	return commands.Lookup(name)
}

// read runs the lines of standard input.
func (s *shell) read(ctx context.Context) error {
	in := bufio.NewScanner(s.p.stdin)
	in.Buffer(nil, 1<<20)
	for n := 1; in.Scan(); n++ {
		more, err := s.line(ctx, in.Text())
		if local, ok := errors.AsType[*localError](err); ok && local.code == codeWriteFile {
			return err
		}
		if err != nil {
			if s.exit == 0 {
				s.exit = exitFailure
				if _, ok := errors.AsType[*usageError](err); !ok {
					s.exit = describe(err, false).exit
				}
			}
			fmt.Fprintf(s.p.stderr, "standard input:%d: %s\n", n, s.explain(err))
			s.spoil(ctx, err)
		}
		if !more {
			break
		}
	}
	if err := in.Err(); err != nil {
		return &localError{code: codeReadFile, info: "standard input: " + err.Error()}
	}
	if s.exit != 0 {
		return &toldError{s.exit}
	}
	return nil
}

// spoil ends a transaction of which a line could not be sent, as the server does where it
// refuses one itself: without that line it is not what it was meant to be.
func (s *shell) spoil(ctx context.Context, err error) {
	var usage *usageError
	var local *localError
	if s.begun && (errors.As(err, &usage) || errors.As(err, &local)) {
		s.run(ctx, []string{"rollback"})
		s.over = errSpoiled
	}
}

// talk runs what is typed. The terminal is in raw mode while a line is typed, and
// as it was before while a command runs, so that it can be interrupted.
func (s *shell) talk(ctx context.Context, stopping <-chan struct{}) error {
	fd := int(s.p.stdin.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return &localError{code: codeReadFile, info: "terminal: " + err.Error()}
	}
	var mu sync.Mutex // a signal may come at any time
	stopped := false
	restore := func(last bool) {
		mu.Lock()
		defer mu.Unlock()
		stopped = stopped || last
		term.Restore(fd, before)
	}
	raw := func() {
		mu.Lock()
		defer mu.Unlock()
		if !stopped {
			term.MakeRaw(fd)
		}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(done)
	defer restore(true)
	wg.Go(func() {
		select {
		case <-stopping:
			restore(true)
		case <-done:
		}
	})
	prompt := fmt.Sprintf("%s@%s> ", visible(s.o.user, false), visible(s.o.server.host, false))
	s.screen = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{s.p.stdin, s.p.stdout}, prompt)
	s.screen.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		return s.complete(ctx, line, pos)
	}
	for {
		raw()
		if w, h, err := term.GetSize(fd); err == nil && w > 0 {
			s.screen.SetSize(w, h)
		}
		line, err := s.screen.ReadLine()
		restore(false)
		switch {
		case err == io.EOF:
			fmt.Fprintln(s.p.stdout)
			return nil
		case err != nil && !errors.Is(err, term.ErrPasteIndicator):
			return &localError{code: codeReadFile, info: "terminal: " + err.Error()}
		}
		more, err := s.line(ctx, line)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			fmt.Fprintln(s.p.stdout, s.explain(err))
		}
		if !more {
			return nil
		}
	}
}

// explain says in a line what went wrong.
func (s *shell) explain(err error) string {
	var refused *ctrl.Error
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		return visible(usage.msg, false)
	case errors.As(err, &refused):
		return visible(refused.Error(), false)
	}
	f := describe(err, false)
	return phrases[f.code] + ": " + visible(f.info, false)
}

// line runs one line. more reports that it was not the last one.
func (s *shell) line(ctx context.Context, line string) (more bool, err error) {
	text := strings.TrimLeft(line, " \t")
	if text == "" || text[0] == '#' {
		return true, nil
	}
	words, err := splitLine(text)
	if err != nil {
		return true, usagef("%v", err)
	}
	if len(words) == 0 {
		return true, nil
	}
	switch strings.ToLower(words[0]) {
	case "exit", "quit":
		return false, nil
	case "help", "?":
		s.help(words[1:])
		return true, nil
	}
	return true, s.run(ctx, words)
}

// help prints the commands, or all about one.
func (s *shell) help(words []string) {
	if len(words) > 0 {
		if c, ok := s.lookup(words[0]); ok {
			var b bytes.Buffer
			writeCommandHelp(&b, "", c)
			fmt.Fprint(s.out, strings.Replace(b.String(), "\n   [options] ", "\n  ", 1))
			return
		}
		fmt.Fprintf(s.out, "The server has no command %s.\n", visible(words[0], false))
		return
	}
	for _, c := range s.known {
		fmt.Fprintf(s.out, "  %-16s %s\n", c.Name, firstSentence(c.Meaning))
	}
	fmt.Fprint(s.out, "  help COMMAND     All about a command\n  exit             End the session\n")
}

// run runs a command of the server.
func (s *shell) run(ctx context.Context, words []string) error {
	c, known := s.lookup(words[0])
	var content []byte
	if known && c.Kind == commands.Upload {
		last := words[len(words)-1]
		if !strings.HasPrefix(last, "<") || len(last) == 1 {
			return usagef("name the file to upload last: %s <FILE", c.Usage())
		}
		var err error
		if content, err = s.p.readUpload(&options{file: last[1:]}); err != nil {
			return err
		}
		words = words[:len(words)-1]
	}
	if known && !s.o.noCheck {
		if err := c.CheckArgs(words[1:]); err != nil {
			return usagef("%v", err)
		}
	}
	if _, err := ctrl.EncodeLine(words...); err != nil {
		return usagef("%v", err)
	}
	word := strings.ToLower(words[0])
	ends := word == "rollback" || word == "commit" && len(words) == 1
	if over := s.over; over != nil {
		if word == "begin" || ends {
			s.over = nil
		}
		switch word {
		case "begin": // anew
		case "rollback":
			return nil
		default:
			return over
		}
	}
	begun := s.begun
	err := s.exchange(ctx, words, c, known, content)
	// The server ended the session before this command came, as after a long rest.
	var e *ctrl.Error
	rested := errors.As(err, &e) && e.Code == ctrl.CodeTimeout
	if rested && !begun {
		err = s.exchange(ctx, words, c, known, content)
	}
	lost := s.client == nil
	s.begun = !lost && (begun && !ends || word == "begin" && err == nil)
	switch {
	case !lost || !begun:
	case word == "rollback":
		return nil
	case !ends:
		s.over = errGone
		return errGone
	case rested:
		return errGone
	}
	if errors.As(err, &e) && s.o.tolerated(words, e.Code) {
		return nil
	}
	return err
}

// exchange sends a command and shows the reply, over a new connection where the
// last one is gone.
func (s *shell) exchange(ctx context.Context, words []string, c commands.Command, known bool, content []byte) (err error) {
	if s.client == nil {
		if s.client, err = s.p.connect(ctx, s.o, s.dialer); err != nil {
			s.client = nil
			return err
		}
	}
	defer func() {
		var e *ctrl.Error
		if err != nil && (!errors.As(err, &e) || e.Code == ctrl.CodeTimeout || e.Code == ctrl.CodeShutdown) {
			s.client.Close()
			s.client = nil
		}
	}()
	if known && c.Kind == commands.Upload {
		return s.client.Upload(ctx, bytes.NewReader(content), words...)
	}
	resp, err := s.client.Do(ctx, words...)
	switch {
	case err != nil:
		return err
	case resp.Status == ctrl.StatusData:
		return fmt.Errorf("%s asks for an upload", words[0])
	case resp.Status == ctrl.StatusList:
		return s.list(resp, c, known)
	}
	if s.screen != nil {
		fmt.Fprintln(s.out, visible(resp.Text, false))
	}
	return nil
}

// list shows a list, for people as a table.
func (s *shell) list(resp *ctrl.Response, c commands.Command, known bool) error {
	o := *s.o
	if s.screen != nil && !o.formatSet && !(known && len(c.Rows) == 0) {
		o.format = formatTable
	}
	return s.p.printList(&o, resp, c, known, false)
}
