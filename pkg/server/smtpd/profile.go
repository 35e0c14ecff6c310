package smtpd

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// A profile is what SmtpConfig demands of the clients of one address of the server
// (docs/reference/services.md 1.16).
type profile struct {
	mailAuth bool // a login, for any mail
	wantTLS  bool
}

// profileOf returns the profile of a local address: that of the variable for the
// address and port, else for the address, else for all.
func profileOf(v mailroot.ServerVars, local netip.AddrPort) profile {
	ip := local.Addr().Unmap()
	for _, name := range []string{fmt.Sprintf("SmtpConfig-%s,%d", ip, local.Port()), fmt.Sprintf("SmtpConfig-%s", ip), "SmtpConfig"} {
		if value, ok := v.Lookup(name); ok {
			return parseProfile(value)
		}
	}
	return profile{}
}

func parseProfile(value string) profile {
	var p profile
	for item := range strings.SplitSeq(value, ",") {
		name, setting, set := strings.Cut(strings.TrimSpace(item), "=")
		on := !set || mailroot.Atoi(setting) != 0
		switch name {
		case "MailAuth", "mail-auth":
			p.mailAuth = on
		case "WantTLS":
			p.wantTLS = on
		}
	}
	return p
}
