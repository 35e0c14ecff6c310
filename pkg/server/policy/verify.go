package policy

import (
	"strings"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/route"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// Verify answers VRFY, whose argument is an address with or without brackets. Every
// answer but a code of 250 counts as an error.
func (p *Policy) Verify(c *Client, s Session, argument string) Reply {
	if !p.MayVerify(c, s) {
		return Reply{Code: 252, Enhanced: "2.5.2", Text: "Argument not checked", Log: "VRFY=EACCESS"}
	}
	to, err := parseArgument(argument)
	if err != nil || to.IsNull() || len(to.Route) > 0 {
		return Reply{Code: 501, Enhanced: "5.5.4", Text: "Syntax error in parameters or arguments"}
	}
	if to.Domain == "" {
		to = p.postmaster(c)
	}
	r, err := p.find(to)
	if err != nil {
		p.log.Error("smtp: address cannot be looked up", "address", to.String(), "err", err)
		return *trouble()
	}
	switch r.Kind {
	case route.User, route.List:
		vars, err := p.root.UserVars(r.Account)
		if err != nil {
			p.log.Error("smtp: variables of an account", "account", r.Address(), "err", err)
			return *trouble()
		}
		name, _ := vars.Lookup("RealName")
		if name == "" {
			name = "Unknown"
		}
		return Reply{Code: 250, Enhanced: "2.1.5", Text: name + " <" + r.Address() + ">"}
	case route.CommandAlias:
		return Reply{Code: 250, Enhanced: "2.1.5", Text: "Local account <" + written(to) + ">"}
	}
	return Reply{Code: 550, Enhanced: "5.1.1", Text: "String does not match anything"}
}

func parseArgument(argument string) (address.Path, error) {
	argument = strings.TrimSpace(argument)
	if !strings.HasPrefix(argument, "<") {
		return address.Parse(argument)
	}
	to, rest, err := address.ParsePath(argument)
	if err == nil && rest != "" && !tabfile.EqualFold(rest, "SMTPUTF8") { // RFC 6531 3.7.4.2
		err = address.ErrTrailer
	}
	return to, err
}
