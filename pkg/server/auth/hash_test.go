package auth

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// The Argon2id hashes are those of the tests of libargon2, those of bcrypt of the
// tests of crypt_blowfish.
func TestHashesOfOthersAreVerified(t *testing.T) {
	for _, c := range []struct{ stored, clear, scheme string }{
		{"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password", Argon2id},
		{"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password", Argon2id},
		{"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", "password", Argon2id},
		{"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", Bcrypt},
		{"$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U", Bcrypt},
		{"$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
			"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored", Bcrypt},
	} {
		p, err := Parse(c.stored)
		if err != nil {
			t.Errorf("%s: %v", c.stored, err)
			continue
		}
		if !p.Verify(c.clear) {
			t.Errorf("%s does not verify %q", c.stored, c.clear)
		}
		if p.Verify(c.clear[1:]) || p.Verify("") {
			t.Errorf("%s verifies a wrong password", c.stored)
		}
		if clear, ok := p.Clear(); ok || clear != "" {
			t.Errorf("%s gives away a password: %q", c.stored, clear)
		}
		if got := Scheme(c.stored); got != c.scheme {
			t.Errorf("the scheme of %s is %q, want %q", c.stored, got, c.scheme)
		}
		if login, err := ParseLogin(c.stored); err != nil || !login.Verify(c.clear) || LoginScheme(c.stored) != c.scheme {
			t.Errorf("%s is no password of smtpauth.tab: %v", c.stored, err)
		}
	}
	// $2b$ and $2y$ are the same algorithm.
	for _, prefix := range []string{"$2b$", "$2y$"} {
		p, err := Parse(prefix + "05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
		if err != nil || !p.Verify("U*U") {
			t.Errorf("a hash that begins with %s is not verified: %v", prefix, err)
		}
	}
}

func TestHashAndParseAgree(t *testing.T) {
	for scheme, prefix := range map[string]string{Reversible: "", Argon2id: "$argon2id$v=19$m=19456,t=2,p=1$", Bcrypt: "$2a$10$"} {
		seen := map[string]bool{}
		for range 2 {
			stored, err := Hash(scheme, "pässword \\ 1")
			if err != nil || !strings.HasPrefix(stored, prefix) {
				t.Fatalf("Hash by %s gave %q, %v, want it to begin with %q", scheme, stored, err, prefix)
			}
			p, err := Parse(stored)
			if err != nil || !p.Verify("pässword \\ 1") || p.Verify("password \\ 1") || Scheme(stored) != scheme {
				t.Errorf("%s: %q is not verified, %v", scheme, stored, err)
			}
			seen[stored] = true
		}
		if want := scheme == Reversible; (len(seen) == 1) != want {
			t.Errorf("%s gives one password %d forms", scheme, len(seen))
		}
	}
}

func TestWhatNoSchemeStoresIsRefused(t *testing.T) {
	for _, c := range []struct{ scheme, clear string }{
		{Reversible, ""}, {Argon2id, ""}, {Bcrypt, ""}, {"md5", "x"}, {"", "x"}, {ClearText, "x"},
		{Bcrypt, strings.Repeat("x", 73)},
	} {
		if stored, err := Hash(c.scheme, c.clear); err == nil {
			t.Errorf("Hash(%q, %q) = %q, want an error", c.scheme, c.clear, stored)
		}
	}
	if _, err := Hash(Bcrypt, strings.Repeat("x", 73)); !errors.Is(err, ErrTooLong) {
		t.Errorf("73 bytes by bcrypt gave %v, want %v", err, ErrTooLong)
	}
	if _, err := Hash(Bcrypt, strings.Repeat("x", 72)); err != nil {
		t.Errorf("72 bytes by bcrypt gave %v", err)
	}
}

func TestHashesThatOrderTooMuchOrAreBrokenAreRefused(t *testing.T) {
	const salt, hash = "c29tZXNhbHQ", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	argon := func(params string) string { return "$argon2id$v=19$" + params + "$" + salt + "$" + hash }
	for _, stored := range []string{
		argon("m=10485760,t=1,p=1"), argon("m=262145,t=1,p=1"), argon("m=4294967296,t=1,p=1"), argon("m=262144,t=5,p=1"),
		argon("m=1024,t=65,p=1"), argon("m=1024,t=1,p=65"), argon("m=1024,t=1,p=256"),
		argon("m=0,t=1,p=1"), argon("m=7,t=1,p=1"), argon("m=1024,t=0,p=1"), argon("m=1024,t=1,p=0"), argon("m=-1,t=1,p=1"),
		argon("m=+1024,t=1,p=1"), argon("t=1,m=1024,p=1"), argon("m=1024,t=1"), argon("m=1024,t=1,p=1,x=1"), argon(""), argon("m=1024,t=1,p=1 "),
		"$argon2id$v=16$m=1024,t=1,p=1$" + salt + "$" + hash,
		"$argon2id$m=1024,t=1,p=1$" + salt + "$" + hash,
		"$argon2id$v=19$m=1024,t=1,p=1$" + salt, "$argon2id$v=19$m=1024,t=1,p=1$$" + hash, "$argon2id$v=19$m=1024,t=1,p=1$" + salt + "$",
		"$argon2id$v=19$m=1024,t=1,p=1$c2FsdA$" + hash, // four bytes of salt
		"$argon2id$v=19$m=1024,t=1,p=1$" + salt + "$YWJj", "$argon2id$v=19$m=1024,t=1,p=1$" + salt + "$" + hash + "=",
		"$argon2id$v=19$m=1024,t=1,p=1$" + strings.Repeat("YWFh", 22) + "$" + hash, "$argon2id$v=19$m=1024,t=1,p=1$" + salt + "$" + strings.Repeat("YWFh", 22),
		"$argon2id$", "$argon2i$v=19$m=1024,t=1,p=1$" + salt + "$" + hash, "$", "$1$abc$def", "$2a$", "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"$2a$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "$2a$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"$2a$99$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe",
	} {
		p, err := Parse(stored)
		if err == nil {
			t.Errorf("Parse(%q) gave %T, want an error", stored, p)
			continue
		}
		if strings.Contains(err.Error(), hash) {
			t.Errorf("Parse(%q): the error repeats the stored text: %v", stored, err)
		}
		if Scheme(stored) != "" {
			t.Errorf("the scheme of %q is %q", stored, Scheme(stored))
		}
	}
	if _, err := Parse(argon("m=262144,t=4,p=64")); err != nil {
		t.Errorf("what is allowed at most was refused: %v", err)
	}
}

func TestPasswordsOfSMTPAuthAreInClearOrHashed(t *testing.T) {
	for stored, scheme := range map[string]string{
		"secret": ClearText, "$ecret": ClearText, "1512": ClearText, "$1$abc": ClearText, "": ClearText,
		"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW": Bcrypt,
		"$2a$ short": "", "$argon2id$x": "",
	} {
		if got := LoginScheme(stored); got != scheme {
			t.Errorf("the scheme of %q in smtpauth.tab is %q, want %q", stored, got, scheme)
		}
	}
	p, err := ParseLogin("$ecret")
	if err != nil || !p.Verify("$ecret") || p.Verify("secret") {
		t.Errorf("a password in clear is not verified: %v", err)
	}
}

func TestNobodyIsNeverRightAndCostsWhatItsSchemeCosts(t *testing.T) {
	h := NewHasher(1)
	for _, scheme := range []string{Reversible, Argon2id, Bcrypt, "?"} {
		p := NobodyOf(scheme)
		for _, clear := range []string{"", "x", strings.Repeat("x", 100)} {
			if ok, err := h.Verify(t.Context(), p, clear); ok || err != nil {
				t.Errorf("nobody of %s verified %q: %v, %v", scheme, clear, ok, err)
			}
		}
		n := p.(nobody)
		if got := schemeOf(n.like, Reversible); got != scheme && scheme != "?" {
			t.Errorf("nobody of %s works as %s", scheme, got)
		}
	}
	// The same parameters, so the same work.
	stored, err := Hash(Argon2id, "x")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(stored)
	if err != nil {
		t.Fatal(err)
	}
	a, b := p.(argon2id), NobodyOf(Argon2id).(nobody).like.(argon2id)
	if a.memory != b.memory || a.passes != b.passes || a.lanes != b.lanes || len(a.hash) != len(b.hash) {
		t.Errorf("a hash costs %v, nobody %v", a, b)
	}
}

func TestHasherWorksOnAFewAtATime(t *testing.T) {
	h := NewHasher(1)
	if err := h.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if ok, err := h.Verify(ctx, NobodyOf(Argon2id), "x"); ok || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a hash was verified beside the one that may be: %v, %v", ok, err)
	}
	if _, err := h.Hash(ctx, Argon2id, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a hash was made beside the one that may be: %v", err)
	}
	if _, err := h.Hash(ctx, Reversible, "x"); err != nil {
		t.Errorf("the reversible form has to wait: %v", err)
	}
	h.leave()
	if _, err := h.Hash(t.Context(), Argon2id, "x"); err != nil {
		t.Errorf("a hash in its turn: %v", err)
	}
	if NewHasher(0).Size() < 1 {
		t.Error("a Hasher that never works")
	}
}
