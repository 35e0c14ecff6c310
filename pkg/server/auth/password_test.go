package auth

import (
	"strings"
	"testing"
)

func TestScrambleKnownVectors(t *testing.T) {
	for clear, stored := range map[string]string{
		"xmail":      "1d08040c09",
		"pw":         "1512",
		"secretpw":   "1600061700111512",
		"Päss \"1\"": "35a6c1161645475447",
		"":           "",
	} {
		if got := Scramble(clear); got != stored {
			t.Errorf("Scramble(%q) = %q, want %q", clear, got, stored)
		}
		got, err := Unscramble(strings.ToUpper(stored))
		if err != nil || got != clear {
			t.Errorf("Unscramble(%q) = %q, %v, want %q", strings.ToUpper(stored), got, err, clear)
		}
	}
}

func TestUnscrambleRefusesWhatIsNotHexadecimal(t *testing.T) {
	for _, stored := range []string{"1", "151", "e!", "4g", "hello!", " 1512", "15 12"} {
		got, err := Unscramble(stored)
		if err == nil {
			t.Errorf("Unscramble(%q) = %q, want an error", stored, got)
			continue
		}
		if len(stored) > 2 && strings.Contains(err.Error(), stored) {
			t.Errorf("Unscramble(%q): the error repeats the stored text: %v", stored, err)
		}
	}
}

func TestVerify(t *testing.T) {
	for _, c := range []struct {
		stored, clear string
		want          bool
	}{
		{Scramble("pw"), "pw", true},
		{Scramble("pw"), "PW", false},
		{Scramble("pw"), "pw ", false},
		{Scramble("pw"), "", false},
		{"", "", false},
	} {
		p, err := Parse(c.stored)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Verify(c.clear); got != c.want {
			t.Errorf("password %q verifies %q: %v, want %v", c.stored, c.clear, got, c.want)
		}
	}
	if Nobody().Verify("") || Nobody().Verify("x") {
		t.Error("nobody's password was right")
	}
}

func TestVerifyDigest(t *testing.T) {
	const stamp, digest = "<1795304826.140629884655296@192.0.2.5>", "6c92cfeb2f47f44af8ed9479add2c35d"
	p, err := Parse(Scramble("pw"))
	if err != nil {
		t.Fatal(err)
	}
	empty, err := Parse("")
	if err != nil {
		t.Fatal(err)
	}
	if got := Digest(stamp, "pw"); len(got) != 32 {
		t.Errorf("Digest = %q, want 32 digits", got)
	}
	if !VerifyDigest(p, stamp, Digest(stamp, "pw")) || !VerifyDigest(p, stamp, strings.ToUpper(Digest(stamp, "pw"))) {
		t.Error("the right digest was refused")
	}
	if !VerifyDigest(p, stamp, digest) {
		t.Errorf("the recorded digest %s was refused, ours is %s", digest, Digest(stamp, "pw"))
	}
	if VerifyDigest(p, stamp, Digest("<1.2@192.0.2.5>", "pw")) || VerifyDigest(p, stamp, "") {
		t.Error("a wrong digest was accepted")
	}
	if VerifyDigest(p, "", Digest("", "pw")) {
		t.Error("a digest without a challenge was accepted")
	}
	if VerifyDigest(empty, stamp, Digest(stamp, "")) || VerifyDigest(Nobody(), stamp, Digest(stamp, "")) {
		t.Error("an empty or absent password was accepted")
	}
}
