package ctrl

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
)

// Digest returns what a client sends in place of its password, after a "#": the
// hexadecimal MD5 of the greeting's timestamp (with its < and >) and the password.
func Digest(timestamp, password string) string {
	sum := md5.Sum([]byte(timestamp + password))
	return hex.EncodeToString(sum[:])
}

// Verify reports whether the login was made with password, in a time that does
// not depend on where they differ, nor on their lengths' being the same.
func (l Login) Verify(password string) bool {
	if l.MD5 {
		sent, err := hex.DecodeString(l.Digest)
		want := md5.Sum([]byte(l.Timestamp + password))
		return err == nil && subtle.ConstantTimeCompare(sent, want[:]) == 1
	}
	sent, want := sha256.Sum256([]byte(l.Password)), sha256.Sum256([]byte(password))
	return subtle.ConstantTimeCompare(sent[:], want[:]) == 1
}
