package server_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestImportsPointOneWay keeps the arrows of docs/design.md, The house.
func TestImportsPointOneWay(t *testing.T) {
	const module = "github.com/xmaild/xmaild/"
	for _, test := range []struct {
		pkg  string
		none []string // prefixes of packages that it must not reach
	}{
		{"pkg/tabfile", []string{"pkg/ctrl", "pkg/server", "cmd"}},
		{"pkg/limit", []string{"pkg/tabfile", "pkg/ctrl", "pkg/server", "cmd"}},
		{"pkg/ctrl", []string{"pkg/server", "cmd"}},
		{"pkg/ctrl/commands", []string{"pkg/server", "cmd"}},
		{"pkg/server/access", []string{"pkg/ctrl", "pkg/server/admin", "pkg/server/ctrld", "pkg/server/mailroot", "cmd"}},
		{"pkg/server/auth", []string{"pkg/ctrl", "pkg/server/admin", "pkg/server/ctrld", "pkg/server/mailroot", "cmd"}},
		{"pkg/server/obs", []string{"pkg/ctrl", "pkg/server/admin", "pkg/server/ctrld", "cmd"}},
		{"pkg/server/mailroot", []string{"pkg/ctrl", "pkg/server/admin", "pkg/server/ctrld", "cmd"}},
		{"pkg/server/admin", []string{"pkg/ctrl", "pkg/server/ctrld", "cmd"}},
		{"pkg/server/ctrld", []string{"cmd", "pkg/server/smtpd", "pkg/server/pop3d", "pkg/server/fingerd", "pkg/server/deliver"}},
		{"pkg/server/session", []string{"pkg/ctrl", "pkg/server", "cmd"}},
		{"pkg/server/certs", []string{"pkg/ctrl", "pkg/server", "cmd"}},
		{"pkg/server/address", []string{"pkg/ctrl", "pkg/server", "cmd"}},
		{"pkg/server/resolve", []string{"pkg/ctrl", "pkg/server", "cmd"}},
		{"pkg/server/program", []string{"pkg/ctrl", "pkg/server/admin", "pkg/server/ctrld", "cmd"}},
		{"pkg/server/login", []string{"pkg/ctrl", "pkg/server/admin", "pkg/server/ctrld", "pkg/server/smtpd", "pkg/server/pop3d", "cmd"}},
		{"pkg/server/policy", []string{"pkg/ctrl", "pkg/server/admin", "pkg/server/ctrld", "pkg/server/smtpd", "pkg/server/pop3d", "cmd"}},
		{"pkg/server/mailbox", []string{"pkg/ctrl", "pkg/server/admin", "pkg/server/ctrld", "cmd"}},
		{"pkg/server/spool", []string{"pkg/ctrl", "pkg/server/admin", "pkg/server/ctrld", "cmd"}},
		{"pkg/server/deliver", []string{"pkg/ctrl", "pkg/server/admin", "pkg/server/ctrld", "pkg/server/smtpd", "pkg/server/pop3d", "cmd"}},
		{"pkg/server/psync", []string{"pkg/ctrl", "pkg/server/admin", "pkg/server/ctrld", "pkg/server/smtpd", "pkg/server/pop3d", "pkg/server/deliver", "cmd"}},
		{"pkg/server/lmail", []string{"pkg/ctrl", "pkg/server/admin", "pkg/server/ctrld", "pkg/server/smtpd", "pkg/server/pop3d", "pkg/server/deliver", "cmd"}},
		{"pkg/server/sendmail", []string{"pkg/ctrl", "pkg/server/admin", "pkg/server/ctrld", "pkg/server/smtpd", "pkg/server/pop3d", "pkg/server/deliver", "cmd"}},
		{"pkg/server/smtpd", []string{"pkg/ctrl", "pkg/server/admin", "pkg/server/ctrld", "pkg/server/pop3d", "pkg/server/deliver", "cmd"}},
		{"pkg/server/pop3d", []string{"pkg/ctrl", "pkg/server/admin", "pkg/server/ctrld", "pkg/server/smtpd", "pkg/server/deliver", "cmd"}},
		{"pkg/server/fingerd", []string{"pkg/ctrl", "pkg/server/admin", "pkg/server/ctrld", "pkg/server/smtpd", "pkg/server/pop3d", "cmd"}},
		{"cmd/ctrlclnt", []string{"pkg/server"}},
	} {
		out, err := exec.Command("go", "list", "-deps", module+test.pkg).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", test.pkg, err)
		}
		deps := strings.Fields(string(out))
		for _, dep := range deps {
			dep, ours := strings.CutPrefix(dep, module)
			if !ours || dep == test.pkg {
				continue
			}
			for _, prefix := range test.none {
				if dep == prefix || strings.HasPrefix(dep, prefix+"/") {
					t.Errorf("%s imports %s, which the layout forbids", test.pkg, dep)
				}
			}
			// Services do not reach up to what puts them together.
			if dep == "pkg/server" && strings.HasPrefix(test.pkg, "pkg/server/") {
				t.Errorf("%s imports %s, which puts it together", test.pkg, dep)
			}
		}
	}
}
