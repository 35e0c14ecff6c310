package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A Password says how the password of an account, or of a row of smtpauth.tab, is stored.
type Password struct {
	File   string // mailusers.tab or smtpauth.tab
	Line   int
	Name   string // user@domain, or the name in smtpauth.tab
	Scheme string // of package auth; "" where it cannot be read
}

// Old reports whether who reads the table knows the password, so that it is one to be
// stored anew.
func (p Password) Old() bool { return p.Scheme == auth.Reversible || p.Scheme == auth.ClearText }

// Passwords returns how the passwords in the MailRoot at dir are stored by which somebody
// can log in to SMTP or POP3, in the order of the tables. Accounts without a password are
// left out. The error is that of a MailRoot that cannot be read.
func Passwords(ctx context.Context, dir string) ([]Password, error) {
	var all []Password
	users, err := lines(ctx, dir, mailroot.UsersTab, 6, func(f []string) (Password, bool) {
		return Password{Name: f[1] + "@" + f[0], Scheme: auth.Scheme(f[2])}, f[2] != ""
	})
	if err != nil {
		return nil, err
	}
	all = append(all, users...)
	logins, err := lines(ctx, dir, mailroot.SMTPAuthTab, 3, func(f []string) (Password, bool) {
		return Password{Name: f[0], Scheme: auth.LoginScheme(f[1])}, f[1] != ""
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return append(all, logins...), nil
}

func lines(ctx context.Context, dir, file string, columns int, read func([]string) (Password, bool)) ([]Password, error) {
	content, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return nil, fmt.Errorf("passwords of %s: %w", dir, err)
	}
	var all []Password
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		if number%1000 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		line = tabfile.TrimEnd(line)
		if line == "" || tabfile.IsComment(line) {
			continue
		}
		f := tabfile.Split(line)
		if len(f) < columns {
			continue
		}
		if p, ok := read(f); ok {
			p.File, p.Line = file, number
			all = append(all, p)
		}
	}
	return all, nil
}
