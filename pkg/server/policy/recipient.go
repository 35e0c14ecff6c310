package policy

import (
	"context"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/route"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A Recipient is one that is taken.
type Recipient struct {
	Address string // without brackets and route, the domain in lower case
	Real    string // of the account that gets it, user@domain as mailusers.tab has it; empty: none does
	Local   bool   // it is for this server to deal with, and does not leave by that alone
}

// Recipient decides on the address of RCPT (docs/reference/services.md 1.8 and 1.9).
// The reply is nil where the recipient is taken.
//
// Mail to other servers is taken from clients that may relay, and for custom
// domains. No form of an address makes another server pass it on: source routes
// are refused, and so is for strangers a recipient in a custom domain whose local
// part looks like an address of its own.
func (p *Policy) Recipient(ctx context.Context, c *Client, s Session, to address.Path) (Recipient, *Reply) {
	relays := c.Relay || s.may("R")
	switch {
	case to.IsNull():
		return Recipient{}, &Reply{Code: 501, Enhanced: "5.1.3", Text: "A recipient is needed", Log: "RCPT=ESYNTAX"}
	case len(to.Route) > 0 && !relays:
		return Recipient{}, relayDenied()
	case len(to.Route) > 0:
		return Recipient{}, &Reply{Code: 501, Enhanced: "5.1.3", Text: "Source routes are not taken", Log: "RCPT=ESYNTAX"}
	case to.Domain == "":
		// Where the administrator has this mail sent is no stranger's choice.
		to, relays = p.postmaster(c), true
	}
	r, err := p.find(to)
	if err != nil {
		p.log.Error("smtp: recipient cannot be looked up", "to", to.String(), "err", err)
		return Recipient{}, trouble()
	}
	taken := Recipient{Address: written(to), Real: r.Address(), Local: r.Local()}
	switch r.Kind {
	case route.CommandAlias:
		return taken, nil
	case route.NoUser:
		return Recipient{}, noMailbox(to, "RCPT=EAVAIL")
	case route.User, route.List:
		if reply := p.account(ctx, s, to, r.Account); reply != nil {
			return Recipient{}, reply
		}
		return taken, nil
	case route.CustomDomain:
		if relays || p.customForAll(r.File) && !routed(to.Local) {
			return taken, nil
		}
	case route.Remote:
		if relays {
			return taken, nil
		}
	}
	return Recipient{}, relayDenied()
}

// find returns where an address leads. A name that needs quotes is nobody's here,
// whatever pattern matches it.
func (p *Policy) find(to address.Path) (route.Route, error) {
	r, err := route.Find(p.root, to.Local, to.Domain)
	if err == nil && r.Local() && !to.Plain() {
		r = route.Route{Kind: route.NoUser, Domain: r.Domain}
	}
	return r, err
}

// postmaster returns the address behind <postmaster>: that of the variable
// PostMaster, or else postmaster of the domain of the server.
func (p *Policy) postmaster(c *Client) address.Path {
	vars := p.root.Vars()
	if to, err := address.Parse(vars.String("PostMaster")); err == nil {
		return to
	}
	domain := vars.String("RootDomain")
	if domain == "" {
		domain = c.Domain
	}
	return address.Path{Local: "postmaster", Domain: domain}
}

// account decides on a recipient that is an account or a mailing list. Whether it
// is disabled is not told apart from whether it exists.
func (p *Policy) account(ctx context.Context, s Session, to address.Path, u mailroot.User) *Reply {
	vars, err := p.root.UserVars(u)
	if err != nil {
		p.log.Error("smtp: variables of a recipient", "to", to.String(), "err", err)
		return trouble()
	}
	if !vars.Receives() {
		return noMailbox(to, "RCPT=EDSBL")
	}
	if u.IsList() {
		return p.post(s, to, u, vars)
	}
	full, err := p.boxes.Full(ctx, u, s.Size)
	if err != nil {
		p.log.Error("smtp: mailbox of a recipient", "to", to.String(), "err", err)
		return trouble()
	}
	if full {
		return &Reply{Code: 552, Enhanced: "5.2.2", Text: "Mailbox full <" + to.String() + ">", Log: "RCPT=EFULL"}
	}
	return nil
}

// post decides whether a sender may write to a list.
func (p *Policy) post(s Session, to address.Path, list mailroot.User, vars mailroot.Variables) *Reply {
	may, err := p.root.MayWrite(list, vars, mailroot.Writer{From: s.From.String(), Account: s.Account, Login: s.Login})
	if err != nil {
		p.log.Error("smtp: members of a list", "list", to.String(), "err", err)
		return trouble()
	}
	if may {
		return nil
	}
	return &Reply{Code: 550, Enhanced: "5.7.2", Text: "Access denied <" + to.String() + "> for user <" + s.From.String() + ">", Log: "RCPT=EACCESS"}
}

// customForAll reports whether the file of a custom domain lets strangers send to
// it. That of all domains is an open relay, and says so by a variable.
func (p *Policy) customForAll(file string) bool {
	return !mailroot.CatchAll(file) || p.root.Vars().On("CatchAllRelay")
}

// routed reports whether a server further on might read a local part as an address
// to pass the message to: user%host, host!user, "user@host", "@host:user".
func routed(local string) bool { return strings.ContainsAny(local, "%!@:") }

// written returns an address as it is kept.
func written(to address.Path) string {
	to.Domain = tabfile.Fold(to.Domain)
	return to.String()
}

func relayDenied() *Reply {
	return &Reply{Code: 550, Enhanced: "5.7.1", Text: "Relay denied", Log: "RCPT=ERELAY"}
}

func noMailbox(to address.Path, log string) *Reply {
	return &Reply{Code: 550, Enhanced: "5.1.1", Text: "Mailbox unavailable <" + to.String() + ">", Log: log}
}

// trouble is the reply where the server itself is in the way of an answer.
func trouble() *Reply {
	return &Reply{Code: 451, Enhanced: "4.3.0", Text: "Requested action aborted: local error in processing"}
}
