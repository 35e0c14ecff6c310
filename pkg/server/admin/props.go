package admin

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/access"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// properties are the variables of smtp.ipprop.tab and smtp.hnprop.tab.
var properties = access.PropertyNames()

// checkProperties refuses variables and values that are not known.
func checkProperties(props []string) error {
	if len(props) == 0 {
		return refuse(Invalid, "a property is needed: NAME=1 or NAME=0, where NAME is one of %s", strings.Join(properties, ", "))
	}
	seen := map[string]bool{}
	for _, p := range props {
		name, value, _ := strings.Cut(p, "=")
		switch {
		case !slices.Contains(properties, name):
			return refuse(Invalid, "%s is not a property: NAME=1 or NAME=0, where NAME is one of %s", quote(p), strings.Join(properties, ", "))
		case value != "0" && value != "1":
			return refuse(Invalid, "property %s is neither %s=1 nor %s=0", quote(p), name, name)
		case seen[name]:
			return refuse(Invalid, "property %s is there twice", name)
		}
		seen[name] = true
	}
	return nil
}

// IPPropAdd gives the clients of a network properties. The row gets above the
// one of the number before, which counts from 1, or to the end. What lets
// everybody relay needs force.
func (s *Service) IPPropAdd(ctx context.Context, a Address, props []string, before int, force bool) (Shadow, error) {
	var shadow Shadow
	err := s.update(ctx, func(tx *mailroot.Tx) error {
		shadow = Shadow{}
		rule, err := a.parseProp()
		if err != nil {
			return err
		}
		if len(rule.Warnings()) > 0 {
			return refuse(BadNetwork, "%s", strings.Join(rule.Warnings(), "; "))
		}
		if err := requireNew(mailroot.IPPropTab, a, tx.IPProps().Same(rule)); err != nil {
			return err
		}
		if err := checkProperties(props); err != nil {
			return err
		}
		if isEverybody(rule) && access.Properties(props).Has(access.Relay) && !force {
			return refuse(Invalid, "%s with Relay=1 lets everybody in the world relay; if that is meant, add the word force", a)
		}
		p, err := placeIn(tx, mailroot.IPPropTab, before)
		if err != nil {
			return err
		}
		if prefix, ok := rule.Prefix(); ok {
			shadow = shadowOf(p, tx.IPProps(), tx.IPProps().Covering(prefix))
		}
		return p.put(append([]string{a.IP}, props...)...)
	})
	return shadow, err
}

// parseProp reads an address of smtp.ipprop.tab, which has no masks.
func (a Address) parseProp() (tabfile.AddrRule, error) {
	if a.Mask != "" {
		return tabfile.AddrRule{}, refuse(BadNetwork, "%s has no netmasks: write %s/BITS", mailroot.IPPropTab, quote(a.IP))
	}
	return a.parse()
}

// IPPropDel removes the properties of a network.
func (s *Service) IPPropDel(ctx context.Context, a Address) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		if _, err := a.parseProp(); err != nil {
			return err
		}
		return deleteNetwork(tx, mailroot.IPPropTab, a, func(rule tabfile.AddrRule) iter.Seq[mailroot.Network] {
			return tx.IPProps().Same(rule)
		})
	})
}

// IPProps returns the rows of smtp.ipprop.tab whose address matches a pattern and
// that have a property which matches the other.
func (s *Service) IPProps(address, prop string) iter.Seq[NumberedNetwork] {
	return filter(numbered(s.root.IPProps().All()), func(n NumberedNetwork) bool {
		return tabfile.Match(address, n.Address) && anyMatches(prop, n.Rest)
	})
}

// anyMatches reports whether a pattern matches one of values; a star alone also
// matches none.
func anyMatches(pattern string, values []string) bool {
	return pattern == "*" || slices.ContainsFunc(values, func(v string) bool { return tabfile.Match(pattern, v) })
}

// HNPropAdd gives clients properties by the name of their host: a host, or with a
// dot before it the hosts below a domain. For before see [Service.IPPropAdd].
func (s *Service) HNPropAdd(ctx context.Context, host string, props []string, before int) (Shadow, error) {
	var shadow Shadow
	err := s.update(ctx, func(tx *mailroot.Tx) error {
		shadow = Shadow{}
		if err := checkHostSpec(host); err != nil {
			return err
		}
		table := tx.Named(mailroot.HNPropTab)
		if err := requireNewName(mailroot.HNPropTab, host, table); err != nil {
			return err
		}
		if err := checkProperties(props); err != nil {
			return err
		}
		p, err := placeIn(tx, mailroot.HNPropTab, before)
		if err != nil {
			return err
		}
		shadow = shadowOfName(p, table, table.CoveringHost(host))
		return p.put(append([]string{host}, props...)...)
	})
	return shadow, err
}

func checkHostSpec(host string) error {
	if checkDomainName(strings.TrimPrefix(host, ".")) != nil {
		return refuse(Invalid, "%s is neither a host nor, with a dot before it, a domain", quote(host))
	}
	return nil
}

// HNPropDel removes the properties of a host or of the hosts below a domain.
func (s *Service) HNPropDel(ctx context.Context, host string) error {
	return s.deleteName(ctx, mailroot.HNPropTab, host)
}

// HNProps returns the rows of smtp.hnprop.tab whose host matches a pattern and
// that have a property which matches the other.
func (s *Service) HNProps(host, prop string) iter.Seq[NumberedName] {
	return filter(s.named(mailroot.HNPropTab), func(n NumberedName) bool {
		return tabfile.Match(host, n.Name) && anyMatches(prop, n.Rest)
	})
}
