package mailroot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// NewRoot says what a fresh MailRoot begins with.
type NewRoot struct {
	// Domains are the domains handled from the start, at least one. The first
	// one is the name of the server towards others and holds the first account.
	Domains []string

	Account         string // name of the first account; it gets the mail to root, postmaster and abuse
	AccountPassword string

	Admin         string // name of the administrator of the control port
	AdminPassword string

	// Plain gives the first account a "mailbox" folder instead of a Maildir.
	Plain bool

	Cert, Key []byte // PEM, for server.cert and server.key
}

// ErrNotEmpty is returned by [Create] for a folder that holds something already.
var ErrNotEmpty = errors.New("is not empty; only a new folder can become a MailRoot")

// Create makes a complete MailRoot at dir: every folder and table, with
// CompatLevel 1, and the password of the account hashed accordingly. Folders get
// mode 0700, files 0600. dir must be absent or an empty folder ([ErrNotEmpty]
// otherwise); what is there is never touched. When Create fails or the machine
// stops half-way, there is no MailRoot at dir.
func Create(dir string, spec NewRoot) error {
	tree, err := newTree(spec)
	if err != nil {
		return fmt.Errorf("new MailRoot %s: %w", dir, err)
	}
	if err := place(dir, tree); err != nil {
		return fmt.Errorf("new MailRoot %s: %w", dir, err)
	}
	return nil
}

// A tree is what a MailRoot is made of, by paths relative to it.
type tree struct {
	dirs  []string
	files map[string][]byte
}

func newTree(spec NewRoot) (*tree, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	t := &tree{dirs: slices.Clone(folders), files: map[string][]byte{}}
	for _, name := range emptyTables {
		t.files[name] = nil
	}
	first := spec.Domains[0]
	account := "domains/" + first + "/" + spec.Account
	for _, d := range spec.Domains {
		t.dirs = append(t.dirs, "domains/"+d, "cmdaliases/"+d)
	}
	t.dirs = append(t.dirs, account)
	if spec.Plain {
		t.dirs = append(t.dirs, account+"/mailbox")
	} else {
		for _, sub := range []string{"/Maildir", "/Maildir/tmp", "/Maildir/new", "/Maildir/cur"} {
			t.dirs = append(t.dirs, account+sub)
		}
	}

	t.text("server.tab", serverTab(first))
	t.text("smtprelay.tab", smtpRelayTab)
	t.text("ctrl.ipmap.tab", ctrlMapTab)
	for _, name := range []string{"smtp.ipmap.tab", "pop3.ipmap.tab", "finger.ipmap.tab"} {
		t.text(name, `"0.0.0.0"`+"\t"+`"0.0.0.0"`+"\t"+`"ALLOW"`+"\t1\n")
	}
	t.text("userdef.tab", userDefTab)
	t.text(account+"/user.tab", userDefTab)
	t.text("message.id", "1\r\n")
	t.files["server.cert"], t.files["server.key"] = spec.Cert, spec.Key

	t.row("ctrlaccounts.tab", spec.Admin, auth.Scramble(spec.AdminPassword))
	scheme, _ := LookupServerVar(VarPasswordScheme)
	stored, err := auth.Hash(scheme.Default[1], spec.AccountPassword)
	if err != nil {
		return nil, fmt.Errorf("password of the account: %w", err)
	}
	t.text("mailusers.tab", tabfile.Join(first, spec.Account, stored)+
		"\t1\t"+tabfile.Join(spec.Account, "U")+"\n")
	for _, d := range spec.Domains {
		t.row("domains.tab", d)
		for _, role := range roles {
			if d == first && role == spec.Account {
				continue
			}
			t.row("aliases.tab", d, role, spec.Account+"@"+first)
		}
	}
	// Domains that are added later have no rows of their own.
	for _, role := range roles {
		t.row("aliases.tab", "*", role, spec.Account+"@"+first)
	}
	return t, nil
}

func (t *tree) text(name, content string) {
	t.files[name] = []byte(content)
}

func (t *tree) row(name string, fields ...string) {
	t.files[name] = append(t.files[name], tabfile.Join(fields...)+"\n"...)
}

// check refuses what would not be read back. The commands check names more
// closely; here it matters that they are safe as folders and cells.
func (spec *NewRoot) check() error {
	if len(spec.Domains) == 0 {
		return errors.New("no domain")
	}
	spec.Domains = slices.Clone(spec.Domains)
	for i, d := range spec.Domains {
		spec.Domains[i] = tabfile.Fold(d)
		if err := checkFolder("domain", d); err != nil {
			return err
		}
	}
	if err := checkFolder("account", spec.Account); err != nil {
		return err
	}
	if strings.Contains(spec.Account, "@") {
		return fmt.Errorf("account %q: give the name alone, without the domain", spec.Account)
	}
	for _, v := range []struct{ what, value string }{
		{"administrator", spec.Admin},
		{"password of the administrator", spec.AdminPassword},
		{"password of the account", spec.AccountPassword},
	} {
		if v.value == "" {
			return fmt.Errorf("no %s", v.what)
		}
	}
	if _, err := tabfile.Cell(spec.Admin); err != nil {
		return fmt.Errorf("administrator: %w", err)
	}
	return nil
}

func checkFolder(what, name string) error {
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\\*?[] \"") || strings.Contains(name, "..") {
		return fmt.Errorf("%s %q is not a name that can be used", what, name)
	}
	if _, err := tabfile.Cell(name); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// place writes the tree beside its place and moves it there.
func place(dir string, t *tree) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return placeFolder(dir, t)
	case err != nil:
		return err
	case len(entries) > 0:
		return ErrNotEmpty
	}
	return placeInside(dir, t)
}

func placeFolder(dir string, t *tree) (err error) {
	dir = filepath.Clean(dir)
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".new-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(temp)
		}
	}()
	if err := t.write(temp); err != nil {
		return err
	}
	return os.Rename(temp, dir)
}

// placeInside fills an empty folder whose parent may belong to someone else.
// server.tab comes last: without it a folder is no MailRoot.
func placeInside(dir string, t *tree) (err error) {
	temp, err := os.MkdirTemp(dir, ".new-")
	if err != nil {
		return err
	}
	var moved []string
	defer func() {
		os.RemoveAll(temp)
		if err != nil {
			for _, name := range moved {
				os.RemoveAll(filepath.Join(dir, name))
			}
		}
	}()
	if err := t.write(temp); err != nil {
		return err
	}
	entries, err := os.ReadDir(temp)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.Name() != "server.tab" {
			names = append(names, e.Name())
		}
	}
	for _, name := range append(names, "server.tab") {
		if err := os.Rename(filepath.Join(temp, name), filepath.Join(dir, name)); err != nil {
			return err
		}
		moved = append(moved, name)
	}
	return os.Chmod(dir, 0o700)
}

func (t *tree) write(dir string) error {
	for _, name := range t.dirs {
		if err := os.Mkdir(filepath.Join(dir, filepath.FromSlash(name)), 0o700); err != nil {
			return err
		}
	}
	for name, content := range t.files {
		if err := writeSynced(filepath.Join(dir, filepath.FromSlash(name)), content); err != nil {
			return err
		}
	}
	return nil
}

func writeSynced(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && len(content) > 0 {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
