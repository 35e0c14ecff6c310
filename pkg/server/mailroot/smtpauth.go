package mailroot

import (
	"iter"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// SMTPAuthTab has the names by which programs log in to SMTP that have no
// account (docs/reference/tables.md 3.12).
const SMTPAuthTab = "smtpauth.tab"

// An SMTPLogin may log in to SMTP without an account. Its name and its password
// are compared as they are.
type SMTPLogin struct {
	Name   string
	Stored string // the password as the table has it: in clear, as the reference reads it, or a hash
	Perms  string // letters: M send, R relay, V VRFY, T ETRN, Z any size, S without TLS
	Row    tabfile.Row
}

func smtpAuthSchema() *tabfile.Schema {
	return &tabfile.Schema{
		Columns: 3,
		Check: func(f []string) error {
			_, err := auth.ParseLogin(f[1])
			return err
		},
		Indexes: []tabfile.Index{
			{Name: "name", Key: func(f []string) (string, bool) { return f[0], true }},
		},
		Counts: []tabfile.Index{
			schemeCount(func(f []string) string {
				if f[1] == "" {
					return ""
				}
				return auth.LoginScheme(f[1])
			}),
		},
	}
}

func parseSMTPLogin(row tabfile.Row) SMTPLogin {
	f := row.Fields()
	return SMTPLogin{Name: f[0], Stored: f[1], Perms: f[2], Row: row}
}

// Password returns the password of the login.
func (l SMTPLogin) Password() auth.Password {
	p, err := auth.ParseLogin(l.Stored)
	if err != nil {
		return auth.Nobody()
	}
	return p
}

// SMTPLogins returns the rows of smtpauth.tab in file order.
func (t Tables) SMTPLogins() iter.Seq[SMTPLogin] {
	return typed(t.table(SMTPAuthTab).Rows(), parseSMTPLogin)
}

// SMTPLoginsNamed returns the rows of a name. The first one counts.
func (t Tables) SMTPLoginsNamed(name string) iter.Seq[SMTPLogin] {
	return typed(t.table(SMTPAuthTab).All("name", name), parseSMTPLogin)
}
