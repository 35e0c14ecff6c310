package obs

import (
	"net/netip"
	"time"
)

// A CtrlLog is the log of the logins at the control port, ctrl-YYYYMMDDHHMM
// (docs/reference/control-protocol.md 1.9).
type CtrlLog struct{ *TabLog }

// NewCtrlLog returns the log of the logins at the control port.
func NewCtrlLog(o Options) *CtrlLog { return &CtrlLog{NewTabLog("ctrl", o)} }

// Login writes one step of a login: REQ, AUTH or FAIL. The column in which the
// reference writes the password holds an asterisk.
func (l *CtrlLog) Login(at time.Time, peer netip.Addr, user, status string) error {
	return l.Write(peer.Unmap().String(), user, "*", stamp(at), status)
}
