package outbound

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/resolve"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A Branch is by which rule hosts were chosen. The text is the tag of the slog
// (docs/reference/delivery.md 1.6), but for ByDefault, which has the tag MX there.
type Branch string

// The branches of docs/reference/delivery.md 2.7, in the order in which they are
// tried, and that of the command smtprelay.
const (
	ByGateway Branch = "CMX"  // smtpgw.tab
	ByForward Branch = "FWD"  // smtpfwd.tab
	ByDefault Branch = "DFL"  // DefaultSMTPGateways
	ByLiteral Branch = "IP"   // the domain is an address
	ByMX      Branch = "MX"   // hosts of the DNS
	ByAddress Branch = "FF"   // no MX: the domain is the host
	ByRelay   Branch = "RLYS" // the command smtprelay
)

// maxMX is how many hosts of a domain are tried.
const maxMX = 32

// A Route is by which hosts mail goes. It is good for one attempt.
type Route struct {
	Branch Branch
	Hosts  []Host // in the order in which they are tried

	// Key is the same for routes by the same hosts, so that recipients of different
	// domains can share a message.
	Key string

	// Discard: smtpfwd.tab, or the command smtprelay, has an empty list, which makes
	// mail vanish as if it was delivered.
	Discard bool
}

// medium is the column of the smail log.
func (r Route) medium() string {
	switch r.Branch {
	case ByForward:
		return "FWD"
	case ByRelay:
		return "RLYS"
	}
	return "SMTP"
}

// Routed reports whether smtpgw.tab sends the mail for a domain by a gateway, which
// it does also where the domain is handled here.
func (s *Sender) Routed(domain string) bool {
	_, ok := s.root.Named(mailroot.GatewaysTab).Match(domain)
	return ok
}

// Plan returns by which hosts the mail for a domain goes, by the tables and the DNS
// as they are now. The domain may be a literal with its brackets. The error is an
// [*Error].
func (s *Sender) Plan(ctx context.Context, domain string) (Route, error) {
	vars := s.root.Vars()
	base, err := s.base(vars)
	if err != nil {
		return Route{}, err
	}
	if row, ok := s.root.Named(mailroot.GatewaysTab).Match(domain); ok {
		return s.gateway(row, base)
	}
	if row, ok := s.root.Named(mailroot.ForwardsTab).Match(domain); ok {
		options := ""
		if len(row.Rest) > 1 {
			options = row.Rest[1]
		}
		return s.list(ByForward, mailroot.ForwardsTab, row.Rest[0], options, base)
	}
	if list, ok := vars.Lookup("DefaultSMTPGateways"); ok {
		if strings.TrimSpace(list) != "" {
			return s.list(ByDefault, "DefaultSMTPGateways", list, "", base)
		}
		s.warn("DefaultSMTPGateways is empty, and counts as absent: it would make all mail vanish", nil)
	}
	if ip, ok := parseLiteral(domain); ok {
		h := Host{Port: DefaultPort, Entry: ip.String(), HostOptions: base}.literal(ip)
		return Route{Branch: ByLiteral, Hosts: []Host{h}, Key: "IP " + h.Name}, nil
	}
	return s.byDNS(ctx, domain, base)
}

// Relay returns the route by a list of hosts as in smtpfwd.tab, for the command
// smtprelay: host[:port][,options];…, and options for all of them. The error is an
// [*Error].
func (s *Sender) Relay(list, options string) (Route, error) {
	base, err := s.base(s.root.Vars())
	if err != nil {
		return Route{}, err
	}
	return s.list(ByRelay, "smtprelay", list, options, base)
}

// warn tells the administrator of something once, and not for every message.
func (s *Sender) warn(text string, err error) {
	if _, told := s.told.LoadOrStore(fmt.Sprint(text, err), true); !told {
		s.log.Warn(text, "err", err)
	}
}

// base returns what SmtpGwConfig says for all hosts; the options of a host win.
func (s *Sender) base(vars mailroot.ServerVars) (HostOptions, error) {
	o, err := parseOptions(vars.String("SmtpGwConfig"), HostOptions{TLS: TLSOffered})
	if err != nil {
		return o, misconfigured("SmtpGwConfig", err)
	}
	return o, nil
}

// misconfigured is an error of the administrator, who may mend it while the mail
// waits.
func misconfigured(where string, err error) error {
	return &Error{Enhanced: "4.3.5", Text: "the server is not configured properly", Err: fmt.Errorf("%s: %w", where, err)}
}

// gateway returns the route of a row of smtpgw.tab: @host, or @host,@host of which
// the first one knows the way.
func (s *Sender) gateway(row mailroot.Named, base HostOptions) (Route, error) {
	first, _, _ := strings.Cut(row.Rest[0], ",")
	name := strings.TrimPrefix(strings.TrimSpace(first), "@")
	h := Host{Name: strings.TrimSuffix(name, "."), Port: DefaultPort, Entry: name, HostOptions: base}
	if ip, ok := parseLiteral(name); ok {
		h = h.literal(ip)
	} else if parsed, err := parseHost(name); err != nil || parsed.Port != DefaultPort {
		return Route{}, misconfigured(mailroot.GatewaysTab, fmt.Errorf("%q is not a gateway", row.Rest[0]))
	}
	return Route{Branch: ByGateway, Hosts: []Host{h}, Key: "CMX " + tabfile.Fold(h.Name)}, nil
}

// list returns the route by a list of hosts.
func (s *Sender) list(branch Branch, where, list, options string, base HostOptions) (Route, error) {
	base, err := parseOptions(options, base)
	if err != nil {
		return Route{}, misconfigured(where, err)
	}
	r := Route{Branch: branch, Key: string(branch) + " " + tabfile.Fold(list) + "\t" + options}
	if strings.Trim(list, "#; \t") == "" {
		r.Discard = true
		return r, nil
	}
	if r.Hosts, err = parseHosts(list, base); len(r.Hosts) == 0 {
		return Route{}, misconfigured(where, err)
	}
	if err != nil {
		s.warn("hosts of "+where+" are left out that cannot be read", err)
	}
	return r, nil
}

// byDNS returns the hosts that the DNS names for a domain (RFC 5321 5.1).
func (s *Sender) byDNS(ctx context.Context, domain string, base HostOptions) (Route, error) {
	domain = strings.TrimSuffix(domain, ".")
	records, err := s.dns.LookupMX(ctx, domain)
	if errors.Is(err, resolve.ErrNotFound) {
		return s.byAddress(ctx, domain, base)
	}
	if err != nil {
		return Route{}, &Error{Enhanced: "4.4.3", Text: fmt.Sprintf("the mail servers of %s cannot be looked up", domain), Err: err}
	}
	shuffle(records)
	slices.SortStableFunc(records, func(a, b resolve.MX) int { return cmp.Compare(a.Pref, b.Pref) })
	r := Route{Branch: ByMX, Key: "MX " + ascii(domain)}
	const none = 1 << 16
	ours := none // the rank of this server: worse hosts would send it here
	for _, mx := range records {
		if s.ownName(mx.Host) {
			ours = min(ours, int(mx.Pref))
		}
	}
	for _, mx := range records {
		if int(mx.Pref) >= ours {
			break
		}
		if h, err := parseHost(mx.Host); err == nil && h.Port == DefaultPort && !h.Addr.IsValid() {
			h.HostOptions, h.Rank = base, int(mx.Pref)
			r.Hosts = append(r.Hosts, h)
		}
	}
	if len(r.Hosts) == 0 && ours != none {
		return Route{}, loops(domain)
	}
	if len(r.Hosts) == 0 {
		if !slices.ContainsFunc(records, func(mx resolve.MX) bool { return mx.Host != "" }) {
			return Route{}, &Error{Permanent: true, Enhanced: "5.1.10", Text: fmt.Sprintf("the domain %s takes no mail (null MX)", domain)}
		}
		return Route{}, &Error{Permanent: true, Enhanced: "5.4.4", Text: fmt.Sprintf("the mail servers of %s have no proper names", domain)}
	}
	r.Hosts = r.Hosts[:min(len(r.Hosts), maxMX)]
	return r, nil
}

func loops(domain string) error {
	return &Error{Permanent: true, Enhanced: "5.4.6", Text: fmt.Sprintf("mail for %s would come back here: this server is its own best mail server, but does not handle the domain", domain)}
}

// byAddress returns a domain without MX as its own host, if it has an address.
func (s *Sender) byAddress(ctx context.Context, domain string, base HostOptions) (Route, error) {
	h, err := parseHost(domain)
	if err == nil {
		_, err = s.lookup(ctx, h.Name)
	}
	if err != nil && !errors.Is(err, resolve.ErrTemporary) {
		return Route{}, &Error{Permanent: true, Enhanced: "5.1.2",
			Text: fmt.Sprintf("Recipient domain %q does not exist (or it has a misconfigured DNS)", domain)}
	}
	if err != nil {
		return Route{}, &Error{Enhanced: "4.4.3", Text: fmt.Sprintf("the address of %s cannot be looked up", domain), Err: err}
	}
	h.HostOptions = base
	return Route{Branch: ByAddress, Hosts: []Host{h}, Key: "FF " + ascii(domain)}, nil
}

// ownName reports whether a host is this server, by the names that it says it has.
func (s *Sender) ownName(host string) bool {
	if host == "" {
		return false
	}
	vars := s.root.Vars()
	for _, name := range []string{"HeloDomain", "SmtpServerDomain"} {
		if own := vars.String(name); own != "" && tabfile.EqualFold(host, own) {
			return true
		}
	}
	return false
}

// ascii returns a domain as the DNS has it, in small letters.
func ascii(domain string) string {
	if a, err := idna.Lookup.ToASCII(domain); err == nil {
		domain = a
	}
	return tabfile.Fold(domain)
}
