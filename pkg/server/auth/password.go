// Package auth verifies passwords and runs the external programs that accounts
// may be authenticated by. It knows nothing of tables.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
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

// Parse reads a stored password. The reversible form is the only scheme yet;
// later ones are told by how the text begins.
func Parse(stored string) (Password, error) {
	clear, err := Unscramble(stored)
	if err != nil {
		return nil, err
	}
	return reversible(clear), nil
}

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
