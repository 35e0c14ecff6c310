package admin

import (
	"context"
	"iter"
	"net/netip"
	"strconv"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A Route is a row of smtpgw.tab or smtpfwd.tab.
type Route struct {
	Domain  string // or a pattern of domains
	Hosts   string // the gateway, or the list of hosts
	Options string // of smtpfwd.tab; empty where there are none
}

// GatewayAdd routes the mail for a domain, or for the domains that match a
// pattern, by a gateway: @host, or @host,@host and so on. The row gets above the
// one of the number before, which counts from 1, or to the end.
func (s *Service) GatewayAdd(ctx context.Context, domain, gateway string, before int) (Shadow, error) {
	return s.routeAdd(ctx, mailroot.GatewaysTab, Route{Domain: domain, Hosts: gateway}, before, checkGateway)
}

// ForwardAdd sends the mail for a domain, or for the domains that match a
// pattern, to hosts. For before see [Service.GatewayAdd].
func (s *Service) ForwardAdd(ctx context.Context, r Route, before int) (Shadow, error) {
	return s.routeAdd(ctx, mailroot.ForwardsTab, r, before, checkForward)
}

func (s *Service) routeAdd(ctx context.Context, table string, r Route, before int, check func(Route) error) (Shadow, error) {
	var shadow Shadow
	err := s.update(ctx, func(tx *mailroot.Tx) error {
		shadow = Shadow{}
		if err := checkRouteDomain(r.Domain); err != nil {
			return err
		}
		names := tx.Named(table)
		if err := requireNewName(table, r.Domain, names); err != nil {
			return err
		}
		if err := check(r); err != nil {
			return err
		}
		p, err := placeIn(tx, table, before)
		if err != nil {
			return err
		}
		shadow = shadowOfName(p, names, names.CoveringDomain(r.Domain))
		fields := []string{r.Domain, r.Hosts}
		if r.Options != "" {
			fields = append(fields, r.Options)
		}
		return p.put(fields...)
	})
	return shadow, err
}

func checkRouteDomain(domain string) error {
	if err := checkPattern("the domain", domain); err != nil {
		return err
	}
	// "*.example.org" and "*" are patterns, ".example.org" is nothing.
	if checkDomainPattern(domain) != nil {
		return refuse(Invalid, "%s is neither a domain nor a pattern of domains", quote(domain))
	}
	return nil
}

// checkGateway allows the route of a source route (docs/reference/tables.md 3.15).
func checkGateway(r Route) error {
	for hop := range strings.SplitSeq(r.Hosts, ",") {
		host, ok := strings.CutPrefix(hop, "@")
		if !ok || checkRouteHost(host) != nil {
			return refuse(Invalid, "%s is not a gateway: write @host, or @host,@host for a way over several", quote(r.Hosts))
		}
	}
	return nil
}

// checkRouteHost allows a host name, an address, and an address in brackets.
func checkRouteHost(host string) error {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if _, err := netip.ParseAddr(inner); !ok || err != nil {
			return refuse(Invalid, "%s is not an address in brackets", quote(host))
		}
		return nil
	}
	if checkDomainName(host) != nil {
		return refuse(Invalid, "%s is not a host", quote(host))
	}
	return nil
}

// checkForward allows hosts with their ports, and options beside each of them or
// in their own column (docs/reference/tables.md 3.16).
func checkForward(r Route) error {
	list := strings.TrimPrefix(r.Hosts, "#") // in random order
	for entry := range strings.SplitSeq(list, ";") {
		host, options, has := strings.Cut(entry, ",")
		if err := checkHostPort(host); err != nil {
			return err
		}
		if has {
			if err := checkForwardOptions(options); err != nil {
				return err
			}
		}
	}
	if r.Options == "" {
		return nil
	}
	return checkForwardOptions(r.Options)
}

func checkHostPort(s string) error {
	if s == "" {
		return refuse(Invalid, "a host is missing: write host[:port];host[:port] and so on")
	}
	host, port := s, ""
	if i := strings.LastIndexAny(s, ":|"); i > strings.LastIndexByte(s, ']') {
		host, port = s[:i], s[i+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return refuse(Invalid, "%s is not a port", quote(port))
		}
	}
	return checkRouteHost(host)
}

// checkForwardOptions allows the known options.
func checkForwardOptions(options string) error {
	seen := map[string]bool{}
	for option := range strings.SplitSeq(options, ",") {
		name, value, _ := strings.Cut(option, "=")
		_, err := netip.ParseAddr(value)
		switch {
		case name == "NeedTLS" && (value == "0" || value == "1" || value == "2"):
		case name == "OutBind" && err == nil:
		default:
			return refuse(Invalid, "%s is not an option: NeedTLS=0, NeedTLS=1, NeedTLS=2, OutBind=ADDRESS", quote(option))
		}
		if seen[name] {
			return refuse(Invalid, "option %s is there twice", name)
		}
		seen[name] = true
	}
	return nil
}

// GatewayDel removes the gateway of a domain or of a pattern, which is given as
// it was when it was added.
func (s *Service) GatewayDel(ctx context.Context, domain string) error {
	return s.deleteName(ctx, mailroot.GatewaysTab, domain)
}

// ForwardDel removes the hosts of a domain or of a pattern, which is given as it
// was when it was added.
func (s *Service) ForwardDel(ctx context.Context, domain string) error {
	return s.deleteName(ctx, mailroot.ForwardsTab, domain)
}

// A NumberedRoute is a row of a table and its number there, from 1.
type NumberedRoute struct {
	Route
	Number int
}

// Gateways returns the rows of smtpgw.tab whose columns match the patterns.
func (s *Service) Gateways(domain, gateway string) iter.Seq[NumberedRoute] {
	return s.routes(mailroot.GatewaysTab, domain, gateway)
}

// Forwards returns the rows of smtpfwd.tab whose columns match the patterns.
func (s *Service) Forwards(domain, hosts string) iter.Seq[NumberedRoute] {
	return s.routes(mailroot.ForwardsTab, domain, hosts)
}

func (s *Service) routes(table, domain, hosts string) iter.Seq[NumberedRoute] {
	return func(yield func(NumberedRoute) bool) {
		for n := range s.named(table) {
			r := Route{Domain: n.Name, Hosts: n.Rest[0]}
			if len(n.Rest) > 1 {
				r.Options = n.Rest[1]
			}
			if tabfile.Match(domain, r.Domain) && tabfile.Match(hosts, r.Hosts) && !yield(NumberedRoute{r, n.Number}) {
				return
			}
		}
	}
}
