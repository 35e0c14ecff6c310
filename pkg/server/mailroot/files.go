package mailroot

import (
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A Member is a subscriber of a mailing list (mlusers.tab).
type Member struct {
	Address string
	Perms   string // letters: R receives, W writes, A writes where authenticated
	Row     tabfile.Row
}

func memberSchema() *tabfile.Schema {
	return &tabfile.Schema{Columns: 1, Indexes: []tabfile.Index{byColumns("address", 0)}}
}

// parseMember gives RW to a row that has no permissions, as the reference does.
func parseMember(row tabfile.Row) Member {
	f := row.Fields()
	m := Member{Address: f[0], Perms: "RW", Row: row}
	if len(f) > 1 {
		m.Perms = f[1]
	}
	return m
}

// Members is the table of a mailing list's subscribers.
type Members struct{ v *tabfile.View }

// Members returns the subscribers of a list. They do not exist where the list's
// folder has no such table.
func (t Tables) Members(list User) (Members, error) {
	v, err := t.accountTable(list, MembersTab, membersSchema)
	return Members{v}, err
}

// Exists reports whether the table is there.
func (m Members) Exists() bool { return m.v.Exists() }

// All returns the subscribers in file order.
func (m Members) All() iter.Seq[Member] { return typed(m.v.Rows(), parseMember) }

// Named returns the rows of an address.
func (m Members) Named(address string) iter.Seq[Member] {
	return typed(m.v.All("address", key(address)), parseMember)
}

// A Variable is a setting of an account (user.tab, userdef.tab) or of the server.
type Variable struct {
	Name, Value string
	Row         tabfile.Row
}

func parseVariable(row tabfile.Row) Variable {
	f := row.Fields()
	return Variable{Name: f[0], Value: f[1], Row: row}
}

// Variables is a table of variables. Names are compared as they are; of several
// rows with one name the first one counts.
type Variables struct{ v *tabfile.View }

// UserVars returns the variables of an account.
func (t Tables) UserVars(u User) (Variables, error) {
	v, err := t.accountTable(u, UserTab, userVarsSchema)
	return Variables{v}, err
}

// UserDefaults returns the variables that new accounts of a domain get: those
// of the domain's own userdef.tab where there is one, else the server's.
func (t Tables) UserDefaults(domain string) (Variables, error) {
	dir, err := DomainDir(domain)
	if err != nil {
		return Variables{}, err
	}
	v, err := t.file(path.Join(dir, UserDefTab), userVarsSchema)
	if err != nil {
		return Variables{}, err
	}
	if !v.Exists() {
		v = t.table(UserDefTab)
	}
	return Variables{v}, nil
}

// Exists reports whether the table is there.
func (v Variables) Exists() bool { return v.v.Exists() }

// All returns the rows in file order.
func (v Variables) All() iter.Seq[Variable] { return typed(v.v.Rows(), parseVariable) }

// Named returns the rows of a variable.
func (v Variables) Named(name string) iter.Seq[Variable] {
	return typed(v.v.All("name", name), parseVariable)
}

// Lookup returns the value of a variable.
func (v Variables) Lookup(name string) (string, bool) {
	x, ok := first(v.v, "name", name, parseVariable)
	return x.Value, ok
}

// ChangeUserVars returns the user.tab of an account inside a transaction.
func (tx *Tx) ChangeUserVars(u User) (*tabfile.TxTable, error) {
	return tx.accountFile(u, UserTab, userVarsSchema)
}

// ChangeMembers returns the mlusers.tab of a list inside a transaction.
func (tx *Tx) ChangeMembers(list User) (*tabfile.TxTable, error) {
	return tx.accountFile(list, MembersTab, membersSchema)
}

func (tx *Tx) accountFile(u User, name string, schema *tabfile.Schema) (*tabfile.TxTable, error) {
	dir, err := u.Path()
	if err != nil {
		return nil, err
	}
	return tx.File(path.Join(dir, name), schema)
}

func (t Tables) accountTable(u User, name string, schema *tabfile.Schema) (*tabfile.View, error) {
	dir, err := u.Path()
	if err != nil {
		return nil, err
	}
	return t.file(path.Join(dir, name), schema)
}

// hooksDir holds a table of external programs for each domain.
const hooksDir = "userauth/pop3"

func hookSchema() *tabfile.Schema {
	return &tabfile.Schema{Columns: 2, Indexes: []tabfile.Index{byColumns("action", 0)}}
}

// Hook returns the program that is run for an action (useradd, useredit,
// userdel, domaindrop, userauth) on accounts of a domain, with its arguments,
// macros not expanded. The table of the domain decides where there is one, else
// the table for all. Nil means that there is none.
func (t Tables) Hook(domain, action string) ([]string, error) {
	return t.hook(action, domain)
}

// LoginHook returns the program that checks the passwords of a domain's POP3 logins
// (action userauth), with its arguments, macros not expanded. The table of the domain
// as it was typed decides where there is one, else that of the domain for which it
// stands, else the table for all. Nil means that there is none.
func (t Tables) LoginHook(typed string) ([]string, error) {
	return t.hook("userauth", typed, t.RealDomain(typed))
}

func (t Tables) hook(action string, domains ...string) ([]string, error) {
	var names []string
	for _, domain := range domains {
		if !IsComponent(domain) || !IsComponent(domain+".tab") {
			continue
		}
		for _, name := range []string{tabfile.Fold(domain), domain} {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	for _, name := range append(names, "") {
		v, err := t.lately(hooksDir+"/"+name+".tab", hooksSchema)
		if err != nil {
			return nil, err
		}
		if !v.Exists() {
			continue
		}
		if row, ok := v.First("action", key(action)); ok {
			return row.Fields()[1:], nil
		}
		return nil, nil
	}
	return nil, nil
}

// An Account may use the control port (ctrlaccounts.tab).
type Account struct {
	Name   string
	Stored string   // the password as the table has it
	Rights []string // the third column, which the reference does not read: a list with commas
	Row    tabfile.Row
}

func accountSchema() *tabfile.Schema {
	check := checkReversible(1)
	return &tabfile.Schema{Columns: 2, Keep: true, Indexes: []tabfile.Index{byColumns("name", 0)},
		Check: func(f []string) error {
			if f[1] == "" {
				return errNoPassword
			}
			return check(f)
		}}
}

func parseAccount(row tabfile.Row) Account {
	f := row.Fields()
	a := Account{Name: f[0], Stored: f[1], Row: row}
	if len(f) > 2 {
		a.Rights = strings.FieldsFunc(f[2], func(r rune) bool { return r == ',' || r == ' ' })
	}
	return a
}

// Password returns the account's password.
func (a Account) Password() auth.Password {
	p, err := auth.Parse(a.Stored)
	if err != nil {
		return auth.Nobody()
	}
	return p
}

// Account returns the first control account of that name.
func (t Tables) Account(name string) (Account, bool) {
	return first(t.table(AccountsTab), "name", key(name), parseAccount)
}
