// Package route says where mail to an address leads, by the tables alone: the
// same answer for whoever accepts the mail, delivers it, or asks what would
// happen to it.
package route

import (
	"fmt"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// A Kind is what an address stands for.
type Kind int

// The kinds, in the order in which they are looked for
// (docs/reference/delivery.md 2.1).
const (
	CommandAlias Kind = iota // a file of commands of its own, before any account of that name
	User                     // an account with a mailbox
	List                     // a mailing list
	NoUser                   // the domain is handled here, and has nobody of that name
	CustomDomain             // the domain has a file of commands
	Remote                   // the mail leaves
)

var kindNames = [...]string{"command alias", "user", "list", "no user", "custom domain", "remote"}

// String returns the name of the kind, for logs.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindNames[k]
}

// A Route is where an address leads.
type Route struct {
	Kind Kind

	// Domain is the domain of the address, the real one where it is an alias
	// domain.
	Domain string

	Account mailroot.User // of User and List
	File    string        // of CommandAlias and CustomDomain, below MailRoot
}

// Address returns the account's own address, user@domain; empty where it leads to
// none.
func (r Route) Address() string {
	if r.Kind != User && r.Kind != List {
		return ""
	}
	return r.Account.Name + "@" + r.Account.Domain
}

// Local reports whether mail to the address is for this server to deal with, so
// that taking it is no relaying.
func (r Route) Local() bool { return r.Kind != Remote && r.Kind != CustomDomain }

// Find returns where the address name@domain leads. Name is without quotes. The
// error is that of a folder that cannot be read; the question can be asked again
// later then.
func Find(root *mailroot.Root, name, domain string) (Route, error) {
	r := Route{Kind: Remote, Domain: root.RealDomain(domain)}
	file, err := root.CommandAlias(r.Domain, name)
	if err != nil {
		return r, fmt.Errorf("command alias: %w", err)
	}
	if file != "" {
		r.Kind, r.File = CommandAlias, file
		return r, nil
	}
	if root.Handled(domain) {
		account, ok := root.Resolve(domain, name)
		switch {
		case !ok:
			r.Kind = NoUser
		case account.IsList():
			r.Kind, r.Account = List, account
		default:
			r.Kind, r.Account = User, account
		}
		return r, nil
	}
	if r.File, err = root.CustomDomain(domain); err != nil {
		return r, fmt.Errorf("custom domain: %w", err)
	}
	if r.File != "" {
		r.Kind = CustomDomain
	}
	return r, nil
}
