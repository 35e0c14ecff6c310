package commands

import "github.com/xmaild/xmaild/pkg/ctrl"

// sessionTable has the commands on the sessions of all services.
var sessionTable = []entry{
	{"sesslist", "[service [user-pattern]]", "list ours", "id service user address local started tls", nil,
		"Lists the sessions of all services, or of one (smtp, pop3, finger, ctrl; wildcards are fine), of all users or those that match the pattern. The user is an address of this server, the administrator on the control port, and empty before a login; tls is 1 inside TLS."},
	{"sesskill", "id", "changes ours", "",
		codes{ctrl.CodeNoRecord, ctrl.CodeInvalid},
		"Ends a session, by its number in sesslist. One that waits for its client ends at once, one that works when its command is done, and ten seconds later it is cut. userdel, userdisable, userpasswd, userrename and domaindel end those of their accounts."},
}
