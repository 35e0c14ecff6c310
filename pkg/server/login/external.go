package login

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/program"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// external asks the program of a domain whether the password is right. It gets it on
// standard input too; of APOP that is the digest.
func (c *Checker) external(ctx context.Context, words []string, name, domain string, cr Credentials) (bool, error) {
	secret := cr.Password
	if cr.digest() {
		secret = cr.Response
	}
	if !plain(name) || !plain(domain) || !plain(secret) {
		return false, nil
	}
	words = program.Expand(words, map[string]string{"USER": name, "DOMAIN": domain, "PASSWD": secret, "PATH": ""})
	result, err := c.run(ctx, words, secret)
	return result.OK() && err == nil, err
}

// externalAuth returns the program of smtpextauth.tab for a mechanism, or nil.
func (c *Checker) externalAuth(mechanism string) []string {
	for a := range c.root.ExternalAuths() {
		if tabfile.EqualFold(a.Mechanism, mechanism) {
			return a.Program
		}
	}
	return nil
}

// responseFile is the name of the file in which a program gives permissions, and
// maxResponse how much of it is read.
const (
	responseFile = "response"
	maxResponse  = 16 << 10
)

// externalSMTP asks the program of smtpextauth.tab.
func (c *Checker) externalSMTP(ctx context.Context, words []string, cr Credentials) (good bool, perms string, err error) {
	if !plain(cr.Name) || !plain(cr.Password) || !plain(cr.Challenge) || !plain(cr.Response) {
		return false, "", nil
	}
	folder, err := program.NewFolder(c.o.TempDir, c.root.Dir)
	if err != nil {
		return false, "", err
	}
	defer func() {
		if e := folder.Remove(); e != nil {
			c.o.Log.Warn("the folder of a program stays", "err", e)
		}
	}()
	vars := map[string]string{"AUTH": cr.Mechanism, "USER": cr.Name, "PASS": cr.Password, "CHALL": "-", "DGEST": "-", "RFILE": folder.Path(responseFile)}
	input := cr.Password
	if cr.digest() {
		vars["PASS"], vars["CHALL"], vars["DGEST"] = "-", cr.Challenge, cr.Response
		input = cr.Response
	}
	result, err := c.run(ctx, program.Expand(words, vars), input)
	if err != nil || !result.OK() {
		return false, "", err
	}
	perms, err = readPerms(folder)
	if err != nil {
		c.o.Log.Warn("the response file of a program counts for nothing", "program", words[0], "err", err)
	}
	return true, perms, nil
}

// readPerms reads NAME=VALUE, one a line or with commas between them, of which Perms
// counts.
func readPerms(folder *program.Folder) (perms string, err error) {
	file, err := folder.Open(responseFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	text, err := io.ReadAll(io.LimitReader(file, maxResponse))
	if err != nil {
		return "", err
	}
	for item := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return strings.ContainsRune("\r\n,", r) }) {
		if name, value, ok := strings.Cut(item, "="); ok && strings.TrimSpace(name) == "Perms" {
			return letters(value), nil
		}
	}
	return "", nil
}

// failedToRun is the exit status that says so (docs/reference/services.md 0.9).
const failedToRun = 255

// run runs a program that checks a login. Its error is that it could not be asked.
func (c *Checker) run(ctx context.Context, words []string, input string) (program.Result, error) {
	select {
	case c.programs <- struct{}{}:
		defer func() { <-c.programs }()
	case <-ctx.Done():
		return program.Result{}, context.Cause(ctx)
	}
	result, err := program.Program{
		Path: words[0], Args: words[1:], Timeout: c.o.ProgramTimeout, Stdin: strings.NewReader(input + "\n"),
	}.Run(ctx)
	if err == nil && (result.Signal || result.Exit == failedToRun) {
		err = fmt.Errorf("%s: %v", words[0], result)
	}
	return result, err
}
