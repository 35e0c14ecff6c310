package commands

import "github.com/xmaild/xmaild/pkg/ctrl"

// securityTable has the commands on the tables that say who may do what by
// address or name.
var securityTable = []entry{
	{"relayadd", "address [mask [force]]", "changes ours", "",
		codes{ctrl.CodeOpenFile, ctrl.CodeCreateFile, ctrl.CodeInvalid, ctrl.CodeExists, ctrl.CodeBadNetwork},
		"Lets a network send mail to other servers without a login. It is an address and a mask, address/bits, or one address (IPv4 or IPv6); without a mask the next word takes its place. What lets everybody relay needs the word force at the end."},
	{"relaydel", "address [mask]", "changes ours", "",
		codes{ctrl.CodeOpenFile, ctrl.CodeNoRecord, ctrl.CodeInvalid, ctrl.CodeBadNetwork},
		"Removes a network from those that may relay, however it is written there."},
	{"relaylist", "[address-pattern [mask-pattern]]", "list ours", "address mask", nil,
		"Lists the networks that may relay, as they were typed. The mask is empty where there is none."},

	{"spammeradd", "address [mask [params [before]]]", "changes ours", "",
		codes{ctrl.CodeOpenFile, ctrl.CodeCreateFile, ctrl.CodeInvalid, ctrl.CodeExists, ctrl.CodeBadNetwork},
		"Bans a network from SMTP: an address and a mask, address/bits, or one address; what is left out leaves no gap. Params are code=N (above 0 refused, 0 only after a login, -N a delay of N seconds) and expires=UNIXTIME, with a comma between. The first row that matches decides: the reply names one above that makes the new one useless, and before=N puts it above row N of spammerlist."},
	{"spammerdel", "address [mask]", "changes ours", "",
		codes{ctrl.CodeOpenFile, ctrl.CodeNoRecord, ctrl.CodeInvalid, ctrl.CodeBadNetwork},
		"Lifts the ban of a network, however it is written there."},
	{"spammerlist", "[address-pattern [params-pattern]]", "list ours", "address mask params row", nil,
		"Lists the networks that are banned, in the order in which they are asked. Row is the number of the row in the table; those that have expired are left out."},

	{"spamaddradd", "pattern", "changes ours", "",
		codes{ctrl.CodeOpenFile, ctrl.CodeCreateFile, ctrl.CodeInvalid, ctrl.CodeExists},
		"Bans the senders whose address matches a pattern, such as *@example.org."},
	{"spamaddrdel", "pattern", "changes ours", "",
		codes{ctrl.CodeOpenFile, ctrl.CodeNoRecord, ctrl.CodeInvalid},
		"Lifts the ban of a pattern of senders, which is given by its own text."},
	{"spamaddrlist", "[pattern]", "list ours", "pattern", nil,
		"Lists the patterns of banned senders, all or those that match the pattern."},

	{"ipmapadd", "service address [mask] permission precedence [expires] [force]", "changes ours", "",
		codes{ctrl.CodeNoUser, ctrl.CodeOpenFile, ctrl.CodeCreateFile, ctrl.CodeNoDomain, ctrl.CodeNoRecord, ctrl.CodeInvalid, ctrl.CodeExists, ctrl.CodeBadNetwork},
		"Adds a network to the address map of a service (ctrl, smtp, pop3, finger) or of one account (pop3:user@domain). The permission is ALLOW or DENY; of the rows that match the one of the highest precedence decides. With expires=UNIXTIME the row counts until then, and is removed after it. What would shut out the address that asks from the control port, then or now, needs the word force at the end."},
	{"ipmapdel", "service address [mask [force]]", "changes ours", "",
		codes{ctrl.CodeNoUser, ctrl.CodeOpenFile, ctrl.CodeCreateFile, ctrl.CodeNoDomain, ctrl.CodeNoRecord, ctrl.CodeInvalid, ctrl.CodeBadNetwork},
		"Removes a network from an address map. What would shut out the address that asks from the control port needs the word force at the end."},
	{"ipmaplist", "[service-pattern [address-pattern]]", "list ours", "service address mask permission precedence expires",
		codes{ctrl.CodeNoUser, ctrl.CodeOpenFile, ctrl.CodeNoDomain, ctrl.CodeNoRecord, ctrl.CodeInvalid},
		"Lists the rows of address maps: of the services that match the pattern, or of accounts where it begins with pop3: as pop3:*@example.org does. Rows that have expired are left out."},

	{"ippropadd", "address property... [before] [force]", "changes ours", "",
		codes{ctrl.CodeOpenFile, ctrl.CodeCreateFile, ctrl.CodeInvalid, ctrl.CodeExists, ctrl.CodeBadNetwork},
		"Gives SMTP clients of a network, address/bits or one address, properties: NAME=1 or NAME=0 with WhiteList, NoAuth, SenderDomainCheck, EaseTLS, EnableVRFY, EnableETRN, Relay (may relay), Deny (is refused). The first row that matches decides: the reply names one above that makes the new one useless, and before=N at the end puts it above row N of ipproplist. What lets everybody relay needs the word force at the end."},
	{"ippropdel", "address", "changes ours", "",
		codes{ctrl.CodeOpenFile, ctrl.CodeNoRecord, ctrl.CodeInvalid, ctrl.CodeBadNetwork},
		"Removes the properties of a network, however it is written there."},
	{"ipproplist", "[address-pattern [property-pattern]]", "list ours", "address properties row", nil,
		"Lists the properties of networks, with commas between, in the order in which they are asked. Row is the number of the row in the table."},

	{"hnpropadd", "host property... [before]", "changes ours", "",
		codes{ctrl.CodeOpenFile, ctrl.CodeCreateFile, ctrl.CodeInvalid, ctrl.CodeExists},
		"Gives SMTP clients properties by the name that the DNS has for them: a host, or with a dot before it the hosts below a domain. For the properties and before=N see ippropadd."},
	{"hnpropdel", "host", "changes ours", "",
		codes{ctrl.CodeOpenFile, ctrl.CodeNoRecord, ctrl.CodeInvalid},
		"Removes the properties of a host or of the hosts below a domain."},
	{"hnproplist", "[host-pattern [property-pattern]]", "list ours", "host properties row", nil,
		"Lists the properties of hosts, with commas between, in the order in which they are asked. Row is the number of the row in the table."},

	{"smtpgwadd", "domain gateway [before]", "changes ours", "",
		codes{ctrl.CodeOpenFile, ctrl.CodeCreateFile, ctrl.CodeInvalid, ctrl.CodeExists},
		"Routes the mail for a domain, or for the domains that match a pattern, by a gateway: @host, or @host,@host for a way over several. The first row that matches decides: the reply names one above that makes the new one useless, and before=N at the end puts it above row N of smtpgwlist."},
	{"smtpgwdel", "domain", "changes ours", "",
		codes{ctrl.CodeOpenFile, ctrl.CodeNoRecord, ctrl.CodeInvalid},
		"Removes the gateway of a domain or of a pattern, which is given by its own text."},
	{"smtpgwlist", "[domain-pattern [gateway-pattern]]", "list ours", "domain gateway row", nil,
		"Lists gateways, in the order in which they are asked. Row is the number of the row in the table."},

	{"smtpfwdadd", "domain mxlist [options [before]]", "changes ours", "",
		codes{ctrl.CodeOpenFile, ctrl.CodeCreateFile, ctrl.CodeInvalid, ctrl.CodeExists},
		"Sends the mail for a domain, or for the domains that match a pattern, to hosts instead of its own: host[:port];host[:port] and so on, in random order with a # in front. Options are NeedTLS=0, 1 (where offered) or 2 (required), and OutBind=ADDRESS, with commas between. The first row that matches decides: the reply names one above that makes the new one useless, and before=N at the end puts it above row N of smtpfwdlist."},
	{"smtpfwddel", "domain", "changes ours", "",
		codes{ctrl.CodeOpenFile, ctrl.CodeNoRecord, ctrl.CodeInvalid},
		"Removes the hosts of a domain or of a pattern, which is given by its own text."},
	{"smtpfwdlist", "[domain-pattern [mxlist-pattern]]", "list ours", "domain mxlist options row", nil,
		"Lists the hosts that mail is sent to, in the order in which they are asked. Row is the number of the row in the table."},

	{"ipcheck", "service address [host]", "list ours", "table row entry effect",
		codes{ctrl.CodeNoUser, ctrl.CodeOpenFile, ctrl.CodeNoDomain, ctrl.CodeNoRecord, ctrl.CodeInvalid, ctrl.CodeBadNetwork},
		"Shows how a client of a service (ctrl, smtp, pop3, finger, pop3:user@domain) is treated: the rows that match it in the order in which the tables are asked, and then a row whose table is verdict and whose entry is ALLOW, DENY, LOGIN (only after a login) or DELAY, and for smtp one named relay. Host is the name that the DNS has for the address; without it the server of SMTP asks the DNS where a table needs the name."},

	{"resolve", "address [sender [ip]]", "list ours", "step result detail", codes{ctrl.CodeBadAddress, ctrl.CodeInvalid},
		"Shows what would happen to a mail to an address, step by step, by what takes and delivers mail, and does nothing. With the address of a client it begins with what SMTP would answer to it (client, sender, recipient), without a login; a refusal ends it. Then where the address leads (address), the account, the list or the file, the files of filters that would look at it, the commands that would run, and for what leaves the rule (branch) and the hosts in the order in which they are tried; end says what becomes of it. Copies that redirections make are followed, each after a row copy. An empty sender is the null one. Neither filters nor programs run."},
}
