package auth

import (
	"crypto/md5"
	"encoding/hex"
	"strings"
)

// Digest returns the answer to a challenge in the control protocol and in APOP:
// the MD5 of the timestamp, brackets included, and the password, in lower-case
// hexadecimal digits (docs/reference/control-protocol.md 1.3).
func Digest(timestamp, clear string) string {
	sum := md5.Sum([]byte(timestamp + clear))
	return hex.EncodeToString(sum[:])
}

// VerifyDigest reports whether digest answers the challenge with password p.
// The case of its digits does not matter. It is false where there is no
// challenge, where the password is empty or cannot be known.
func VerifyDigest(p Password, timestamp, digest string) bool {
	clear, ok := p.Clear()
	match := Equal(Digest(timestamp, clear), strings.ToLower(digest))
	return ok && match && clear != "" && timestamp != ""
}

// Nobody is the password of an account that does not exist: checking it takes
// the time that any other takes, and it is never right.
func Nobody() Password { return nobody{} }

type nobody struct{}

func (nobody) Verify(clear string) bool {
	Equal("", clear)
	return false
}

func (nobody) Clear() (string, bool) { return "", false }
