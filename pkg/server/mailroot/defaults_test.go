package mailroot

import (
	"os"
	"path/filepath"
	"testing"
)

func varsOf(t *testing.T, text string) ServerVars {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ServerTab), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r.Vars()
}

func TestAbsentVariablesHaveTheRegisteredDefaultOfTheLevel(t *testing.T) {
	old, safe := varsOf(t, ""), varsOf(t, "\"CompatLevel\"\t\"1\"\n")
	for _, c := range []struct{ name, old, safe string }{
		{"PasswordScheme", "reversible", "argon2id"},
		{"DefaultSmtpPerms", "MRVZ", "MRVZ"},
		{"RootDomain", "", ""},
		{"NoSuchVariable", "", ""},
		{"SmtpConfig-192.0.2.1,25", "", ""},
	} {
		if got := [2]string{old.Value(c.name), safe.Value(c.name)}; got != [2]string{c.old, c.safe} {
			t.Errorf("Value(%s) at both levels is %q, want %q and %q", c.name, got, c.old, c.safe)
		}
	}
	if got := [2]int{old.Number("SMTP-MaxErrors"), safe.Number("SMTP-MaxErrors")}; got != [2]int{0, 10} {
		t.Errorf("SMTP-MaxErrors is %v, want 0 and 10", got)
	}
	if old.On("LOGIN-RequireTLS") || !safe.On("LOGIN-RequireTLS") || !old.On("EnableAuthSMTP-POP3") || safe.On("EnableAuthSMTP-POP3") {
		t.Error("the flags have not the defaults of their level")
	}
}

func TestVariablesThatAreSetWin(t *testing.T) {
	v := varsOf(t, "CompatLevel\t1\nPasswordScheme\tbcrypt\nLOGIN-RequireTLS\t0\nEnableAuthSMTP-POP3\t1\nLOGIN-MaxFailures\t7\n"+
		"LOGIN-FailureDelay\t999999\nLOGIN-CacheTime\t\"\"\nSenderPolicy\tmaybe\nDefaultSmtpPerms\t\"\"\n")
	if got := v.Word("PasswordScheme"); got != "bcrypt" {
		t.Errorf("PasswordScheme is %q, want bcrypt", got)
	}
	if v.On("LOGIN-RequireTLS") || !v.On("EnableAuthSMTP-POP3") {
		t.Error("a flag that is set has its default")
	}
	for name, want := range map[string]int{"LOGIN-MaxFailures": 7, "LOGIN-FailureDelay": 1, "LOGIN-CacheTime": 300} {
		if got := v.Number(name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	if got := v.Word("SenderPolicy"); got != "off" {
		t.Errorf("SenderPolicy is %q, want off", got)
	}
	if got := v.Value("DefaultSmtpPerms"); got != "" {
		t.Errorf("DefaultSmtpPerms is %q, want what it is set to: nothing", got)
	}
}
