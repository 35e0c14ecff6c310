package access

import (
	"fmt"
	"time"
)

// An SMTPClient is what the tables say of a client that connects to SMTP.
type SMTPClient struct {
	// Properties are those of the first row of smtp.ipprop.tab that matches its
	// address and of the first one of smtp.hnprop.tab that matches its name.
	Properties []Properties

	Map      Verdict // of smtp.ipmap.tab
	DropCode int     // the variable SMTP-IpMapDropCode: what a denial by the map means, as a code

	Spammer     bool // a row of spammers.tab matches
	SpammerCode int  // of the first one, as a code

	Relay bool // a row of smtprelay.tab matches
}

// An SMTPVerdict is how a client is served.
type SMTPVerdict struct {
	Refuse bool          // at once
	Login  bool          // no mail is taken before a login
	Delay  time.Duration // before every command, until a login
	Relay  bool          // it may relay without a login
	Reason string        // of the first three
}

// Has reports whether the client has a property.
func (c SMTPClient) Has(name string) bool {
	for _, p := range c.Properties {
		if p.Has(name) {
			return true
		}
	}
	return false
}

// Decide returns how the client is served, as far as tables say
// (docs/reference/tables.md 3.7 to 3.10).
func (c SMTPClient) Decide() SMTPVerdict {
	v := SMTPVerdict{Relay: c.Relay || c.Has(Relay), Reason: "nothing is against it"}
	switch {
	case c.Has(Deny):
		v.Refuse, v.Reason = true, "the property Deny"
		return v
	case c.Has(WhiteList):
		v.Reason = "the property WhiteList"
		return v
	}
	if !c.Map.Allow {
		v.apply(c.DropCode, c.Map.Reason)
	}
	if c.Spammer && !v.Refuse {
		v.apply(c.SpammerCode, fmt.Sprintf("a row of spammers.tab with code %d", c.SpammerCode))
	}
	return v
}

// apply does what a code says: refuse where it is greater than 0, wait for a login
// where it is 0, and where it is less delay by so many seconds.
func (v *SMTPVerdict) apply(code int, reason string) {
	switch {
	case code > 0:
		v.Refuse, v.Login, v.Delay = true, false, 0
	case code == 0:
		v.Login = true
	default:
		v.Delay = max(v.Delay, time.Duration(-code)*time.Second)
	}
	v.Reason = reason
}
