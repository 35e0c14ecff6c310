package commands

import "github.com/xmaild/xmaild/pkg/ctrl"

const svarColumns = "name type default value set applies"

// accountTable has the commands on accounts of every kind that the reference
// does not have.
var accountTable = []entry{
	// Users.
	{"userrename", "domain user new-name [keep-alias]", "changes ours", "",
		codes{ctrl.CodeNoUsersTable, ctrl.CodeNoUser, ctrl.CodeUserExists, ctrl.CodeMakeDir, ctrl.CodeNoAliasesTable, ctrl.CodeAliasExists,
			ctrl.CodeNoDomain, ctrl.CodeNoRecord, ctrl.CodeRename, ctrl.CodeBadName, ctrl.CodeInvalid},
		"Gives an account another name, with its folder, the aliases, external aliases and POP3 links that lead to it, and its entries in the mailing lists of this server. With keep-alias the old name stays as an alias. It looks into every mailing list."},

	{"userdisable", "domain user [reason [receive]]", "changes ours", "",
		codes{ctrl.CodeCreateFile, ctrl.CodeNoUser, ctrl.CodeNoDomain, ctrl.CodeNoRecord, ctrl.CodeInvalid},
		"Closes an account to POP3, SMTP authentication and SMTP after POP3, with a reason that userstat shows; with receive, which may stand in the place of the reason, to mail as well. Its user.tab says so. Of an account that is disabled already it changes the reason and what is closed."},
	{"userenable", "domain user", "changes ours", "",
		codes{ctrl.CodeCreateFile, ctrl.CodeNoUser, ctrl.CodeNoDomain, ctrl.CodeNoRecord, ctrl.CodeConflict},
		"Makes a disabled account what it was before."},
	{"userexport", "[domain-pattern [user-pattern]]", "list ours", "domain user stored type", nil,
		"Lists accounts, all or those that match the patterns, with their passwords in the form in which the table of accounts has them. useradd and userpasswd take that form when the word stored is their last argument."},
	{"userusage", "[domain-pattern [user-pattern]]", "list ours", "domain user bytes limit messages last-login", nil,
		"Lists the accounts that have a mailbox, all or those that match the patterns: the size of their mail and the limit of it (0: none), in bytes, the number of messages, and the time of the last login to POP3 (RFC 3339, UTC; empty: none)."},

	// Logins to SMTP without an account.
	{"smtpauthadd", "user password perms", "changes ours", "",
		codes{ctrl.CodeOpenFile, ctrl.CodeInvalid, ctrl.CodeExists},
		"Lets somebody without an account log in to SMTP. The permissions are letters of M (may send), R (may relay), V (VRFY), T (ETRN), Z (messages of any size) and S (without TLS where it is wanted), or none. The table has the password in clear, as XMail reads it, or a hash, as PasswordScheme says."},
	{"smtpauthdel", "user", "changes ours", "",
		codes{ctrl.CodeOpenFile, ctrl.CodeNoRecord},
		"Removes a login to SMTP."},
	{"smtpauthpasswd", "user password", "changes ours", "",
		codes{ctrl.CodeOpenFile, ctrl.CodeNoRecord, ctrl.CodeInvalid},
		"Gives a login to SMTP a new password."},
	{"smtpauthlist", "[user-pattern]", "list ours", "user password perms", nil,
		"Lists the logins to SMTP that have no account. The password is in clear, or empty where the server does not show passwords or has a hash."},

	// Administrators.
	{"ctrluseradd", "name password", "changes ours", "",
		codes{ctrl.CodeNoAccountsTable, ctrl.CodeInvalid, ctrl.CodeExists},
		"Adds an account for the control port. A password that begins with # is refused, since a login would take it for an MD5 digest."},
	{"ctrluserdel", "name", "changes ours", "",
		codes{ctrl.CodeNoAccountsTable, ctrl.CodeNoRecord, ctrl.CodeConflict},
		"Removes an account for the control port, but never the last one."},
	{"ctrluserpasswd", "name password", "changes ours", "",
		codes{ctrl.CodeNoAccountsTable, ctrl.CodeNoRecord, ctrl.CodeInvalid},
		"Gives an account for the control port a new password."},
	{"ctrluserlist", "[name-pattern]", "list ours", "name", nil,
		"Lists the accounts for the control port."},

	// Files.
	{"cfgfilestat", "path", "list ours", "name value",
		codes{ctrl.CodeInvalid, ctrl.CodeOpenFile, ctrl.CodeBadPath},
		"Shows the size of a file of MailRoot in bytes, the time of its last change on disk, and its generation: a word that is another one when the file has changed, for cfgfileset. It needs the right to read the file."},

	// Variables of the server.
	{"svarset", "(name value)...", "changes ours", "",
		codes{ctrl.CodeNoProfile, ctrl.CodeNoVariable, ctrl.CodeInvalid},
		"Sets variables of the server, in server.tab, all of them or none. A name that the server does not know and a value that is not of the type of its variable are refused. The value .|rm removes a variable; one that is not there may be removed."},
	{"svarget", "name", "list ours", svarColumns,
		codes{ctrl.CodeNoVariable},
		"Shows one variable of the server, as svarlist does."},
	{"svarlist", "[name-pattern]", "list ours", svarColumns, nil,
		"Lists the variables of the server: type, what its absence means, its value, whether it is set at all (yes or no), and whether a change applies now or at a restart. A variable in server.tab that the server does not know is of the type unknown, and applies never."},
}
