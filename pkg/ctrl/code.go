package ctrl

import "fmt"

// A Status is the number of a reply that is not a refusal. On the wire it is
// "+" and five digits.
type Status int

const (
	StatusOK   Status = 0   // done, nothing follows
	StatusList Status = 100 // lines follow, then a line that is a dot
	StatusData Status = 101 // the server waits for lines and a line that is a dot, and replies again
)

// A Code is the number of a refusal. On the wire it is "-" and five digits:
// CodeUserExists is sent as -00013. Numbers are those of XMail 1.27, which uses
// some of them for more than their names say (see the constants), and some of
// its own departures are not followed: a refused login is always CodeLogin.
type Code int

// The refusals that this project sends, and those of XMail 1.27 that a client
// must expect.
const (
	CodeOK               Code = 0   // no refusal; never on the wire as one
	CodeShutdown         Code = 1   // the server is stopping; the command was not run; the session is closed
	CodeInternal         Code = 2   // the server failed in a way that has no code; its log says how
	CodeNetwork          Code = 3   // trouble of the network
	CodeTimeout          Code = 5   // no complete line came in time; the session is closed
	CodeLocked           Code = 6   // somebody else holds the lock
	CodeNoMailRoot       Code = 8   // no MailRoot
	CodeNoUsersTable     Code = 9   // mailusers.tab is missing
	CodeCreateFile       Code = 10  // a file cannot be created
	CodeNoUser           Code = 12  // no such user (userdel, alias domains; elsewhere CodeNoRecord)
	CodeUserExists       Code = 13  // there is such a user
	CodeWriteUsers       Code = 14  // mailusers.tab cannot be written
	CodeNoProfile        Code = 15  // user.tab or server.tab is missing
	CodeRemoveFile       Code = 16  // a file cannot be removed
	CodeMakeDir          Code = 17  // a folder cannot be made
	CodeRemoveDir        Code = 18  // a folder cannot be removed
	CodeOpenFile         Code = 19  // a file is missing or cannot be read
	CodeBadFile          Code = 20  // the content of a file is malformed
	CodeWriteFile        Code = 21  // a file cannot be written
	CodeBadPassword      Code = 24  // the password of a mail user is another (userauth)
	CodeNoAliasesTable   Code = 25  // aliases.tab is missing; in domainadd, domains.tab
	CodeAliasExists      Code = 26  // there is such an alias
	CodeNoAlias          Code = 28  // no such alias
	CodeBadMailAddress   Code = 33  // not a usable mail address
	CodeRelay            Code = 34  // relaying refused
	CodeNoHost           Code = 40  // a host name cannot be resolved, or is malformed
	CodeNoLinksTable     Code = 43  // pop3links.tab is missing
	CodeLinkExists       Code = 44  // there is such a POP3 link
	CodeNoLink           Code = 46  // no such POP3 link
	CodeNotList          Code = 50  // the account is not a mailing list
	CodeNoMembersTable   Code = 51  // mlusers.tab of the list is missing
	CodeMemberExists     Code = 52  // there is such a list member
	CodeNoMember         Code = 53  // no such list member
	CodeNoSpoolFile      Code = 54  // no such message in the queue
	CodeBadSpoolFile     Code = 55  // a spool file is malformed
	CodeNoDomainsTable   Code = 58  // domains.tab is missing
	CodeNoDomain         Code = 59  // the domain is not handled here
	CodeNoExAliasesTable Code = 66  // extaliases.tab is missing
	CodeExAliasExists    Code = 67  // there is such an external alias
	CodeNoExAlias        Code = 69  // no such external alias
	CodeNoMailbox        Code = 97  // the account has no mailbox (userstat of a mailing list)
	CodeCommand          Code = 103 // unknown command, or a wrong number of arguments
	CodeDomainExists     Code = 104 // the domain is in the table already
	CodeLogin            Code = 105 // login refused
	CodeNoAccountsTable  Code = 106 // ctrlaccounts.tab is missing
	CodeExternal         Code = 114 // an external program failed
	CodeNoMailProc       Code = 116 // no mail processing file
	CodeNoCustomDomain   Code = 120 // no custom domain file applies
	CodeTooManySessions  Code = 129 // too many sessions, or too many of one address
	CodeNotAllowed       Code = 130 // the address may not connect, or is blocked for a while
	CodeBadAddress       Code = 132 // syntax of a mail address or a host name
	CodeForbidden        Code = 150 // no right to do this
	CodeReadFile         Code = 154 // a file cannot be read to its end
	CodeNoRecord         Code = 157 // no such record: the usual answer for "no such user"
	CodeLoginLogged      Code = 161 // XMail 1.27 only: login refused where logins are logged
	CodeLineTooLong      Code = 162 // a line is over the limit; the session is closed
	CodeRename           Code = 164 // a file cannot be renamed
	CodeNoVariable       Code = 192 // no such variable
	CodeDiskFull         Code = 197 // not enough disk space
	CodeDisabled         Code = 199 // the account is disabled
	CodeNoAliasDomTable  Code = 204 // aliasdomain.tab is missing
	CodeAliasDomExists   Code = 205 // there is such an alias domain, or a domain of that name
	CodeNoAliasDomain    Code = 206 // no such alias domain
	CodeNoDir            Code = 211 // the folder to list is missing
	CodeBadPath          Code = 214 // a path that leaves MailRoot
	CodeBadName          Code = 216 // not a valid name of a user or an alias
	CodeInvalid          Code = 230 // a value is not one of those allowed, or holds a control character
	CodeExists           Code = 231 // there is one already
	CodeTLSSetup         Code = 232 // TLS cannot be set up here (certificate, key)
	CodeTLSActive        Code = 242 // the connection is under TLS already
	CodeTLSRequired      Code = 245 // this needs TLS
	CodeNotFound         Code = 246 // not found
	CodeBadInput         Code = 248 // input that cannot be: bytes in clear after #!TLS
	CodeTLSOff           Code = 249 // TLS is switched off here
	CodeConflict         Code = 251 // not now: the state is not the one that the command is for
	CodeBadHost          Code = 260 // not a valid domain name
	CodeBadNetwork       Code = 261 // not a valid network address
	CodeTooMany          Code = 264 // too many of something
	CodeTooBig           Code = 268 // the upload is too big; the session is closed
)

// Text returns what the code means in a few words, beginning in lower case, or
// "error N" for a code without a constant.
func (c Code) Text() string {
	if s, ok := codeTexts[c]; ok {
		return s
	}
	return fmt.Sprintf("error %d", int(c))
}

// String returns the code as it is on the wire, "-00013" ("+00000" for CodeOK).
func (c Code) String() string {
	if c == CodeOK {
		return "+00000"
	}
	return fmt.Sprintf("-%05d", int(c))
}

// String returns the status as it is on the wire, "+00100".
func (s Status) String() string { return fmt.Sprintf("+%05d", int(s)) }

// An Error is a refusal: what a server replies with instead of a [Status].
// A client gets it from the server's reply, a server's functions may return it
// to choose the reply.
type Error struct {
	Code Code
	Text string // without the code; "" stands for Code.Text()
}

// Error returns the reply line, "-00059 text".
func (e *Error) Error() string { return e.Code.String() + " " + e.message() }

// Is reports whether target is an *Error of the same code and either the same
// text or none, so that errors.Is(err, &Error{Code: CodeNoUser}) asks for the code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && (t.Text == "" || t.Text == e.Text)
}

func (e *Error) message() string {
	if e.Text != "" {
		return e.Text
	}
	return e.Code.Text()
}

var codeTexts = map[Code]string{
	CodeOK:               "no error",
	CodeShutdown:         "the server is shutting down",
	CodeInternal:         "internal error of the server, see its log",
	CodeNetwork:          "network error",
	CodeTimeout:          "timed out",
	CodeLocked:           "locked by somebody else",
	CodeNoMailRoot:       "the MailRoot is missing",
	CodeNoUsersTable:     "the table of users is missing",
	CodeCreateFile:       "the file cannot be created",
	CodeNoUser:           "no such user",
	CodeUserExists:       "there is a user of this name",
	CodeWriteUsers:       "the table of users cannot be written",
	CodeNoProfile:        "the file of variables is missing",
	CodeRemoveFile:       "the file cannot be removed",
	CodeMakeDir:          "the folder cannot be made",
	CodeRemoveDir:        "the folder cannot be removed",
	CodeOpenFile:         "the file cannot be opened",
	CodeBadFile:          "the content of the file is malformed",
	CodeWriteFile:        "the file cannot be written",
	CodeBadPassword:      "wrong password",
	CodeNoAliasesTable:   "the table is missing",
	CodeAliasExists:      "there is an alias of this name",
	CodeNoAlias:          "no such alias",
	CodeBadMailAddress:   "not a usable mail address",
	CodeRelay:            "relaying refused",
	CodeNoHost:           "the host name cannot be resolved",
	CodeNoLinksTable:     "the table of POP3 links is missing",
	CodeLinkExists:       "there is such a POP3 link",
	CodeNoLink:           "no such POP3 link",
	CodeNotList:          "the account is not a mailing list",
	CodeNoMembersTable:   "the table of list members is missing",
	CodeMemberExists:     "there is such a list member",
	CodeNoMember:         "no such list member",
	CodeNoSpoolFile:      "no such message in the queue",
	CodeBadSpoolFile:     "the spool file is malformed",
	CodeNoDomainsTable:   "the table of domains is missing",
	CodeNoDomain:         "the domain is not handled here",
	CodeNoExAliasesTable: "the table of external aliases is missing",
	CodeExAliasExists:    "there is such an external alias",
	CodeNoExAlias:        "no such external alias",
	CodeNoMailbox:        "the account has no mailbox",
	CodeCommand:          "unknown command or wrong number of arguments",
	CodeDomainExists:     "the domain is in the table already",
	CodeLogin:            "login refused",
	CodeNoAccountsTable:  "the table of control accounts is missing",
	CodeExternal:         "the external program failed",
	CodeNoMailProc:       "no mail processing file",
	CodeNoCustomDomain:   "not a custom domain",
	CodeTooManySessions:  "too many sessions, try again later",
	CodeNotAllowed:       "connections from your address are not allowed",
	CodeBadAddress:       "malformed address",
	CodeForbidden:        "no right to do this",
	CodeReadFile:         "the file cannot be read",
	CodeNoRecord:         "no such record",
	CodeLoginLogged:      "login refused",
	CodeLineTooLong:      "the line is too long",
	CodeRename:           "the file cannot be renamed",
	CodeNoVariable:       "no such variable",
	CodeDiskFull:         "the disk is full",
	CodeDisabled:         "the account is disabled",
	CodeNoAliasDomTable:  "the table of alias domains is missing",
	CodeAliasDomExists:   "there is such an alias domain or domain",
	CodeNoAliasDomain:    "no such alias domain",
	CodeNoDir:            "no such folder",
	CodeBadPath:          "the path leaves its folder",
	CodeBadName:          "not a valid name",
	CodeInvalid:          "invalid value",
	CodeExists:           "there is one already",
	CodeTLSSetup:         "TLS is not set up here",
	CodeTLSActive:        "the connection is under TLS already",
	CodeTLSRequired:      "TLS is required",
	CodeNotFound:         "not found",
	CodeBadInput:         "input in clear after the request for TLS",
	CodeTLSOff:           "TLS is switched off",
	CodeConflict:         "not in this state",
	CodeBadHost:          "not a valid domain name",
	CodeBadNetwork:       "not a valid network address",
	CodeTooMany:          "too many",
	CodeTooBig:           "the upload is too big",
}
