package mailroot

import (
	"iter"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// SMTPAuthTab has the names by which programs log in to SMTP that have no
// account (docs/reference/tables.md 3.12).
const SMTPAuthTab = "smtpauth.tab"

// An SMTPLogin may log in to SMTP without an account. Its name and its password
// are compared as they are; the table has the password in clear, since the
// reference reads it so.
type SMTPLogin struct {
	Name, Password string
	Perms          string // letters: M send, R relay, V VRFY, T ETRN, Z any size, S without TLS
	Row            tabfile.Row
}

func smtpAuthSchema() *tabfile.Schema {
	return &tabfile.Schema{Columns: 3, Indexes: []tabfile.Index{
		{Name: "name", Key: func(f []string) (string, bool) { return f[0], true }},
	}}
}

func parseSMTPLogin(row tabfile.Row) SMTPLogin {
	f := row.Fields()
	return SMTPLogin{Name: f[0], Password: f[1], Perms: f[2], Row: row}
}

// SMTPLogins returns the rows of smtpauth.tab in file order.
func (t Tables) SMTPLogins() iter.Seq[SMTPLogin] {
	return typed(t.table(SMTPAuthTab).Rows(), parseSMTPLogin)
}

// SMTPLoginsNamed returns the rows of a name. The first one counts.
func (t Tables) SMTPLoginsNamed(name string) iter.Seq[SMTPLogin] {
	return typed(t.table(SMTPAuthTab).All("name", name), parseSMTPLogin)
}
