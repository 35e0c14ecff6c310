package mailroot

import (
	"errors"
	"iter"
	"path"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A Link fetches the mail of a remote POP3 account (pop3links.tab).
type Link struct {
	Domain, Name     string // see [Link.Local]
	Host, RemoteName string
	Stored           string // the remote password as the table has it
	Options          string
	Row              tabfile.Row
}

func parseLink(row tabfile.Row) Link {
	f := row.Fields()
	return Link{Domain: f[0], Name: f[1], Host: f[2], RemoteName: f[3], Stored: f[4], Options: f[5], Row: row}
}

func linkSchema() *tabfile.Schema {
	return &tabfile.Schema{Columns: 6, Check: checkReversible(4), Indexes: []tabfile.Index{
		byColumns("link", 0, 1, 2, 3),
		byColumns("remote", 2, 3),
	}}
}

// Fields returns the link as a row of pop3links.tab.
func (l Link) Fields() []string {
	return []string{l.Domain, l.Name, l.Host, l.RemoteName, l.Stored, l.Options}
}

// Local reports whether the mail is for one account of the server. Domains that
// begin with @, ? or & choose by the message instead.
func (l Link) Local() bool {
	return l.Domain == "" || !strings.ContainsRune("@?&", rune(l.Domain[0]))
}

// Password returns the remote password.
func (l Link) Password() auth.Password {
	p, err := auth.Parse(l.Stored)
	if err != nil {
		return auth.Nobody()
	}
	return p
}

var errLinkName = errors.New("the names of the link cannot be the name of a file")

// UIDFile returns the file that keeps which messages of the link were fetched,
// relative to MailRoot.
func (l Link) UIDFile() (string, error) {
	flat := strings.NewReplacer(":", "_", "/", "_", `\`, "_").Replace
	host, file := flat(l.Host), flat(l.RemoteName)+".uidb"
	if !IsComponent(host) || !IsComponent(file) {
		return "", errLinkName
	}
	return "msgsync/" + host + "/" + file, nil
}

// DisabledName returns the name of the file that disables the link. It stands
// in the account's folder, or in pop3links for a link that is not local.
func (l Link) DisabledName() (string, error) {
	name := strings.NewReplacer("/", "_", `\`, "_").Replace(l.RemoteName + "@" + l.Host + ".disabled")
	if !IsComponent(name) {
		return "", errLinkName
	}
	return name, nil
}

// ErrNoLinkAccount is the error of a link whose account does not exist.
var ErrNoLinkAccount = errors.New("the account of the link does not exist")

// LinksDir has the marks of disabled links that are not local.
const LinksDir = "pop3links"

// LinkMark returns the file whose presence disables a link, relative to MailRoot.
func (t Tables) LinkMark(l Link) (string, error) {
	name, err := l.DisabledName()
	if err != nil {
		return "", err
	}
	if !l.Local() {
		return LinksDir + "/" + name, nil
	}
	u, ok := t.Login(l.Domain, l.Name)
	if !ok {
		return "", ErrNoLinkAccount
	}
	dir, err := u.Path()
	return path.Join(dir, name), err
}

// Links returns the rows of pop3links.tab in file order.
func (t Tables) Links() iter.Seq[Link] { return typed(t.table(LinksTab).Rows(), parseLink) }

// LinksOf returns the links of a domain, or of one of its accounts where names
// has one, or some of those by remote host and then remote name. Every text is
// compared as it is, without regard to case; there are no patterns.
func (t Tables) LinksOf(domain string, names ...string) iter.Seq[Link] {
	prefix := key(append([]string{domain}, names...)...)
	if len(names) < 3 {
		prefix += "\t"
		return typed(t.table(LinksTab).Prefix("link", prefix), parseLink)
	}
	return typed(t.table(LinksTab).All("link", prefix), parseLink)
}

// LinksTo returns the links that fetch from a remote account.
func (t Tables) LinksTo(host, remoteName string) iter.Seq[Link] {
	return typed(t.table(LinksTab).All("remote", key(host, remoteName)), parseLink)
}
