package access

import (
	"slices"
	"strconv"
	"strings"
)

// Properties are what smtp.ipprop.tab and smtp.hnprop.tab say of a client: each
// is NAME=VALUE, or NAME alone, which stands for NAME=1 (docs/reference/tables.md
// 3.10).
type Properties []string

// The properties: those of the reference, then ours.
const (
	WhiteList         = "WhiteList"         // neither smtp.ipmap.tab nor spammers.tab is asked, nor a list of the DNS
	NoAuth            = "NoAuth"            // no login is needed where the server wants one
	SenderDomainCheck = "SenderDomainCheck" // 0: the domain of the sender is not checked
	EaseTLS           = "EaseTLS"           // no TLS is needed where the server wants it
	EnableVRFY        = "EnableVRFY"        // VRFY is answered
	EnableETRN        = "EnableETRN"        // ETRN is answered
	Relay             = "Relay"             // the client may relay
	Deny              = "Deny"              // the client is refused
)

var propertyNames = []string{WhiteList, NoAuth, SenderDomainCheck, EaseTLS, EnableVRFY, EnableETRN, Relay, Deny}

// PropertyNames returns the names of all properties.
func PropertyNames() []string { return slices.Clone(propertyNames) }

// Has reports whether a property is there with a value other than 0.
func (p Properties) Has(name string) bool { return p.any(name, func(n int) bool { return n != 0 }) }

// Off reports whether a property is there with the value 0.
func (p Properties) Off(name string) bool { return p.any(name, func(n int) bool { return n == 0 }) }

// any reports whether a property is there with such a number. One with a word for
// a value is not there.
func (p Properties) any(name string, such func(int) bool) bool {
	for _, property := range p {
		key, value, set := strings.Cut(property, "=")
		if key != name {
			continue
		}
		if !set {
			return such(1)
		}
		digits := strings.TrimLeft(value, "+-")
		n, err := strconv.Atoi(digits[:len(digits)-len(strings.TrimLeft(digits, "0123456789"))])
		return err == nil && such(n)
	}
	return false
}
