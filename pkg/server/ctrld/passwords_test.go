package ctrld_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// TestHashedPasswordsGoFromServerToServer exports accounts whose passwords are hashed
// and makes them anew, one by one and in a transaction.
func TestHashedPasswordsGoFromServerToServer(t *testing.T) {
	s := servertest.Start(t)
	c := s.Dial(t)
	want(t, c, "+00000", "svarset", "PasswordScheme", "bcrypt")
	want(t, c, "+00000", "useradd", "xmailserver.test", "ann", "se cret", "U")
	want(t, c, "+00000", "begin")
	want(t, c, "+00000", "useradd", "xmailserver.test", "bob", "other", "U")
	want(t, c, "+00000", "useradd", "xmailserver.test", "team", "", "M")
	want(t, c, "+00000", "commit")
	want(t, c, "+00000", "smtpauthadd", "tool", "secret", "MR")
	if _, lines := do(t, c, "userlist", "xmailserver.test", "ann"); !slices.Equal(lines, []string{`"xmailserver.test"` + "\t" + `"ann"` + "\t" + `""` + "\t" + `"U"`}) {
		t.Errorf("userlist shows %q, want an empty password", lines)
	}
	if _, lines := do(t, c, "smtpauthlist"); !slices.Equal(lines, []string{`"tool"` + "\t" + `""` + "\t" + `"MR"`}) {
		t.Errorf("smtpauthlist shows %q, want an empty password", lines)
	}
	for name, clear := range map[string]string{"ann": "se cret", "bob": "other"} {
		_, lines := do(t, c, "userexport", "xmailserver.test", name)
		if len(lines) != 1 {
			t.Fatalf("userexport gives %q", lines)
		}
		fields := strings.Split(strings.ReplaceAll(lines[0], `"`, ""), "\t")
		if auth.Scheme(fields[2]) != auth.Bcrypt {
			t.Errorf("userexport gives %q, want the hash", fields)
		}
		want(t, c, "+00000", "userdel", "xmailserver.test", name)
		if name == "ann" {
			want(t, c, "+00000", "useradd", "xmailserver.test", name, fields[2], "U", "stored")
		} else {
			want(t, c, "+00000", "useradd", "xmailserver.test", name+"2", "x", "U")
			want(t, c, "+00000", "begin")
			want(t, c, "+00000", "userpasswd", "xmailserver.test", name+"2", fields[2], "stored")
			want(t, c, "+00000", "commit")
			name += "2"
		}
		want(t, c, "+00000", "userauth", "xmailserver.test", name, clear)
		want(t, c, "-00024", "userauth", "xmailserver.test", name, "wrong")
		want(t, c, "-00230", "userpasswd", "xmailserver.test", name, "$2a$10$broken", "stored")
	}
}
