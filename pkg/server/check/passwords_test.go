package check

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/auth"
)

func TestPasswordsAreToldByTheirScheme(t *testing.T) {
	const bcrypt = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Passwords(t.Context(), dir); err == nil {
		t.Error("a folder without accounts was read")
	}
	write("mailusers.tab", "# a comment\n\"foo.test\"\t\"ann\"\t\"1512\"\t1\t\"ann\"\t\"U\"\n\nfoo.test\tbob\t"+bcrypt+
		"\t2\tbob\tU\nfoo.test\tlist\t\"\"\t3\tlist\tM\nfoo.test\tbad\t$x\t4\tbad\tU\nshort\trow\n")
	want := []Password{
		{"mailusers.tab", 2, "ann@foo.test", auth.Reversible}, {"mailusers.tab", 4, "bob@foo.test", auth.Bcrypt}, {"mailusers.tab", 6, "bad@foo.test", ""},
	}
	got, err := Passwords(t.Context(), dir)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	write("smtpauth.tab", "tool\tsecret\tMR\nhash\t"+bcrypt+"\tMR\n")
	want = append(want, Password{"smtpauth.tab", 1, "tool", auth.ClearText}, Password{"smtpauth.tab", 2, "hash", auth.Bcrypt})
	if got, err = Passwords(t.Context(), dir); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	var old []string
	for _, p := range got {
		if p.Old() {
			old = append(old, p.Name)
		}
	}
	if want := []string{"ann@foo.test", "tool"}; !slices.Equal(old, want) {
		t.Errorf("old are %q, want %q", old, want)
	}
}

func TestPasswordSchemeThatIsNoneIsReported(t *testing.T) {
	for value, want := range map[string]int{"bcrypt": 0, "argon2id": 0, "reversible": 0, "md5": 1, "": 1} {
		for _, name := range []string{"userdef.tab", "domains/foo.test/userdef.tab"} {
			if got := warnings(name, []string{"PasswordScheme", value}); len(got) != want {
				t.Errorf("%s with %q gives %q, want %d warnings", name, value, got, want)
			}
		}
		if got := warnings("domains/foo.test/ann/user.tab", []string{"PasswordScheme", value}); len(got) != 0 {
			t.Errorf("user.tab with %q gives %q", value, got)
		}
	}
}
