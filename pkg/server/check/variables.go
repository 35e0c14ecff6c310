package check

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// The kinds of variables.
const (
	text = iota
	number
	flag
)

// serverVars are the variables of server.tab: those of the reference
// (docs/reference/tables.md 5.1), then ours.
var serverVars = map[string]int{
	"RootDomain": text, "SmtpServerDomain": text, "POP3Domain": text, "HeloDomain": text, "PostMaster": text, "ErrorsAdmin": text,
	"TempErrorsAdmin": text, "DefaultSMTPGateways": text, "SmtpGwConfig": text, "CheckMailerDomain": flag, "RemoveSpoolErrors": flag,
	"NotifyMsgLinesExtra": number, "NotifySendLogToSender": flag, "NotifyTryPattern": text, "NoSenderBounce": flag, "AllowNullSender": flag,
	"MaxMTAOps": number, "ReceivedHdrType": number, "FetchHdrTags": text, "Pop3SyncErrorAccount": text, "SMTP-MaxErrors": number,
	"SmtpMsgIPBanSpammers": text, "SmtpMsgIPBanSpamAddress": text, "SmtpMsgIPBanMaps": text, "SmtpMsgIPBan": text, "CustomSMTPMessage": text,
	"SMTP-IpMapDropCode": number, "CustMapsList": text, "SMTP-RDNSCheck": number, "AllowSmtpVRFY": flag, "AllowSmtpETRN": flag,
	"SmtpMinDiskSpace": number, "SmtpMinVirtMemSpace": number, "Pop3MinVirtMemSpace": number, "EnableAuthSMTP-POP3": flag,
	"MaxMessageSize": number, "DefaultSmtpPerms": text, "SmartDNSHost": text, "DisableEmitAuthUser": number, "Pop3LogPasswd": number,
	"SmtpNoTLSAuths": text, "EnableCTRL-TLS": flag, "EnablePOP3-TLS": flag, "EnableSMTP-TLS": flag, "SSLWantVerify": flag, "SSLWantCert": flag,
	"SSLAllowSelfSigned": flag, "SSLUseCertsFile": flag, "SSLUseCertsDir": flag, "SSLMaxCertsDepth": number, "SmtpConfig": text,

	"CompatLevel": number, "PasswordScheme": text, "Pop3ScanCur": flag, "CTRL-RequireTLS": flag, "CTRL-MaxSessionsPerAddress": number,
	"CTRL-MaxFailedLogins": number, "CTRL-FailedLoginWindow": number, "CTRL-BlockTime": number, "CTRL-FailedLoginDelay": number,
	"CTRL-MaxLineSize": number, "CTRL-MaxUploadLineSize": number, "CTRL-MaxUploadSize": number, "CTRL-LoginTimeout": number,
}

// variables checks the names and values in server.tab.
func (c *checker) variables() {
	names := slices.Sorted(maps.Keys(serverVars))
	given := map[string]bool{}
	for _, r := range c.tables[mailroot.ServerTab] {
		given[r.fields[0]] = true
	}
	for _, r := range c.tables[mailroot.ServerTab] {
		name, value := r.fields[0], r.fields[1]
		kind, known := serverVars[name]
		switch {
		case known:
			c.value(r.line, name, value, kind)
		case strings.HasPrefix(name, "SmtpConfig-"):
		case name == "SmtpPerms" && given["DefaultSmtpPerms"]:
			c.report(mailroot.ServerTab, r.line, "SmtpPerms has no effect beside DefaultSmtpPerms")
		case name == "SmtpPerms":
			c.report(mailroot.ServerTab, r.line, "the name of the variable is DefaultSmtpPerms; this one counts as long as that is absent")
		default:
			if right := nearest(name, names); right != "" {
				c.report(mailroot.ServerTab, r.line, "unknown variable %s; is %s meant?", name, right)
			} else {
				c.report(mailroot.ServerTab, r.line, "unknown variable %s", name)
			}
		}
	}
}

func (c *checker) value(line int, name, value string, kind int) {
	if kind == text || value == "" {
		return
	}
	_, err := strconv.Atoi(strings.TrimSpace(value))
	switch {
	case err == nil:
	case kind == flag:
		c.report(mailroot.ServerTab, line, "%s is %q, which counts as %s; write 1 or 0", name, value, onOff(value))
	default:
		c.report(mailroot.ServerTab, line, "%s is %q, which counts as the number %d", name, value, mailroot.Atoi(value))
	}
}

func onOff(value string) string {
	if mailroot.Atoi(value) != 0 {
		return "on"
	}
	return "off"
}
