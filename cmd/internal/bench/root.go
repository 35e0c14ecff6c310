package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// The domain of every MailRoot here, and the password of the accounts that are seeded.
const (
	domain   = "example.test"
	password = "benchpw"
)

// A root is a MailRoot, and who administers it.
type root struct {
	dir            string
	user, password string // of the control port
}

// root makes a MailRoot as xmaild init does, with accounts that are stored reversibly.
// vars are names and values for server.tab, which win over its own.
func (e *env) root(ctx context.Context, vars ...string) (*root, error) {
	parent, err := e.mkdir("root")
	if err != nil {
		return nil, err
	}
	r := &root{dir: filepath.Join(parent, "MailRoot")}
	out, err := exec.CommandContext(ctx, e.progs.xmaild, "init", "--domain", domain, r.dir).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("xmaild init: %w\n%s", err, out)
	}
	m := regexp.MustCompile(`administrator +(\S+) +password (\S+)`).FindSubmatch(out)
	if m == nil {
		return nil, fmt.Errorf("xmaild init names no administrator:\n%s", out)
	}
	r.user, r.password = string(m[1]), string(m[2])
	name := filepath.Join(r.dir, "server.tab")
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var rows []byte
	for vars = append(vars, "PasswordScheme", "reversible"); len(vars) > 1; vars = vars[2:] {
		rows = fmt.Appendf(rows, "%q\t%q\n", vars[0], vars[1])
	}
	return r, os.WriteFile(name, append(rows, content...), 0o600)
}

// path is that of a file of the MailRoot.
func (r *root) path(name string) string { return filepath.Join(r.dir, filepath.FromSlash(name)) }

// seed appends rows to a table while no server runs: row appends number i to b, without
// the end of the line.
func (r *root) seed(table string, rows int, row func(b []byte, i int) []byte) error {
	f, err := os.OpenFile(r.path(table), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<16)
	var line []byte
	for i := range rows {
		line = append(row(line[:0], i), '\n')
		if _, err := w.Write(line); err != nil {
			break // Flush says it again
		}
	}
	err = w.Flush()
	// What the seed left to be written is not to be a burden for what is measured.
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// userName is the name of seeded account i.
func userName(i int) string { return string(appendUserName(nil, i)) }

func appendUserName(b []byte, i int) []byte {
	b = append(b, "user"...)
	for limit := 1_000_000; limit > i && limit > 1; limit /= 10 {
		b = append(b, '0')
	}
	return strconv.AppendInt(b, int64(i), 10)
}

// seedUsers adds accounts without folders.
func (r *root) seedUsers(count int) error {
	stored := stored()
	return r.seed("mailusers.tab", count, func(b []byte, i int) []byte {
		b = append(b, `"`+domain+"\"\t\""...)
		b = appendUserName(b, i)
		b = append(b, "\"\t\""+stored+"\"\t"...)
		b = strconv.AppendInt(b, int64(i+2), 10)
		b = append(b, "\t\""...)
		b = appendUserName(b, i)
		return append(b, "\"\t\"U\""...)
	})
}

// folders are those of an account, the one that holds the others first.
func folders(account string) []string {
	maildir := filepath.Join(account, "Maildir")
	return []string{account, maildir, filepath.Join(maildir, "tmp"), filepath.Join(maildir, "new"), filepath.Join(maildir, "cur")}
}

// seedMailboxes makes the folders of the first seeded accounts.
func (r *root) seedMailboxes(count int) error {
	for i := range count {
		if err := makeAccount(r.path("domains/"+domain+"/"+userName(i)), false); err != nil {
			return err
		}
	}
	return nil
}
