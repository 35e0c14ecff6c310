package ctrld

import (
	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/admin"
)

// codes says by which code an administrator is told of an error.
var codes = map[admin.Kind]ctrl.Code{
	admin.Internal:           ctrl.CodeInternal,
	admin.AliasDomainExists:  ctrl.CodeAliasDomExists,
	admin.AliasExists:        ctrl.CodeAliasExists,
	admin.BadAddress:         ctrl.CodeBadAddress,
	admin.BadAddressLiteral:  ctrl.CodeNoHost,
	admin.BadContent:         ctrl.CodeBadFile,
	admin.BadDomain:          ctrl.CodeBadHost,
	admin.BadMailAddress:     ctrl.CodeBadMailAddress,
	admin.BadName:            ctrl.CodeBadName,
	admin.BadNetwork:         ctrl.CodeBadNetwork,
	admin.BadPath:            ctrl.CodeBadPath,
	admin.BadSpoolFile:       ctrl.CodeBadSpoolFile,
	admin.Canceled:           ctrl.CodeShutdown,
	admin.CannotCreate:       ctrl.CodeCreateFile,
	admin.CannotMakeDir:      ctrl.CodeMakeDir,
	admin.CannotRead:         ctrl.CodeOpenFile,
	admin.CannotRemoveDir:    ctrl.CodeRemoveDir,
	admin.CannotRename:       ctrl.CodeRename,
	admin.CannotWrite:        ctrl.CodeWriteFile,
	admin.Conflict:           ctrl.CodeConflict,
	admin.Exists:             ctrl.CodeExists,
	admin.ExtAliasExists:     ctrl.CodeExAliasExists,
	admin.Forbidden:          ctrl.CodeForbidden,
	admin.Invalid:            ctrl.CodeInvalid,
	admin.LinkExists:         ctrl.CodeLinkExists,
	admin.MemberExists:       ctrl.CodeMemberExists,
	admin.NoAccountsTable:    ctrl.CodeNoAccountsTable,
	admin.NoAlias:            ctrl.CodeNoAlias,
	admin.NoAliasDomain:      ctrl.CodeNoAliasDomain,
	admin.NoAliasDomainTable: ctrl.CodeNoAliasDomTable,
	admin.NoAliasesTable:     ctrl.CodeNoAliasesTable,
	admin.NoCustomDomain:     ctrl.CodeNoCustomDomain,
	admin.NoDomain:           ctrl.CodeNoDomain,
	admin.NoDomainsTable:     ctrl.CodeNoDomainsTable,
	admin.NoExtAlias:         ctrl.CodeNoExAlias,
	admin.NoExtAliasesTable:  ctrl.CodeNoExAliasesTable,
	admin.NoFolder:           ctrl.CodeNoDir,
	admin.NoLink:             ctrl.CodeNoLink,
	admin.NoLinksTable:       ctrl.CodeNoLinksTable,
	admin.NoMailbox:          ctrl.CodeNoMailbox,
	admin.NoMailProc:         ctrl.CodeNoMailProc,
	admin.NoMember:           ctrl.CodeNoMember,
	admin.NoMembersTable:     ctrl.CodeNoMembersTable,
	admin.NoMessage:          ctrl.CodeNoSpoolFile,
	admin.NoRecord:           ctrl.CodeNoRecord,
	admin.NoServerTable:      ctrl.CodeNoProfile,
	admin.NoUser:             ctrl.CodeNoUser,
	admin.NoUsersTable:       ctrl.CodeNoUsersTable,
	admin.NoVariable:         ctrl.CodeNoVariable,
	admin.NotList:            ctrl.CodeNotList,
	admin.UserExists:         ctrl.CodeUserExists,
	admin.WrongPassword:      ctrl.CodeBadPassword,
}

func codeOf(kind admin.Kind) ctrl.Code {
	if code, ok := codes[kind]; ok {
		return code
	}
	return ctrl.CodeInternal
}
