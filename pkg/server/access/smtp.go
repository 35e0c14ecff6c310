package access

import (
	"fmt"
	"time"
)

// An SMTPClient is what the tables and the DNS say of a client that connects to
// SMTP.
type SMTPClient struct {
	// Properties are those of the first row of smtp.ipprop.tab that matches its
	// address and of the first one of smtp.hnprop.tab that matches its name.
	Properties []Properties

	Map      Verdict // of smtp.ipmap.tab
	DropCode int     // the variable SMTP-IpMapDropCode: what a denial by the map means, as a code

	Spammer     bool // a row of spammers.tab matches
	SpammerCode int  // of the first one, as a code

	Relay bool // a row of smtprelay.tab matches

	Listed   bool   // a list of the DNS has it
	List     string // the first one that does
	ListCode int    // of that: 1 refuses, 0 asks for a login, any other delays by so many seconds

	Nameless bool // the DNS has no name for its address
	NameCode int  // the variable SMTP-RDNSCheck: asks for a login where it is greater than 0, delays where it is less
}

// A Source is what decided on a client.
type Source int

// The sources; of several that ask for a login the last of these is named
// (docs/reference/services.md 1.7).
const (
	ByNothing  Source = iota
	ByProperty        // Deny of smtp.ipprop.tab or smtp.hnprop.tab
	ByMap             // smtp.ipmap.tab
	BySpammers        // spammers.tab
	ByName            // SMTP-RDNSCheck
	ByList            // CustMapsList
)

// An SMTPVerdict is how a client is served.
type SMTPVerdict struct {
	Refuse bool          // at once
	Login  bool          // no mail is taken before a login
	By     Source        // of either
	Delay  time.Duration // before every command, until a login; an hour at most
	Relay  bool          // it may relay without a login
	Reason string        // of all but the last
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

// Off reports whether the client has a property with the value 0.
func (c SMTPClient) Off(name string) bool {
	for _, p := range c.Properties {
		if p.Off(name) {
			return true
		}
	}
	return false
}

// Decide returns how the client is served, as far as is known of it
// (docs/reference/tables.md 3.7 to 3.10).
func (c SMTPClient) Decide() SMTPVerdict {
	v := SMTPVerdict{Relay: c.Relay || c.Has(Relay), Reason: "nothing is against it"}
	switch {
	case c.Has(Deny):
		v.Refuse, v.By, v.Reason = true, ByProperty, "the property Deny"
		return v
	case c.Has(WhiteList):
		v.Reason = "the property WhiteList"
		return v
	}
	if !c.Map.Allow {
		v.apply(c.DropCode, ByMap, c.Map.Reason)
	}
	if c.Spammer {
		v.apply(c.SpammerCode, BySpammers, fmt.Sprintf("a row of spammers.tab with code %d", c.SpammerCode))
	}
	if c.Listed {
		code := c.ListCode
		if code > 1 {
			code = -code // the reference has no other number that refuses
		}
		v.apply(code, ByList, fmt.Sprintf("the list %s with code %d", c.List, c.ListCode))
	}
	if c.Nameless && c.NameCode != 0 {
		v.apply(min(c.NameCode, 0), ByName, fmt.Sprintf("an address without a name in the DNS, and SMTP-RDNSCheck %d", c.NameCode))
	}
	return v
}

// maxDelay is the longest delay that a code can bring about.
const maxDelay = time.Hour

// apply does what a code says: refuse where it is greater than 0, wait for a login
// where it is 0, and where it is less delay by so many seconds. Once refused it
// stays so.
func (v *SMTPVerdict) apply(code int, by Source, reason string) {
	switch {
	case v.Refuse:
		return
	case code > 0:
		v.Refuse, v.Login, v.Delay, v.By = true, false, 0, by
	case code == 0:
		v.Login, v.By = true, max(v.By, by)
		if v.By != by {
			return
		}
	default:
		v.Delay = max(v.Delay, min(time.Duration(-code)*time.Second, maxDelay))
		if v.Login {
			return
		}
	}
	v.Reason = reason
}
