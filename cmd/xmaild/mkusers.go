package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/obs"
)

// mkusers are the options of MkUsers (docs/reference/tables.md 8.2).
type mkusers struct {
	auto       int    // -a: how many to make up; 0: they are read
	domain     string // -d
	prefix     string // -u
	file       string // -f; empty: standard input
	root       string // -r
	size       int    // -s: MaxMBSize, KB
	id         bool   // -i was given
	maildir    bool   // -m
	addDomains bool
}

// A newUser is an account that is to be made.
type newUser struct {
	line                   int // 0: made up
	domain, name, password string
	realName, homePage     string
	err                    error // why the line is none
}

func (p *program) mkusersCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "mkusers [options]",
		Short: "Make many accounts in a MailRoot that no server holds",
		Long: `Makes accounts in a MailRoot while no server runs on it, all in one transaction,
from lines

  domain;username;password;real-name;homepage

of which the last two may be missing. Lines that begin with # are comments. An
account that cannot be made is reported and left out. On a server that runs use
"ctrlclnt import users". The options are those of MkUsers of XMail:

  -a N        make up N accounts PREFIX1, PREFIX2 …, the password being the name
  -d DOMAIN   their domain (mkuser.net)
  -u PREFIX   their prefix (mkuser)
  -f FILE     read the lines from FILE in place of standard input
  -r DIR      the MailRoot (default MAIL_ROOT, then the current folder)
  -s KB       limit of the mailboxes, MaxMBSize (10000; 0 is none)
  -i ID       accepted; accounts get the numbers after those in the table
  -m          Maildir folders (default: as the other accounts there have)
  --add-domains  handle domains that are not there yet
  -h          this help

The exit status is 1 where an account could not be made.`,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			m := mkusers{domain: "mkuser.net", prefix: "mkuser", size: 10000, root: p.getenv("MAIL_ROOT")}
			help, err := m.parse(args)
			switch {
			case err != nil:
				return usageError{fmt.Errorf("mkusers: %w", err)}
			case help:
				return c.Help()
			}
			return p.mkusers(c.Context(), &m, c.InOrStdin())
		},
	}
}

// parse reads the options as the reference does: of a word with a dash only the next
// letter counts, and other words are ignored.
func (m *mkusers) parse(args []string) (help bool, err error) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--add-domains" {
			m.addDomains = true
			continue
		}
		if a == "--help" {
			return true, nil
		}
		if len(a) < 2 || a[0] != '-' {
			continue
		}
		switch a[1] {
		case 'm':
			m.maildir = true
			continue
		case 'h':
			return true, nil
		}
		if !strings.ContainsRune("adufrsi", rune(a[1])) {
			return false, fmt.Errorf("unknown option %q", a)
		}
		if i++; i == len(args) {
			return false, fmt.Errorf("option %s needs a value", a)
		}
		v := args[i]
		switch a[1] {
		case 'a':
			m.auto, err = number(v, 1)
		case 'd':
			m.domain = v
		case 'u':
			m.prefix = v
		case 'f':
			m.file = v
		case 'r':
			m.root = v
		case 's':
			m.size, err = number(v, 0)
		case 'i':
			_, err = number(v, 0)
			m.id = true
		}
		if err != nil {
			return false, fmt.Errorf("option %s: %w", a, err)
		}
	}
	return false, nil
}

func number(s string, least int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < least {
		return 0, fmt.Errorf("%q is no number from %d", s, least)
	}
	return n, nil
}

// mkusers makes the accounts.
func (p *program) mkusers(ctx context.Context, m *mkusers, in io.Reader) error {
	users, err := m.users(in)
	if err != nil {
		return err
	}
	dir := m.root
	if dir == "" {
		dir = "."
	}
	// So that a mistake does not make a lock where there is nothing to lock.
	if _, err := os.Stat(filepath.Join(dir, mailroot.UsersTab)); err != nil {
		return fmt.Errorf("mkusers: %s is no MailRoot: %w", dir, err)
	}
	root, err := mailroot.Open(ctx, dir, mailroot.Options{Log: obs.NewLog(p.stderr, false)})
	if err != nil {
		return fmt.Errorf("mkusers: %w", err)
	}
	made, failed, err := p.makeUsers(ctx, m, root, users)
	if e := root.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("mkusers: %w", err)
	}
	if m.id {
		fmt.Fprintln(p.stderr, "xmaild mkusers: -i is not needed: accounts have the numbers after those that were there")
	}
	p.printf("%d accounts made, %d failed\n", made, failed)
	if failed > 0 {
		return status(exitFailed)
	}
	return nil
}

// users returns the accounts to make.
func (m *mkusers) users(in io.Reader) ([]newUser, error) {
	var users []newUser
	if m.auto > 0 {
		for i := 1; i <= m.auto; i++ {
			name := m.prefix + strconv.Itoa(i)
			users = append(users, newUser{
				domain: m.domain, name: name, password: name, realName: name,
				homePage: "http://www." + m.domain + "/~" + name,
			})
		}
		return users, nil
	}
	if m.file != "" {
		f, err := os.Open(m.file)
		if err != nil {
			return nil, fmt.Errorf("mkusers: %w", err)
		}
		defer f.Close()
		in = f
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := lines.Bytes()
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		text := strings.TrimRight(string(line), "\r")
		if strings.TrimSpace(text) == "" || text[0] == '#' {
			continue
		}
		fields := append(strings.Split(text, ";"), "", "")
		u := newUser{line: n, domain: fields[0]}
		if len(fields) < 3+2 {
			u.err = errors.New("want domain;username;password;real-name;homepage")
		} else {
			u.name, u.password, u.realName, u.homePage = fields[1], fields[2], fields[3], fields[4]
		}
		users = append(users, u)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("mkusers: read the accounts: %w", err)
	}
	return users, nil
}

// makeUsers makes the accounts that can be made, in one transaction.
func (p *program) makeUsers(ctx context.Context, m *mkusers, root *mailroot.Root, users []newUser) (made, failed int, err error) {
	service := admin.New(root, admin.Options{Plain: !m.maildir && usesPlain(root)})
	var missing []string
	if m.addDomains {
		seen := map[string]bool{}
		for _, u := range users {
			if u.err == nil && !seen[u.domain] && !root.IsDomain(u.domain) {
				seen[u.domain] = true
				missing = append(missing, u.domain)
			}
		}
	}
	steps := make([]func(*admin.Service) error, 0, len(missing)+len(users))
	for _, d := range missing {
		steps = append(steps, func(s *admin.Service) error { return s.DomainAdd(ctx, d) })
	}
	for _, u := range users {
		steps = append(steps, func(s *admin.Service) error { return u.make(ctx, s, m.size) })
	}
	step := func(s *admin.Service, i int) error { return steps[i](s) }
	refused, err := service.CheckBatch(ctx, len(steps), step)
	if err != nil {
		return 0, 0, err
	}
	var good []func(*admin.Service) error
	for i, err := range refused {
		switch {
		case err == nil:
			good = append(good, steps[i])
		case i < len(missing):
			fmt.Fprintf(p.stderr, "error creating %s : %v\n", missing[i], err)
		default:
			u := users[i-len(missing)]
			if u.err == nil && !m.addDomains && !root.Handled(u.domain) {
				err = fmt.Errorf("%w (--add-domains adds it)", err)
			}
			fmt.Fprintf(p.stderr, "%serror creating %s@%s : %v\n", u.where(), u.name, u.domain, err)
			failed++
		}
	}
	if len(good) == 0 {
		return 0, failed, nil
	}
	at, err := service.Batch(ctx, len(good), func(s *admin.Service, i int) error { return good[i](s) })
	if err != nil {
		return 0, failed, fmt.Errorf("nothing was done, since account %d could not be made: %w", at+1, err)
	}
	return len(users) - failed, failed, nil
}

// where is the line of an account, for messages.
func (u newUser) where() string {
	if u.line == 0 {
		return ""
	}
	return fmt.Sprintf("line %d: ", u.line)
}

// make makes an account with its variables.
func (u newUser) make(ctx context.Context, s *admin.Service, size int) error {
	if u.err != nil {
		return u.err
	}
	if err := s.UserAdd(ctx, u.domain, u.name, u.password, "U"); err != nil {
		return err
	}
	settings := []admin.Setting{{Name: "MaxMBSize", Value: strconv.Itoa(size)}}
	if u.realName != "" {
		settings = append(settings, admin.Setting{Name: "RealName", Value: u.realName})
	}
	if u.homePage != "" {
		settings = append(settings, admin.Setting{Name: "HomePage", Value: u.homePage})
	}
	return s.SetUserVars(ctx, u.domain, u.name, settings...)
}

// usesPlain reports whether the accounts of a MailRoot have mailbox folders and no Maildirs.
func usesPlain(root *mailroot.Root) bool {
	for u := range root.Users() {
		dir, err := u.Path()
		if err != nil || u.IsList() {
			continue
		}
		if _, err := root.Stat(dir + "/Maildir"); err == nil {
			return false
		}
		if _, err := root.Stat(dir + "/mailbox"); err == nil {
			return true
		}
	}
	return false
}
