package auth

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
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

// Challenge returns a challenge for CRAM-MD5 or APOP that nobody can guess, in the
// form of a message ID: <RANDOM@host>.
func Challenge(host string) string {
	return "<" + rand.Text() + "@" + host + ">"
}

// CRAM returns the answer to a challenge in CRAM-MD5 (RFC 2195): the HMAC-MD5 of
// the challenge with the password as its key, in lower-case hexadecimal digits.
func CRAM(challenge, clear string) string {
	mac := hmac.New(md5.New, []byte(clear))
	mac.Write([]byte(challenge))
	return hex.EncodeToString(mac.Sum(nil))
}

// VerifyCRAM is [VerifyDigest] for CRAM-MD5.
func VerifyCRAM(p Password, challenge, digest string) bool {
	clear, ok := p.Clear()
	match := Equal(CRAM(challenge, clear), strings.ToLower(digest))
	return ok && match && clear != "" && challenge != ""
}

// Nobody is the password of an account that does not exist, where passwords are
// reversible: checking it takes the time that any other takes, and it is never right.
func Nobody() Password { return nobody{reversible("")} }

// NobodyOf is [Nobody] where passwords are stored by a scheme: checking it takes the
// time that one of that scheme takes. Schemes but those of [Hash] are as quick as the
// reversible one.
func NobodyOf(scheme string) Password {
	switch scheme {
	case Argon2id:
		return nobody{argon2id{memory: newMemory, passes: newPasses, lanes: newLanes, salt: make([]byte, newSalt), hash: make([]byte, newHash)}}
	case Bcrypt:
		return nobody{bcryptHash("$2a$10$" + strings.Repeat(".", 53))}
	}
	return Nobody()
}

type nobody struct{ like Password }

func (p nobody) Verify(clear string) bool {
	p.like.Verify(clear)
	return false
}

func (nobody) Clear() (string, bool) { return "", false }
