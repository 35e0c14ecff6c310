package mailroot

import "strings"

// roles are the names that every domain has to take mail for (RFC 2142), with
// the one that the reference writes its own notices to.
var roles = []string{"root", "postmaster", "abuse"}

// folders of a fresh MailRoot, parents first. Some are there for the
// reference alone, which does not start without them.
var folders = []string{
	"bin", "certs", "cmdaliases", "custdomains", "dnscache", "dnscache/mx", "dnscache/ns", "domains", "filters", "logs",
	"msgsync", "pop3linklocks", "pop3links", "pop3locks", "spool", "spool/local", "spool/temp", "tabindex", "tmp",
	"userauth", "userauth/pop3", "userauth/smtp",
}

var emptyTables = []string{
	"aliasdomain.tab", "dnsroots", "extaliases.tab", "filters.in.tab", "filters.out.tab", "filters.post-data.tab", "filters.post-rcpt.tab",
	"filters.pre-data.tab", "pop3links.tab", "smtp.hnprop.tab", "smtp.ipprop.tab", "smtpauth.tab", "smtpextauth.tab", "smtpfwd.tab",
	"smtpgw.tab", "spam-address.tab", "spammers.tab",
}

func serverTab(domain string) string {
	const text = `# Settings of the whole server: "name" TAB "value". The first line of a name counts.

# 1: safe defaults. 0, or no such line: the defaults of XMail 1.27.
"CompatLevel"	"1"

# What the server calls itself, and where its own notices come from and go to.
"RootDomain"	"DOMAIN"
"SmtpServerDomain"	"DOMAIN"
"POP3Domain"	"DOMAIN"
"HeloDomain"	"DOMAIN"
"PostMaster"	"postmaster@DOMAIN"
"ErrorsAdmin"	"postmaster@DOMAIN"

# What an account may do that has no SmtpPerms of its own: M send, R relay.
"DefaultSmtpPerms"	"MR"
`
	return strings.ReplaceAll(text, "DOMAIN", domain)
}

// smtpRelayTab lets this machine alone send mail to the world without a
// password. The rows in comments are what the reference ships.
const smtpRelayTab = `# Who may send mail to other servers through this one without a password.
# A network is "address" TAB "mask", or "address/bits".
"127.0.0.0"	"255.0.0.0"
"::1/128"
# Private networks; take the # away from those that are yours alone.
#"10.0.0.0"	"255.0.0.0"
#"172.16.0.0"	"255.240.0.0"
#"192.168.0.0"	"255.255.0.0"
`

// ctrlMapTab closes the control port to all but this machine, also when it is
// bound to another address by mistake.
const ctrlMapTab = `# Who may connect to the control port: "address" TAB "mask" TAB "ALLOW" or "DENY" TAB precedence.
# The highest precedence wins. To let one network in, add a line as
#"192.168.1.0"	"255.255.255.0"	"ALLOW"	2
"0.0.0.0"	"0.0.0.0"	"DENY"	1
"127.0.0.0"	"255.0.0.0"	"ALLOW"	2
"::1/128"	""	"ALLOW"	2
`

const userDefTab = `"RealName"	""
"HomePage"	""
"MaxMBSize"	"1000000"
"SmtpPerms"	"MR"
"ReceiveEnable"	"1"
"PopEnable"	"1"
`
