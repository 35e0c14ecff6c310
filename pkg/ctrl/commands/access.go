package commands

import "slices"

// A Need is what a command asks of the rights of whoever sends it.
type Need string

const (
	Own     Need = "none"    // nothing: it is for anybody who has logged in
	Read    Need = "read"    // it shows how things are
	Change  Need = "change"  // it changes something
	Secrets Need = "secrets" // it shows mail or secrets
	Admin   Need = "all"     // it is for full administrators only
)

// Access says who may send a command. A full administrator may send all of them,
// a read-only one those of Own and Read, and with the right to secrets those of
// Secrets. An administrator of domains may send those of Own, and of Read and Change
// those that are about one of the domains.
type Access struct {
	Need Need

	// DomainArg is the index of the argument that has the domain, and with Address a
	// mail address in it; -1: none.
	DomainArg int
	Address   bool

	// Column is the index of the column of a list by which an administrator of domains
	// is shown the rows of those; -1: none.
	Column int

	// ByRow says that the command itself keeps inside the domains.
	ByRow bool
}

// Domains reports whether the command can be about domains, so that their
// administrators may send it.
func (a Access) Domains() bool { return a.DomainArg >= 0 || a.Column >= 0 || a.ByRow }

// Access returns who may send the command. One without an entry is for full
// administrators.
func (c Command) Access() Access {
	e, ok := accesses[c.Name]
	if !ok {
		return Access{Need: Admin, DomainArg: -1, Column: -1}
	}
	return Access{
		Need: e.need, DomainArg: c.arg(e.domain), Address: e.domain == "local-address",
		Column: slices.Index(c.Rows, e.column), ByRow: e.byRow,
	}
}

// who returns the words of the manual on who may send the command.
func (c Command) who() string {
	a := c.Access()
	switch {
	case a.Need == Own:
		return "every administrator"
	case a.Need == Secrets:
		return "full administrators, and read-only ones with the right secrets"
	case a.Need == Read && (a.Column >= 0 || a.ByRow):
		return "full and read-only administrators; those of domains see the rows of theirs"
	case a.Need == Read && a.Domains():
		return "full and read-only administrators, and those of the domain"
	case a.Need == Read:
		return "full and read-only administrators"
	case a.Need == Change && a.Domains():
		return "full administrators, and those of the domain"
	}
	return "full administrators"
}

// alone are the plain commands that cannot be part of a transaction: what they change
// are no tables.
var alone = []string{"commit", "frozsubmit", "frozdel", "etrn", "sesskill", "queueretry", "queuefreeze", "queuedel"}

// Collectable reports whether the command may stand between "begin" and "commit".
func (c Command) Collectable() bool {
	return c.Kind == Plain && c.Changes && !slices.Contains(alone, c.Name)
}

// An access is an Access by the names of an argument and of a column.
type access struct {
	need           Need
	domain, column string
	byRow          bool
}

// accesses has who may send which command.
var accesses = map[string]access{
	// The session.
	"noop": {need: Own}, "quit": {need: Own}, "help": {need: Own}, "sync": {need: Own},
	"try": {need: Own}, "begin": {need: Own}, "commit": {need: Own}, "rollback": {need: Own},

	// Users.
	"useradd":      {need: Change, domain: "domain"},
	"userdel":      {need: Change, domain: "domain"},
	"userpasswd":   {need: Change, domain: "domain"},
	"userrename":   {need: Change, domain: "domain"},
	"userdisable":  {need: Change, domain: "domain"},
	"userenable":   {need: Change, domain: "domain"},
	"uservarsset":  {need: Change, domain: "domain"},
	"usersetmproc": {need: Change, domain: "domain"},
	"userauth":     {need: Read, domain: "domain"},
	"userstat":     {need: Read, domain: "domain"},
	"uservars":     {need: Read, domain: "domain"},
	"usergetmproc": {need: Read, domain: "domain"},
	"userlist":     {need: Read, column: "domain"},
	"userusage":    {need: Read, column: "domain"},
	"userexport":   {need: Secrets},

	// Aliases, mailing lists, POP3 links.
	"aliasadd":     {need: Change, domain: "domain"},
	"aliasdel":     {need: Change, domain: "domain"},
	"aliaslist":    {need: Read, column: "domain"},
	"exaliasadd":   {need: Change, domain: "local-address"},
	"exaliasdel":   {need: Change, byRow: true},
	"exaliaslist":  {need: Read, column: "local-host"},
	"mluseradd":    {need: Change, domain: "domain"},
	"mluserdel":    {need: Change, domain: "domain"},
	"mluserlist":   {need: Read, domain: "domain"},
	"poplnkadd":    {need: Change, domain: "domain"},
	"poplnkdel":    {need: Change, domain: "domain"},
	"poplnkenable": {need: Change, domain: "domain"},
	"poplnklist":   {need: Read, column: "domain"},

	// Domains.
	"domainadd":       {need: Admin},
	"domaindel":       {need: Admin},
	"domainlist":      {need: Read, column: "domain"},
	"aliasdomainadd":  {need: Admin},
	"aliasdomaindel":  {need: Admin},
	"aliasdomainlist": {need: Read, column: "real-domain"},
	"custdomget":      {need: Read},
	"custdomset":      {need: Admin},
	"custdomlist":     {need: Read},

	// Files and the queue.
	"filelist":    {need: Read},
	"cfgfileget":  {need: Read}, // secrets and mail in files need more
	"cfgfilestat": {need: Read},
	"cfgfileset":  {need: Admin},
	"frozlist":    {need: Read},
	"frozgetlog":  {need: Read},
	"frozgetmsg":  {need: Secrets},
	"frozsubmit":  {need: Admin},
	"frozdel":     {need: Admin},
	"etrn":        {need: Admin},
	"queuelist":   {need: Read, byRow: true},
	"queueshow":   {need: Read, byRow: true},
	"queueretry":  {need: Admin},
	"queuefreeze": {need: Admin},
	"queuedel":    {need: Admin},

	// Security tables.
	"relayadd": {need: Admin}, "relaydel": {need: Admin}, "relaylist": {need: Read},
	"spammeradd": {need: Admin}, "spammerdel": {need: Admin}, "spammerlist": {need: Read},
	"spamaddradd": {need: Admin}, "spamaddrdel": {need: Admin}, "spamaddrlist": {need: Read},
	"ipmapadd": {need: Admin}, "ipmapdel": {need: Admin}, "ipmaplist": {need: Read},
	"ippropadd": {need: Admin}, "ippropdel": {need: Admin}, "ipproplist": {need: Read},
	"hnpropadd": {need: Admin}, "hnpropdel": {need: Admin}, "hnproplist": {need: Read},
	"smtpgwadd": {need: Admin}, "smtpgwdel": {need: Admin}, "smtpgwlist": {need: Read},
	"smtpfwdadd": {need: Admin}, "smtpfwddel": {need: Admin}, "smtpfwdlist": {need: Read},
	"smtpauthadd": {need: Admin}, "smtpauthdel": {need: Admin}, "smtpauthpasswd": {need: Admin}, "smtpauthlist": {need: Read},
	"ipcheck": {need: Read}, "resolve": {need: Read},

	// Sessions.
	"sesslist": {need: Read}, "sesskill": {need: Admin},

	// Settings of the server and its administrators.
	"svarset": {need: Admin}, "svarget": {need: Read}, "svarlist": {need: Read},
	"ctrluseradd": {need: Admin}, "ctrluserdel": {need: Admin}, "ctrluserpasswd": {need: Admin}, "ctrluserlist": {need: Read},
	"adminset": {need: Admin}, "adminlist": {need: Admin}, "auditlist": {need: Admin},
}
