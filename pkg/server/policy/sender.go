package policy

import (
	"context"
	"errors"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/resolve"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// Sender decides on the address of MAIL, in the order of docs/reference/services.md
// 1.7; the sizes are not its business. Nil: the sender is taken.
func (p *Policy) Sender(ctx context.Context, c *Client, s Session, from address.Path) *Reply {
	vars := p.root.Vars()
	if s.WantTLS && !s.TLS && !c.EaseTLS && !s.may("S") {
		return &Reply{Code: 530, Enhanced: "5.7.0", Text: "Must issue a STARTTLS command first"}
	}
	if reply := p.senderAddress(ctx, c, vars, from); reply != nil {
		return reply
	}
	if c.LoginOnly != nil && !s.loggedIn() {
		reply := *c.LoginOnly
		return &reply
	}
	if s.MailAuth && !c.NoAuth && !s.may("M") {
		if s.loggedIn() {
			return &Reply{Code: 550, Enhanced: "5.7.1", Text: "This account may not send here"}
		}
		return &Reply{Code: 530, Enhanced: "5.7.0", Text: "Authentication required"}
	}
	return p.ownSender(vars, c, s, from)
}

// senderAddress decides on the address alone.
func (p *Policy) senderAddress(ctx context.Context, c *Client, vars mailroot.ServerVars, from address.Path) *Reply {
	switch {
	case from.IsNull():
		if !vars.On("AllowNullSender") {
			return &Reply{Code: 501, Enhanced: "5.1.7", Text: "A sender is needed here", Log: "SNDR=EEMPTY"}
		}
		return nil
	case len(from.Route) > 0:
		return &Reply{Code: 501, Enhanced: "5.1.7", Text: "Source routes are not taken", Log: "SNDR=ESYNTAX"}
	case from.Domain == "":
		return &Reply{Code: 501, Enhanced: "5.1.7", Text: "The sender has no domain", Log: "SNDR=ESYNTAX"}
	}
	if vars.On("CheckMailerDomain") && !c.NoSenderCheck {
		if reply := p.checkDomain(ctx, from); reply != nil {
			return reply
		}
	}
	if row, ok := p.root.Named(mailroot.SpamAddressTab).Match(from.String()); ok {
		p.log.Debug("smtp: sender refused", "from", from.String(), "table", mailroot.SpamAddressTab, "pattern", row.Name)
		return custom(vars, "SmtpMsgIPBanSpamAddress", "", Reply{
			Code: 550, Enhanced: "5.7.1", Text: "Mail of this sender is not taken", Log: "SNDR=ESPAM",
		})
	}
	return nil
}

// checkDomain refuses a sender to whom nothing could be sent back: whose domain has
// neither an MX record nor an address, or says that it takes no mail.
func (p *Policy) checkDomain(ctx context.Context, from address.Path) *Reply {
	if from.Literal() || p.root.Handled(from.Domain) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	hosts, err := p.dns.LookupMX(ctx, from.Domain)
	if err == nil {
		for _, mx := range hosts {
			if mx.Host != "" {
				return nil
			}
		}
		return &Reply{Code: 550, Enhanced: "5.7.27", Text: "The domain of the sender takes no mail", Log: "SNDR=ENODNS"}
	}
	if errors.Is(err, resolve.ErrNotFound) {
		if _, err = p.dns.LookupIP(ctx, from.Domain); err == nil {
			return nil
		}
	}
	if errors.Is(err, resolve.ErrNotFound) {
		return &Reply{Code: 550, Enhanced: "5.1.8", Text: "The domain of the sender has no DNS or MX records", Log: "SNDR=ENODNS"}
	}
	p.log.Debug("smtp: domain of the sender unknown", "domain", from.Domain, "err", err)
	return &Reply{Code: 451, Enhanced: "4.4.3", Text: "The domain of the sender cannot be looked up at the moment", Log: "SNDR=ENODNS"}
}

// ownSender does what SenderPolicy says of a sender who has logged in to an account
// and is somebody else.
func (p *Policy) ownSender(vars mailroot.ServerVars, c *Client, s Session, from address.Path) *Reply {
	policy := vars.Word("SenderPolicy")
	if policy == "off" || s.Account == "" || from.IsNull() || p.isAddressOf(s.Account, from) {
		return nil
	}
	p.log.Warn("smtp: the sender is not the account's", "account", s.Account, "from", from.String(), "remote", c.Remote.String(), "refused", policy == "refuse")
	if policy != "refuse" {
		return nil
	}
	return &Reply{Code: 550, Enhanced: "5.7.1", Text: "The sender is not an address of the account that logged in", Log: "SNDR=EOWNER"}
}

// isAddressOf reports whether mail to an address reaches an account: its own one,
// an alias of it, one by an alias domain, or what extaliases.tab knows it by.
func (p *Policy) isAddressOf(account string, from address.Path) bool {
	own, err := address.Parse(account)
	if err != nil {
		return false
	}
	is := func(domain, name string) bool {
		return tabfile.EqualFold(domain, own.Domain) && tabfile.EqualFold(name, own.Local)
	}
	if u, ok := p.root.Resolve(from.Domain, from.Local); ok && is(u.Domain, u.Name) {
		return true
	}
	for ext := range p.root.ExtAliasesNamed(from.Domain, from.Local) {
		if is(p.root.RealDomain(ext.LocalDomain), ext.LocalName) {
			return true
		}
	}
	return false
}
