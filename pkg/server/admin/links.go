package admin

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// linksDir has the marks of disabled links that are not of one account.
const linksDir = mailroot.LinksDir

// A NewLink is a POP3 link to add.
type NewLink struct {
	Domain, Name     string // the local account; a domain in @, ? or & chooses by the message
	Host, RemoteName string // the remote server with its port, and the account there
	Password         string
	Options          string // CLR, APOP, FAPOP, STLS, FSTLS, POP3S, Leave, OutBind=ADDRESS, Verify=1, Verify=0, with commas
}

// LinkAdd makes the server fetch the mail of a remote account.
func (s *Service) LinkAdd(ctx context.Context, n NewLink) error {
	l := mailroot.Link{Domain: n.Domain, Name: n.Name, Host: n.Host, RemoteName: n.RemoteName,
		Stored: auth.Scramble(n.Password), Options: n.Options}
	return s.update(ctx, func(tx *mailroot.Tx) error {
		if err := requireTable(tx.Tables, mailroot.LinksTab, NoLinksTable); err != nil {
			return err
		}
		for range tx.LinksOf(l.Domain, l.Name, l.Host, l.RemoteName) {
			return refuse(LinkExists, "there is a link of %s to %s at %s",
				quote(l.Name+"@"+l.Domain), quote(l.RemoteName), quote(l.Host))
		}
		if l.Local() {
			if _, err := requireAccount(tx.Tables, l.Domain, l.Name); err != nil {
				return err
			}
		}
		if err := checkLink(l); err != nil {
			return err
		}
		if err := checkSecret(n.Password); err != nil {
			return err
		}
		return tx.Table(mailroot.LinksTab).Append(l.Fields()...)
	})
}

func checkLink(l mailroot.Link) error {
	for _, v := range []struct{ what, value string }{
		{"the domain", l.Domain}, {"the account", l.Name}, {"the remote host", l.Host}, {"the remote account", l.RemoteName},
	} {
		if v.value == "" {
			return refuse(Invalid, "%s is empty", v.what)
		}
		if err := checkValues(v.what, v.value); err != nil {
			return err
		}
	}
	if strings.ContainsAny(l.Host, " /\\") {
		return refuse(Invalid, "%s is not a remote host", quote(l.Host))
	}
	if _, err := l.DisabledName(); err != nil {
		return refuse(Invalid, "%w", err)
	}
	if _, err := l.UIDFile(); err != nil {
		return refuse(Invalid, "%w", err)
	}
	return checkLinkOptions(l.Options)
}

// checkLinkOptions allows the documented options (docs/reference/tables.md 3.14).
func checkLinkOptions(options string) error {
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "CLR", "APOP", "FAPOP", "STLS", "FSTLS", "POP3S", "Leave", "Leave=1", "Verify=0", "Verify=1":
			continue
		}
		addr, ok := strings.CutPrefix(option, "OutBind=")
		if _, err := netip.ParseAddr(addr); !ok || err != nil {
			return refuse(Invalid, "%s is not a way to fetch mail: CLR, APOP, FAPOP, STLS, FSTLS, POP3S, Leave, OutBind=ADDRESS, Verify=1, Verify=0", quote(option))
		}
	}
	return nil
}

// LinkDel removes a POP3 link and what was kept of it.
func (s *Service) LinkDel(ctx context.Context, domain, name, host, remoteName string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		if err := requireTable(tx.Tables, mailroot.LinksTab, NoLinksTable); err != nil {
			return err
		}
		links := slices.Collect(tx.LinksOf(domain, name, host, remoteName))
		if len(links) == 0 {
			return refuse(NoLink, "there is no such link of %s", quote(name+"@"+domain))
		}
		if err := removeLinks(tx, links); err != nil {
			return err
		}
		for _, l := range links {
			mark, err := tx.LinkMark(l)
			if err != nil || !l.Local() {
				continue
			}
			if err := tx.RemoveFile(mark); err != nil {
				return err
			}
		}
		return nil
	})
}

// removeLinks removes links with the files that other links do not use. What is
// in the folder of an account stays.
func removeLinks(tx *mailroot.Tx, links []mailroot.Link) error {
	rows := rowsOf(slices.Values(links), func(l mailroot.Link) tabfile.Row { return l.Row })
	if err := deleteRows(tx, mailroot.LinksTab, rows); err != nil {
		return err
	}
	for _, l := range links {
		if mark, err := tx.LinkMark(l); err == nil && !l.Local() && !sharesMark(tx.Tables, l) {
			if err := tx.RemoveFile(mark); err != nil {
				return err
			}
		}
		if uids, err := l.UIDFile(); err == nil && !sharesUIDs(tx.Tables, l, uids) {
			if err := tx.RemoveFile(uids); err != nil {
				return err
			}
		}
	}
	return nil
}

// sharesMark reports whether another link that is of no account is disabled by
// the same file as l.
func sharesMark(t mailroot.Tables, l mailroot.Link) bool {
	for other := range t.LinksTo(l.Host, l.RemoteName) {
		if !other.Local() {
			return true
		}
	}
	return false
}

func sharesUIDs(t mailroot.Tables, l mailroot.Link, file string) bool {
	for other := range t.LinksTo(l.Host, l.RemoteName) {
		if name, err := other.UIDFile(); err == nil && name == file {
			return true
		}
	}
	return false
}

// A LinkState is a link and whether mail is fetched by it.
type LinkState struct {
	mailroot.Link
	On bool
}

// Links returns all links, or those of a domain, names[0], or of its account
// names[1]. There are no patterns. A link whose account does not exist is off.
func (s *Service) Links(names ...string) iter.Seq[LinkState] {
	links := s.root.Links()
	if len(names) > 0 {
		links = inFileOrder(s.root.LinksOf(names[0], names[1:]...), func(l mailroot.Link) tabfile.Row { return l.Row })
	}
	return func(yield func(LinkState) bool) {
		for l := range links {
			mark, err := s.root.LinkMark(l)
			if err == nil {
				_, err = s.root.Stat(mark)
			}
			if !yield(LinkState{Link: l, On: errors.Is(err, fs.ErrNotExist)}) {
				return
			}
		}
	}
}

// LinkEnable switches links on or off: those of an account, or of them those to
// a remote host, or of those the one to a remote account.
func (s *Service) LinkEnable(ctx context.Context, on bool, domain, name string, remote ...string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		links := slices.Collect(tx.LinksOf(domain, append([]string{name}, remote...)...))
		if len(links) == 0 {
			return refuse(NoLink, "there is no such link of %s", quote(name+"@"+domain))
		}
		var content []byte
		if !on {
			content = s.root.Now().AppendFormat(nil, "02 Jan 2006 15:04:05 -0700\n")
		}
		first := make(map[string][]byte) // marks that come with their folder
		for _, l := range links {
			mark, err := tx.LinkMark(l)
			if errors.Is(err, mailroot.ErrNoLinkAccount) {
				return noUser(tx.Tables, domain, name)
			}
			if err != nil {
				return refuse(CannotCreate, "%w", err)
			}
			if !on && path.Dir(mark) == linksDir && !tx.Tx.Exists(linksDir) {
				first[path.Base(mark)] = content
				continue
			}
			if err := writeFile(tx, mark, content); err != nil {
				return err
			}
		}
		if len(first) > 0 {
			return makeTree(tx, linksDir, nil, first)
		}
		return nil
	})
}
