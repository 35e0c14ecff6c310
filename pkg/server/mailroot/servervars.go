package mailroot

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A VarType says what values a variable of the server takes.
type VarType string

const (
	VarText    VarType = "text"
	VarNumber  VarType = "number"  // with the bounds of the variable
	VarFlag    VarType = "flag"    // 1 or 0
	VarDomain  VarType = "domain"  // a domain name, or nothing
	VarAddress VarType = "address" // a mail address, or nothing
	VarPerms   VarType = "perms"   // letters of permissions, as of SmtpPerms
	VarTries   VarType = "tries"   // numbers with commas between them
	VarReply   VarType = "reply"   // an SMTP reply: a code of three digits, a blank, a text
	VarMaps    VarType = "maps"    // ROOT.:CODE with commas between them
	VarMethods VarType = "methods" // SMTP AUTH methods with commas between them
	VarServers VarType = "servers" // HOST:tcp or HOST:udp with commas between them
	VarSession VarType = "session" // MailAuth, WantTLS, either with =0 or =1, with commas between them
	VarTimes   VarType = "times"   // durations such as 90s, 5m or 1h30m with commas between them
	VarWord    VarType = "word"    // one of the words of the variable
)

// A ServerVar is a variable that server.tab may have.
type ServerVar struct {
	Name     string
	Type     VarType
	Min, Max int       // of a number
	Words    []string  // of a word
	Default  [2]string // what its absence means at CompatLevel 0 and 1
	Restart  bool      // it counts from the next start on, and not at once
}

// ServerVariables returns every variable of server.tab that counts, by name:
// those of the reference (docs/reference/tables.md 5.1) and ours (README.md).
// Besides these there are those that [LookupServerVar] makes of a prefix.
func ServerVariables() []ServerVar { return slices.Clone(serverVariables) }

// smtpConfigFor is what variables begin with that are SmtpConfig for one address
// of the server, or one address and port.
const smtpConfigFor = "SmtpConfig-"

// LookupServerVar returns the variable of that name, whose case matters.
func LookupServerVar(name string) (ServerVar, bool) {
	if i, ok := slices.BinarySearchFunc(serverVariables, name, func(v ServerVar, name string) int {
		return cmp.Compare(v.Name, name)
	}); ok {
		return serverVariables[i], true
	}
	if strings.HasPrefix(name, smtpConfigFor) {
		return ServerVar{Name: name, Type: VarSession}, true
	}
	return ServerVar{}, false
}

// NearestServerVar returns the variable that somebody probably meant who wrote
// name, or "".
func NearestServerVar(name string) string {
	if name == "SmtpPerms" {
		return "DefaultSmtpPerms"
	}
	names := make([]string, len(serverVariables))
	for i, v := range serverVariables {
		names[i] = v.Name
	}
	return Nearest(name, names)
}

// CheckNumber returns why a value is none for a variable that is a number or a
// flag. Other types are not its business.
func (v ServerVar) CheckNumber(value string) error {
	switch v.Type {
	case VarFlag:
		if value != "0" && value != "1" {
			return errors.New("is either 1 or 0")
		}
	case VarNumber:
		n, err := strconv.Atoi(value)
		if err != nil || n < v.Min || n > v.Max {
			return fmt.Errorf("is a number from %d to %d", v.Min, v.Max)
		}
	}
	return nil
}

// serverVariables are the variables by name.
var serverVariables = func() []ServerVar {
	const most = 1<<31 - 1
	same := func(value string) [2]string { return [2]string{value, value} }
	flag := func(name string, def ...string) ServerVar {
		return ServerVar{Name: name, Type: VarFlag, Max: 1, Default: [2]string{def[0], def[len(def)-1]}}
	}
	number := func(name string, least, most int, def ...string) ServerVar {
		return ServerVar{Name: name, Type: VarNumber, Min: least, Max: most, Default: [2]string{def[0], def[len(def)-1]}}
	}
	word := func(name string, words []string, def ...string) ServerVar {
		return ServerVar{Name: name, Type: VarWord, Words: words, Default: [2]string{def[0], def[len(def)-1]}}
	}
	text := func(t VarType, def string, names ...string) []ServerVar {
		var all []ServerVar
		for _, name := range names {
			all = append(all, ServerVar{Name: name, Type: t, Default: same(def)})
		}
		return all
	}
	all := slices.Concat(
		// Of the reference.
		text(VarDomain, "", "RootDomain", "SmtpServerDomain", "POP3Domain", "HeloDomain"),
		text(VarAddress, "", "PostMaster", "ErrorsAdmin", "TempErrorsAdmin", "Pop3SyncErrorAccount"),
		text(VarText, "", "DefaultSMTPGateways", "SmtpGwConfig", "CustomSMTPMessage"),
		text(VarText, "+X-Deliver-To,+Received,To,Cc", "FetchHdrTags"),
		text(VarTries, "", "NotifyTryPattern"),
		text(VarReply, "", "SmtpMsgIPBanSpammers"),
		text(VarReply, "504 You are registered as spammer", "SmtpMsgIPBanSpamAddress"),
		text(VarReply, "550 Denied due inclusion of your IP inside", "SmtpMsgIPBanMaps"),
		text(VarReply, "421 service not available (-130), closing transmission channel", "SmtpMsgIPBan"),
		text(VarMaps, "", "CustMapsList"),
		text(VarPerms, "MRVZ", "DefaultSmtpPerms"),
		text(VarServers, "", "SmartDNSHost"),
		text(VarMethods, "PLAIN,LOGIN,CRAM-MD5", "SmtpNoTLSAuths"),
		text(VarSession, "", "SmtpConfig"),
		[]ServerVar{
			flag("CheckMailerDomain", "0"), flag("RemoveSpoolErrors", "0"), flag("NotifySendLogToSender", "0"),
			flag("NoSenderBounce", "0", "1"), flag("AllowNullSender", "1"), flag("AllowSmtpVRFY", "0"), flag("AllowSmtpETRN", "0"),
			flag("EnableAuthSMTP-POP3", "1", "0"), flag("EnableCTRL-TLS", "1"), flag("EnablePOP3-TLS", "1"), flag("EnableSMTP-TLS", "1"),
			flag("SSLWantVerify", "0"), flag("SSLWantCert", "0"), flag("SSLAllowSelfSigned", "0"), flag("SSLUseCertsFile", "0"),
			flag("SSLUseCertsDir", "0"), flag("DisableEmitAuthUser", "0", "1"),
			number("NotifyMsgLinesExtra", 0, most, "0"), number("MaxMTAOps", 1, 1000, "16"),
			number("ReceivedHdrType", 0, 4, "0", "3"), number("SMTP-MaxErrors", 0, most, "0", "10"),
			number("SMTP-IpMapDropCode", -3600, 3600, "1"), number("SMTP-RDNSCheck", -3600, 3600, "0"),
			number("SmtpMinDiskSpace", -1, most, "-1"), number("SmtpMinVirtMemSpace", -1, most, "-1"), number("Pop3MinVirtMemSpace", -1, most, "-1"),
			number("MaxMessageSize", 0, most, "0"), number("Pop3LogPasswd", 0, 2, "0"), number("SSLMaxCertsDepth", 0, 100, "0"),
		},
		// Ours.
		text(VarText, "xmaild", "ServerIdentity"),
		[]ServerVar{{Name: "QueueSchedule", Type: VarTimes, Default: [2]string{"", "5m,10m,20m,40m,1h,2h,4h"}}, number("QueueLife", 0, 8760, "0", "120")},
		[]ServerVar{
			word("PasswordScheme", []string{"reversible", "argon2id", "bcrypt"}, "reversible", "argon2id"), flag("PasswordUpgrade", "0"),
			word("SenderPolicy", []string{"off", "warn", "refuse"}, "off"), word("FilterFailure", []string{"accept", "defer"}, "accept", "defer"),
			word("TLS-MinVersion", []string{"1.2", "1.3"}, "1.2"), flag("CatchAllRelay", "1", "0"), flag("DeliverAccess", "0", "1"), flag("LOGIN-RequireTLS", "0", "1"),
			number("LOGIN-MaxFailures", 0, most, "20"), number("LOGIN-FailureWindow", 0, 1<<20, "300"),
			number("LOGIN-BlockTime", 0, 1<<20, "300"), number("LOGIN-FailureDelay", 0, 3600, "1"), number("LOGIN-CacheTime", 0, 1<<20, "300"),
			restart(number("SMTP-MaxSessionsPerAddress", 0, most, "128")), restart(number("POP3-MaxSessionsPerAddress", 0, most, "128")),
			restart(number("FINGER-MaxSessionsPerAddress", 0, most, "16")),
			restart(number("CompatLevel", 0, 1, "0")), flag("Pop3ScanCur", "0", "1"), flag("CTRL-RequireTLS", "0", "1"),
			restart(number("CTRL-MaxSessionsPerAddress", 0, most, "128")), restart(number("CTRL-MaxFailedLogins", 0, most, "20")),
			restart(number("CTRL-FailedLoginWindow", 0, 1<<20, "300")), restart(number("CTRL-BlockTime", 0, 1<<20, "300")),
			restart(number("CTRL-FailedLoginDelay", 0, 3600, "1")), restart(number("CTRL-MaxLineSize", 0, most, "4092")),
			restart(number("CTRL-MaxUploadLineSize", 0, most, "65536")), restart(number("CTRL-MaxUploadSize", 0, most, "65536")),
			restart(number("CTRL-HandshakeTimeout", 0, 1<<20, "30")),
			restart(number("CTRL-LoginTimeout", 0, 1<<20, "90")),
		},
	)
	slices.SortFunc(all, func(a, b ServerVar) int { return cmp.Compare(a.Name, b.Name) })
	return all
}()

func restart(v ServerVar) ServerVar {
	v.Restart = true
	return v
}
