package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A Kind says what is wrong. Kinds are a closed set; whoever answers a client
// has a table from each of them to a code of its protocol.
type Kind int

// The kinds of errors. Where the reference tells two ways of the same failure
// apart, so do these, since clients know its codes.
const (
	Internal           Kind = iota // none of the others; the log says more
	AliasDomainExists              // the alias domain exists, or a domain of that name
	AliasExists                    // the alias exists
	BadAddress                     // not a mail address, not a host name
	BadAddressLiteral              // a host in brackets that is no address
	BadContent                     // a table that would not load, or would be left empty
	BadDomain                      // not a valid domain name
	BadMailAddress                 // a mail address with a source route
	BadName                        // not a valid name of a user or an alias
	BadNetwork                     // not an address, a network or a netmask
	BadPath                        // a path that leaves its folder
	BadSpoolFile                   // a malformed message in the queue
	Canceled                       // the server is stopping
	CannotCreate                   // a file cannot be created
	CannotMakeDir                  // a folder cannot be made
	CannotRead                     // a file cannot be opened or read
	CannotRemoveDir                // a folder cannot be removed
	CannotRename                   // a file cannot be renamed
	CannotWrite                    // a change cannot be written; nothing of it happened
	Conflict                       // what is there is not what the caller thought: a file changed since it was read
	Exists                         // it is there already: a domain, a row
	ExtAliasExists                 // the remote address has an external alias
	Forbidden                      // the administrator has no right to it
	Invalid                        // a value is none of those allowed, or holds a control character
	LinkExists                     // the POP3 link exists
	MemberExists                   // the address is a member of the list
	NoAccountsTable                // ctrlaccounts.tab is missing
	NoAlias                        // no such alias
	NoAliasDomain                  // no such alias domain
	NoAliasDomainTable             // aliasdomain.tab is missing
	NoAliasesTable                 // aliases.tab is missing; in DomainAdd, domains.tab
	NoCustomDomain                 // no custom domain file applies
	NoDomain                       // the domain is not handled here
	NoDomainsTable                 // domains.tab is missing
	NoExtAlias                     // no such external alias
	NoExtAliasesTable              // extaliases.tab is missing
	NoFolder                       // no such folder to list
	NoLink                         // no such POP3 link
	NoLinksTable                   // pop3links.tab is missing
	NoMailbox                      // the account has no mailbox
	NoMailProc                     // no mail processing file
	NoMember                       // no such member of the list
	NoMembersTable                 // mlusers.tab of the list is missing
	NoMessage                      // no such message in the queue
	NoRecord                       // no such user, in a domain; no such row
	NoServerTable                  // server.tab is missing
	NoUser                         // no such user, in an alias domain or in UserDel
	NoUsersTable                   // mailusers.tab is missing
	NoVariable                     // no such variable of the server
	NotList                        // the account is not a mailing list
	UserExists                     // the user exists
	WrongPassword                  // the password of a user is another
	kinds                          // how many there are
)

// Kinds returns every kind, for those who translate them.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// An Error is why a function of this package did nothing. Its text is for the
// administrator: it says what is wrong and where, and never holds a password.
type Error struct {
	Kind Kind
	Text string
	Err  error // what it comes from, or nil
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, &Error{Kind: NoDomain}) ask for the kind.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && (t.Text == "" || t.Text == e.Text)
}

// refuse returns an error of a kind. A %w in the format is kept as its cause.
func refuse(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Text: err.Error(), Err: errors.Unwrap(err)}
}

// translate makes any error one of this package.
func translate(err error) error {
	var own *Error
	var table *tabfile.Error
	var write *tabfile.WriteError
	var file *fs.PathError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	case errors.As(err, &table):
		return refuse(BadContent, "%w", err)
	case errors.Is(err, tabfile.ErrUnwritable):
		return refuse(Invalid, "%w", err)
	case errors.As(err, &write), errors.Is(err, tabfile.ErrFailed):
		return refuse(CannotWrite, "%w", err)
	case errors.Is(err, tabfile.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return refuse(Canceled, "the server is stopping: %w", err)
	}
	if errors.As(err, &file) {
		switch file.Op {
		case "open", "read", "stat", "lstat", "readdirent", "fdopendir":
			return refuse(CannotRead, "%w", err)
		}
		return refuse(CannotWrite, "%w", err)
	}
	return refuse(Internal, "%w", err)
}
