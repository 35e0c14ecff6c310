package mailroot

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strconv"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A User is an account (mailusers.tab).
type User struct {
	Domain, Name string
	Stored       string // the password as the table has it
	ID           uint64
	Dir          string // below the domain's folder; use [User.Path]
	Type         string // U: has a mailbox, M: a mailing list
	Row          tabfile.Row
}

func userSchema() *tabfile.Schema {
	return &tabfile.Schema{
		Columns: 6,
		Bare:    1 << 3,
		Keep:    true,
		Check: func(f []string) error {
			if _, err := strconv.ParseUint(f[3], 10, 64); err != nil {
				return errors.New("the account number is not a number")
			}
			return checkPassword(2)(f)
		},
		Indexes: []tabfile.Index{
			byColumns("name", 0, 1),
			{Name: "id", Key: func(f []string) (string, bool) {
				id, err := strconv.ParseUint(f[3], 10, 64)
				return idKey(id), err == nil
			}},
			// Of the folders that are not as the index of names has it.
			{Name: "dir", Key: func(f []string) (string, bool) {
				if f[4] == tabfile.Fold(f[1]) {
					return "", false
				}
				return tabfile.Fold(f[0]) + "\t" + f[4], true
			}},
			{Name: "list", Key: func(f []string) (string, bool) { return "", User{Type: f[5]}.IsList() }},
		},
		Counts: []tabfile.Index{
			schemeCount(func(f []string) string {
				if f[2] == "" || (User{Type: f[5]}).IsList() {
					return ""
				}
				return auth.Scheme(f[2])
			}),
		},
	}
}

// idKey orders numbers as texts: by their length, and then by their digits.
func idKey(id uint64) string {
	var room [24]byte
	key := strconv.AppendUint(room[:1], id, 10)
	key[0] = byte(len(key))
	return string(key)
}

func parseUser(row tabfile.Row) User {
	var room [8]string // so that a list costs no memory a row
	f := row.AppendFields(room[:0])
	id, _ := strconv.ParseUint(f[3], 10, 64) // a row that is readable has a number there
	return User{Domain: f[0], Name: f[1], Stored: f[2], ID: id, Dir: f[4], Type: f[5], Row: row}
}

// Fields returns the user as a row of mailusers.tab.
func (u User) Fields() []string {
	return []string{u.Domain, u.Name, u.Stored, strconv.FormatUint(u.ID, 10), u.Dir, u.Type}
}

// Password returns the user's password.
func (u User) Password() auth.Password {
	p, err := auth.Parse(u.Stored)
	if err != nil {
		return auth.Nobody()
	}
	return p
}

// IsList reports whether the account is a mailing list.
func (u User) IsList() bool { return u.Type != "" && (u.Type[0] == 'M' || u.Type[0] == 'm') }

// Path returns the folder of the account, relative to MailRoot. A row made by
// hand may name a folder that is none: that is an error.
func (u User) Path() (string, error) {
	dir, err := DomainDir(u.Domain)
	if err != nil {
		return "", err
	}
	if u.Dir == "." || !fs.ValidPath(u.Dir) || hasBackslash(u.Dir) {
		return "", fmt.Errorf("account %s@%s has %q for a folder", u.Name, u.Domain, u.Dir)
	}
	return dir + "/" + u.Dir, nil
}

// DomainDir returns the folder of a domain's accounts, relative to MailRoot. A
// name that can be no folder is an error.
func DomainDir(domain string) (string, error) { return below("domains", domain) }

// CommandAliasDir returns the folder of a domain's command aliases.
func CommandAliasDir(domain string) (string, error) { return below("cmdaliases", domain) }

func below(top, domain string) (string, error) {
	name := tabfile.Fold(domain)
	if !IsComponent(name) {
		return "", fmt.Errorf("domain %q cannot be the name of a folder", domain)
	}
	return top + "/" + name, nil
}

// IsComponent reports whether name can be one part of a path: not empty, no
// separator, not "." or "..", no NUL, at most 255 bytes.
func IsComponent(name string) bool {
	return name != "." && len(name) <= 255 && fs.ValidPath(name) && !hasSeparator(name)
}

func hasSeparator(name string) bool {
	for i := range len(name) {
		if name[i] == '/' || name[i] == 0 {
			return true
		}
	}
	return hasBackslash(name)
}

// Users returns the rows of mailusers.tab in file order.
func (t Tables) Users() iter.Seq[User] { return typed(t.table(UsersTab).Rows(), parseUser) }

// UsersNamed returns every row of a user. There is more than one only where the
// table was edited by hand.
func (t Tables) UsersNamed(domain, name string) iter.Seq[User] {
	return typed(t.table(UsersTab).All("name", key(domain, name)), parseUser)
}

// UsersOf returns the users of a domain by name.
func (t Tables) UsersOf(domain string) iter.Seq[User] {
	return typed(t.table(UsersTab).Prefix("name", key(domain, "")), parseUser)
}

// User returns the user of exactly that domain and name.
func (t Tables) User(domain, name string) (User, bool) {
	return first(t.table(UsersTab), "name", key(domain, name), parseUser)
}

// Login returns the user that somebody is who gives this name: of the domain,
// or of the one that the domain is an alias of. Aliases do not count.
func (t Tables) Login(domain, name string) (User, bool) {
	if u, ok := t.User(domain, name); ok && t.inside(u.Domain) {
		return u, true
	}
	if a, ok := t.AliasDomain(domain); ok && t.inside(a.Real) {
		return t.User(a.Real, name)
	}
	return User{}, false
}

// Resolve returns the user that gets the mail of an address: a user of that
// name, or else the target of an alias; then the same for the domain of which
// this one is an alias (docs/reference/tables.md 3.6).
func (t Tables) Resolve(domain, name string) (User, bool) {
	if u, ok := t.resolve(domain, name); ok {
		return u, true
	}
	if a, ok := t.AliasDomain(domain); ok {
		return t.resolve(a.Real, name)
	}
	return User{}, false
}

func (t Tables) resolve(domain, name string) (User, bool) {
	u, ok := t.User(domain, name)
	if !ok {
		if a, isAlias := t.MatchAlias(domain, name); isAlias {
			u, ok = t.User(a.TargetOf(domain))
		}
	}
	if !ok || !t.inside(u.Domain) {
		return User{}, false
	}
	return u, true
}

// NextID returns the number of the next new account: one more than the
// greatest in the table.
func (t Tables) NextID() (uint64, error) {
	row, ok := t.table(UsersTab).Last("id")
	if !ok {
		return 1, nil
	}
	if id := parseUser(row).ID + 1; id != 0 {
		return id, nil
	}
	return 0, fmt.Errorf("%s: the greatest account number is taken", UsersTab)
}

// OwnsPath reports whether no other account has its folder at or below that of
// u, so that the folder goes when u goes.
func (t Tables) OwnsPath(u User) bool {
	dir := tabfile.Fold(u.Domain) + "\t" + u.Dir
	v := t.table(UsersTab)
	for _, rows := range []iter.Seq[tabfile.Row]{v.All("dir", dir), v.All("name", key(u.Domain, u.Dir))} {
		for row := range rows {
			other := parseUser(row)
			if other.Dir == u.Dir && key(other.Domain, other.Name) != key(u.Domain, u.Name) {
				return false
			}
		}
	}
	for range v.Prefix("dir", dir+"/") {
		return false
	}
	for row := range v.Prefix("name", key(u.Domain, u.Dir)+"/") {
		if strings.HasPrefix(parseUser(row).Dir, u.Dir+"/") {
			return false
		}
	}
	return true
}
