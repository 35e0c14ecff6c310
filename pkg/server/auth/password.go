// Package auth has the forms in which passwords are stored, the digests of logins
// that do not send them, and the server's side of SASL mechanisms. It knows nothing
// of tables.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// scrambleKey is XORed to every byte of a reversible password
// (docs/reference/tables.md 4).
const scrambleKey = 0x65

// Scramble returns the reversible form in which the reference stores a
// password: two lower-case hexadecimal digits a byte. It hides nothing from
// whoever can read the table.
func Scramble(clear string) string {
	b := []byte(clear)
	for i := range b {
		b[i] ^= scrambleKey
	}
	return hex.EncodeToString(b)
}

// Unscramble is the opposite of [Scramble]. An odd number of digits or any
// character that is no hexadecimal digit is an error; the error does not repeat
// the text, which may be a password that somebody wrote in clear.
func Unscramble(stored string) (string, error) {
	b, err := hex.DecodeString(stored)
	if errors.Is(err, hex.ErrLength) {
		return "", fmt.Errorf("stored password has an odd number of digits")
	}
	if err != nil {
		return "", fmt.Errorf("stored password is not hexadecimal")
	}
	for i := range b {
		b[i] ^= scrambleKey
	}
	return string(b), nil
}

// A Password is a password as a table stores it.
type Password interface {
	// Verify reports whether clear is the password. The time it takes does not
	// tell how much of clear was right. An empty password is never right.
	Verify(clear string) bool

	// Clear returns the password itself; ok is false where the scheme does not
	// keep it. Digest logins (MD5, APOP, CRAM-MD5) need it.
	Clear() (clear string, ok bool)
}

// Parse reads a stored password of an account: a hash that begins with its
// scheme ($argon2id$…, $2a$…, $2b$…, $2y$…), else the reversible form. A hash that
// orders more work than a server ought to do for whoever logs in is an error. Errors
// do not repeat the text.
func Parse(stored string) (Password, error) {
	if strings.HasPrefix(stored, "$") {
		return parseHash(stored)
	}
	clear, err := Unscramble(stored)
	if err != nil {
		return nil, err
	}
	return reversible(clear), nil
}

// ParseLogin reads a password of smtpauth.tab: a hash that begins with its scheme,
// else the password itself.
func ParseLogin(stored string) (Password, error) {
	if isHash(stored) {
		return parseHash(stored)
	}
	return reversible(stored), nil
}

// LooksHashed reports whether [ParseLogin] takes the text for a hash, so that it
// cannot be a password that is kept in clear.
func LooksHashed(text string) bool { return isHash(text) }

// Scheme returns the scheme of a stored password of an account, "" where it cannot
// be read.
func Scheme(stored string) string {
	p, err := Parse(stored)
	if err != nil {
		return ""
	}
	return schemeOf(p, Reversible)
}

// LoginScheme returns the scheme of a password of smtpauth.tab, "" where it cannot
// be read.
func LoginScheme(stored string) string {
	p, err := ParseLogin(stored)
	if err != nil {
		return ""
	}
	return schemeOf(p, ClearText)
}

func schemeOf(p Password, other string) string {
	switch p.(type) {
	case argon2id:
		return Argon2id
	case bcryptHash:
		return Bcrypt
	}
	return other
}

// IsHashed reports whether it takes work to verify a password, and the password
// cannot be known.
func IsHashed(p Password) bool { return schemeOf(p, "") != "" }

type reversible string

func (p reversible) Verify(clear string) bool {
	return Equal(string(p), clear) && p != ""
}

func (p reversible) Clear() (string, bool) { return string(p), true }

// Equal compares two secrets in a time that tells neither where they differ nor
// how long they are.
func Equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
