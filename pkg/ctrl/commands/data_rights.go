package commands

import "github.com/xmaild/xmaild/pkg/ctrl"

// rightsTable has the commands on transactions, on the rights of administrators, and on
// what they did.
var rightsTable = []entry{
	{"begin", "", "ours", "",
		codes{ctrl.CodeConflict, ctrl.CodeTooMany},
		"Begins a transaction: the commands that follow are collected, not run, until commit or rollback. Only plain commands that change tables are taken, at most 100000 of them or 64 MB; each is answered +00000 when its arguments are as many as they should be and the administrator has the right to it."},
	{"commit", "[check]", "changes ours", "",
		codes{ctrl.CodeConflict},
		"Runs the collected commands in order as one transaction, in which each sees the changes of those before it. When one is refused nothing changes, and its code is answered. With check nothing changes, and a list has number, code and text of each command that would be refused; the transaction goes on."},
	{"rollback", "", "ours", "",
		codes{ctrl.CodeConflict},
		"Forgets the collected commands. So do quit and a connection that is lost."},
	{"adminset", "name rights", "changes ours", "",
		codes{ctrl.CodeCreateFile, ctrl.CodeBadFile, ctrl.CodeNoDomain, ctrl.CodeNoAccountsTable, ctrl.CodeNoRecord, ctrl.CodeInvalid, ctrl.CodeConflict},
		"Gives a control account rights, from its next command on: all, read, either with ,secrets, or the domains that it administers with commas between them. One account always keeps the right to everything."},
	{"adminlist", "", "list ours", "name rights", nil,
		"Lists the control accounts with their rights."},
	{"auditlist", "[since [pattern]]", "list ours", "time administrator address command arguments code",
		codes{ctrl.CodeOpenFile, ctrl.CodeInvalid},
		"Lists who changed what, what was refused for want of a right, and who read mail or secrets, the newest last: all, or from a time on (RFC 3339 or seconds since 1970), or where the pattern matches administrator, address, command or arguments. A pattern may stand alone."},
}
