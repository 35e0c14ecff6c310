package admin

import (
	"path"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// logsDir has the logs, and auditName is how those begin that say who changed what.
const (
	logsDir   = "logs"
	auditName = "audit-"
)

// SeesSecrets reports whether an administrator with these rights may read keys and
// stored passwords: full ones by their right to secrets or at CompatLevel 0, read-only
// ones by that right.
func (s *Service) SeesSecrets(r mailroot.Rights) bool {
	return r.Secrets || r.All && s.tables().Vars().CompatLevel() == 0
}

// SeesPasswords reports whether lists show passwords to an administrator with these
// rights: never at CompatLevel 1.
func (s *Service) SeesPasswords(r mailroot.Rights) bool {
	return (r.All || r.Secrets) && s.tables().Vars().CompatLevel() == 0
}

// checkRead refuses files that need more than the right to read.
func (s *Service) checkRead(name string, r mailroot.Rights) error {
	switch {
	case isSecret(name) && !s.SeesSecrets(r):
		return forbidden("%s holds secrets; reading it needs the right secrets", name)
	case isMail(name) && !r.All && !r.Secrets:
		return forbidden("%s may hold mail; reading it needs the right secrets", name)
	case isAudit(name) && !r.All:
		return forbidden("%s is for full administrators", name)
	}
	return nil
}

// IsPrivate reports whether a file, named as for [Service.File], holds mail or secrets.
func IsPrivate(name string) bool {
	clean, err := cleanPath(name)
	return err == nil && (isSecret(clean) || isMail(clean))
}

// isMail reports whether a file is in the queue or in a mailbox.
func isMail(name string) bool {
	parts := strings.Split(tabfile.Fold(name), "/")
	switch parts[0] {
	case "spool":
		return true
	case "domains":
		return slices.Contains(parts, tabfile.Fold(maildirDir)) || slices.Contains(parts[1:], plainDir)
	}
	return false
}

func isAudit(name string) bool {
	dir, base := path.Split(tabfile.Fold(name))
	return dir == logsDir+"/" && strings.HasPrefix(base, auditName)
}

// checkAppendOnly refuses to replace the logs of who changed what.
func checkAppendOnly(name string) error {
	if isAudit(name) {
		return forbidden("%s is written by the server only", name)
	}
	return nil
}
