package main

import (
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

// existsCodes say that a name is taken, missingCodes that a thing is not there.
var (
	existsCodes = []ctrl.Code{
		ctrl.CodeUserExists, ctrl.CodeAliasExists, ctrl.CodeLinkExists, ctrl.CodeMemberExists,
		ctrl.CodeExAliasExists, ctrl.CodeDomainExists, ctrl.CodeAliasDomExists, ctrl.CodeExists,
	}
	missingCodes = []ctrl.Code{
		ctrl.CodeNoUser, ctrl.CodeOpenFile, ctrl.CodeNoAlias, ctrl.CodeNoLink, ctrl.CodeNoMember,
		ctrl.CodeNoSpoolFile, ctrl.CodeNoDomain, ctrl.CodeNoExAlias, ctrl.CodeNoMailbox, ctrl.CodeNoMailProc,
		ctrl.CodeNoCustomDomain, ctrl.CodeNoRecord, ctrl.CodeRename, ctrl.CodeNoVariable,
		ctrl.CodeNoAliasDomain, ctrl.CodeNoDir, ctrl.CodeNotFound,
	}
)

// statusOf returns the exit status of --status for a refused command.
func statusOf(code ctrl.Code) int {
	switch {
	case slices.Contains(existsCodes, code):
		return exitExists
	case slices.Contains(missingCodes, code):
		return exitMissing
	}
	return exitRefused
}

// sameExists has, for each command that adds, the codes by which the server says
// that this very thing exists. An alias that cannot be added because an
// account has its name is not among them.
var sameExists = map[string][]ctrl.Code{
	"useradd":        {ctrl.CodeUserExists},
	"aliasadd":       {ctrl.CodeAliasExists},
	"exaliasadd":     {ctrl.CodeExAliasExists},
	"mluseradd":      {ctrl.CodeMemberExists},
	"domainadd":      {ctrl.CodeDomainExists, ctrl.CodeExists},
	"aliasdomainadd": {ctrl.CodeAliasDomExists},
	"poplnkadd":      {ctrl.CodeLinkExists},
	"relayadd":       {ctrl.CodeExists},
	"spammeradd":     {ctrl.CodeExists},
	"spamaddradd":    {ctrl.CodeExists},
	"ipmapadd":       {ctrl.CodeExists},
	"ippropadd":      {ctrl.CodeExists},
	"hnpropadd":      {ctrl.CodeExists},
	"smtpauthadd":    {ctrl.CodeExists},
	"ctrluseradd":    {ctrl.CodeExists},
	"smtpgwadd":      {ctrl.CodeExists},
	"smtpfwdadd":     {ctrl.CodeExists},
}

// sameMissing has, for each command that removes, the codes by which the
// server says that what was to be removed is not there; what belongs to a
// domain or an account that is not there is not there either.
var sameMissing = map[string][]ctrl.Code{
	"userdel":        {ctrl.CodeNoUser, ctrl.CodeNoRecord, ctrl.CodeNoDomain},
	"aliasdel":       {ctrl.CodeNoAlias},
	"exaliasdel":     {ctrl.CodeNoExAlias},
	"mluserdel":      {ctrl.CodeNoMember, ctrl.CodeNoUser, ctrl.CodeNoRecord, ctrl.CodeNoDomain},
	"domaindel":      {ctrl.CodeNoDomain},
	"aliasdomaindel": {ctrl.CodeNoAliasDomain},
	"poplnkdel":      {ctrl.CodeNoLink, ctrl.CodeNoUser, ctrl.CodeNoRecord},
	"relaydel":       {ctrl.CodeNoRecord},
	"spammerdel":     {ctrl.CodeNoRecord},
	"spamaddrdel":    {ctrl.CodeNoRecord},
	"ipmapdel":       {ctrl.CodeNoRecord},
	"ippropdel":      {ctrl.CodeNoRecord},
	"hnpropdel":      {ctrl.CodeNoRecord},
	"smtpauthdel":    {ctrl.CodeNoRecord},
	"ctrluserdel":    {ctrl.CodeNoRecord},
	"smtpgwdel":      {ctrl.CodeNoRecord},
	"smtpfwddel":     {ctrl.CodeNoRecord},
}

// tolerated reports whether --exists-ok or --missing-ok make a success of the
// refusal of a command.
func (o *options) tolerated(words []string, code ctrl.Code) bool {
	command := commandOf(words)
	return o.existsOK && slices.Contains(sameExists[command], code) ||
		o.missingOK && slices.Contains(sameMissing[command], code)
}

// commandOf returns the name of the command that words run or try.
func commandOf(words []string) string {
	command := strings.ToLower(words[0])
	if command == "try" && len(words) > 1 {
		command = strings.ToLower(words[1])
	}
	return command
}
