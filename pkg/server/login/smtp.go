package login

import (
	"context"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// An Identity is who has logged in to SMTP.
type Identity struct {
	Name       string        // as the client gave it
	User       mailroot.User // where IsAccount
	IsAccount  bool
	Perms      string // letters: M send, R relay, V VRFY, T ETRN, Z any size, S without TLS
	MaxMessage int64  // bytes; 0: no limit; -1: not set, that of the server counts
}

// Address returns the address of the account, user@domain, and "" for who has none.
func (i Identity) Address() string {
	if !i.IsAccount {
		return ""
	}
	return i.User.Name + "@" + i.User.Domain
}

// SMTP returns who a client of SMTP AUTH is. Where smtpextauth.tab has a program for
// the mechanism it decides, and gives the permissions; else the name is that of an
// account, or one of smtpauth.tab. A disabled account cannot log in, whoever decides.
func (c *Checker) SMTP(ctx context.Context, cr Credentials) (Identity, error) {
	var i Identity
	err := c.attempt(ctx, cr, func(vars mailroot.ServerVars) (err error) {
		i, err = c.smtp(ctx, vars, cr)
		return err
	})
	if err != nil {
		return Identity{}, err
	}
	return i, nil
}

func (c *Checker) smtp(ctx context.Context, vars mailroot.ServerVars, cr Credentials) (Identity, error) {
	i := Identity{Name: cr.Name, MaxMessage: -1}
	if name, domain := Split(cr.Name); domain != "" && plain(cr.Name) {
		i.User, i.IsAccount = c.root.Login(domain, name)
	}
	by, granted, err := c.decide(ctx, vars, cr, i)
	if err != nil {
		return i, err
	}
	// Only now: a program may take its time, and the account be disabled meanwhile.
	var settings mailroot.Variables
	if i.IsAccount {
		if settings, err = c.root.UserVars(i.User); err != nil {
			return i, err
		}
	}
	switch {
	case by == byNone && !i.IsAccount:
		return i, refusal("no such account, or wrong password")
	case by == byNone:
		return i, refusal("wrong password")
	case i.IsAccount && settings.Disabled().On:
		return i, refusal("the account is disabled")
	case by == byAccount && i.User.IsList():
		return i, refusal("it is a mailing list")
	}
	i.Perms = granted
	if by == byAccount {
		i.Perms = perms(vars, settings)
		if !cr.digest() {
			c.upgrade(ctx, vars, i.User, cr.Password)
		}
	}
	if strings.Contains(i.Perms, "Z") {
		i.MaxMessage = 0
	}
	if by == byRow || i.IsAccount && i.User.IsList() {
		i.User, i.IsAccount = mailroot.User{}, false
	}
	if i.IsAccount {
		if kb, ok := settings.Lookup("MaxMessageSize"); ok {
			i.MaxMessage = max(int64(mailroot.Atoi(kb)), 0) << 10
		}
	}
	return i, nil
}

// What let somebody in.
const (
	byNone    = iota
	byAccount // the password of the account
	byRow     // a row of smtpauth.tab
	byProgram // of smtpextauth.tab
)

// decide finds out what lets a client in, with the permissions that a row or a program
// gives.
func (c *Checker) decide(ctx context.Context, vars mailroot.ServerVars, cr Credentials, i Identity) (by int, perms string, err error) {
	if words := c.externalAuth(cr.Mechanism); words != nil {
		good, perms, err := c.externalSMTP(ctx, words, cr)
		if !good || err != nil {
			return byNone, "", err
		}
		return byProgram, perms, nil
	}
	scheme := vars.Word(mailroot.VarPasswordScheme)
	var all []known
	if i.IsAccount {
		scheme = c.root.PasswordScheme(i.User.Domain)
		all = append(all, ofUser(i.User))
	}
	first := len(all)
	var rows []mailroot.SMTPLogin
	for l := range c.root.SMTPLoginsNamed(cr.Name) {
		rows = append(rows, l)
		all = append(all, known{l.Stored, l.Password()})
	}
	switch which, err := c.verify(ctx, vars, cr, scheme, all...); {
	case which < 0 || err != nil:
		return byNone, "", err
	case which < first:
		return byAccount, "", nil
	default:
		return byRow, letters(rows[which-first].Perms), nil
	}
}

// Perms returns the permissions that an account has in SMTP.
func (c *Checker) Perms(u mailroot.User) string {
	settings, err := c.root.UserVars(u)
	if err != nil {
		return ""
	}
	return perms(c.root.Vars(), settings)
}

// perms are those of the account, else those of the server, where old documents have
// the name of the account's variable for that of the server's.
func perms(vars mailroot.ServerVars, settings mailroot.Variables) string {
	if s, ok := settings.Lookup("SmtpPerms"); ok {
		return letters(s)
	}
	if _, ok := vars.Lookup("DefaultSmtpPerms"); !ok {
		if s, ok := vars.Lookup("SmtpPerms"); ok {
			return letters(s)
		}
	}
	return letters(vars.Value("DefaultSmtpPerms"))
}

// letters leaves out what is no permission.
func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("MRVTZS", r) {
			return r
		}
		return -1
	}, s)
}
