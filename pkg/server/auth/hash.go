package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// The schemes in which passwords are stored.
const (
	Reversible = "reversible" // see [Scramble]
	Argon2id   = "argon2id"   // $argon2id$v=19$m=KiB,t=PASSES,p=LANES$SALT$HASH
	Bcrypt     = "bcrypt"     // $2a$, $2b$ or $2y$
	ClearText  = "clear"      // of smtpauth.tab alone
)

// What new Argon2id hashes cost: about 25 ms and 19 MiB (OWASP's least).
const (
	newMemory = 19 << 10 // KiB
	newPasses = 2
	newLanes  = 1
	newSalt   = 16 // bytes
	newHash   = 32
)

// What a table may order at most of whoever logs in.
const (
	maxMemory = 256 << 10 // KiB
	maxPasses = 64
	maxLanes  = 64
	maxWork   = 1 << 20 // memory times passes, in KiB
	minSalt   = 8
	maxSalt   = 64
	minHash   = 16
	maxHash   = 64
	newCost   = 10 // of bcrypt; each more doubles the work
	maxCost   = 14
)

// maxBcrypt is what bcrypt looks at of a password, in bytes.
const maxBcrypt = 72

// ErrTooLong is returned for a password that the scheme would cut.
var ErrTooLong = fmt.Errorf("bcrypt takes at most %d bytes of a password", maxBcrypt)

// Hash returns the form in which a password is stored by a scheme. Empty
// passwords are refused, and those of more than 72 bytes by bcrypt ([ErrTooLong]).
// It takes a moment and, for Argon2id, 19 MiB: see [Hasher].
func Hash(scheme, clear string) (string, error) {
	if err := CheckHash(scheme, clear); err != nil {
		return "", err
	}
	switch scheme {
	case Reversible:
		return Scramble(clear), nil
	case Bcrypt:
		b, err := bcrypt.GenerateFromPassword([]byte(clear), newCost)
		return string(b), err
	}
	salt := make([]byte, newSalt)
	rand.Read(salt)
	p := argon2id{memory: newMemory, passes: newPasses, lanes: newLanes, salt: salt}
	p.hash = p.derive(clear, newHash)
	return p.String(), nil
}

// CheckHash returns why [Hash] would refuse a password.
func CheckHash(scheme, clear string) error {
	switch {
	case clear == "":
		return errors.New("an empty password")
	case scheme == Bcrypt && len(clear) > maxBcrypt:
		return ErrTooLong
	case scheme != Reversible && scheme != Argon2id && scheme != Bcrypt:
		return fmt.Errorf("there is no password scheme %q", scheme)
	}
	return nil
}

// parseHash reads a hash that begins with its scheme. Errors do not repeat it.
func parseHash(stored string) (Password, error) {
	switch {
	case strings.HasPrefix(stored, "$argon2id$"):
		return parseArgon2id(stored)
	case isBcrypt(stored):
		cost, err := bcrypt.Cost([]byte(stored))
		if err != nil || len(stored) != 60 {
			return nil, errors.New("stored password is no bcrypt hash")
		}
		if cost > maxCost {
			return nil, fmt.Errorf("stored password orders bcrypt of cost %d; at most %d is done", cost, maxCost)
		}
		return bcryptHash(stored), nil
	}
	return nil, errors.New("stored password begins with $, and with no scheme that is known")
}

func isBcrypt(s string) bool {
	return len(s) > 4 && s[0] == '$' && s[1] == '2' && strings.IndexByte("aby", s[2]) >= 0 && s[3] == '$'
}

// isHash reports whether a stored password begins as a hash does.
func isHash(s string) bool { return strings.HasPrefix(s, "$argon2id$") || isBcrypt(s) }

type bcryptHash string

// Verify looks at the first 72 bytes, as every bcrypt does that made such hashes.
func (p bcryptHash) Verify(clear string) bool {
	clear = clear[:min(len(clear), maxBcrypt)]
	return bcrypt.CompareHashAndPassword([]byte(p), []byte(clear)) == nil && clear != ""
}

func (bcryptHash) Clear() (string, bool) { return "", false }

type argon2id struct {
	memory, passes uint32
	lanes          uint8
	salt, hash     []byte
}

func (p argon2id) Verify(clear string) bool {
	got := p.derive(clear, len(p.hash))
	return subtle.ConstantTimeCompare(got, p.hash) == 1 && clear != ""
}

func (argon2id) Clear() (string, bool) { return "", false }

func (p argon2id) derive(clear string, size int) []byte {
	return argon2.IDKey([]byte(clear), p.salt, p.passes, p.memory, p.lanes, uint32(size))
}

// String is the hash in the form of the PHC.
func (p argon2id) String() string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.passes, p.lanes,
		enc.EncodeToString(p.salt), enc.EncodeToString(p.hash))
}

var errArgon2id = errors.New("stored password is no Argon2id hash")

func parseArgon2id(stored string) (Password, error) {
	f := strings.Split(stored, "$")
	if len(f) != 6 || f[2] != "v="+strconv.Itoa(argon2.Version) {
		return nil, errArgon2id
	}
	params := strings.Split(f[3], ",")
	if len(params) != 3 {
		return nil, errArgon2id
	}
	var n [3]uint64
	for i, name := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(params[i], name)
		if !ok || digits == "" || digits[0] < '1' || digits[0] > '9' {
			return nil, errArgon2id
		}
		var err error
		if n[i], err = strconv.ParseUint(digits, 10, 32); err != nil {
			return nil, errArgon2id
		}
	}
	memory, passes, lanes := n[0], n[1], n[2]
	if memory > maxMemory || passes > maxPasses || lanes > maxLanes || memory*passes > maxWork {
		return nil, fmt.Errorf("stored password orders Argon2id with %d KiB, %d passes, %d lanes; at most %d KiB, %d passes, %d lanes, and %d KiB times passes are done",
			memory, passes, lanes, maxMemory, maxPasses, maxLanes, maxWork)
	}
	if memory < 8*lanes {
		return nil, errArgon2id
	}
	enc := base64.RawStdEncoding.Strict()
	salt, err := enc.DecodeString(f[4])
	if err != nil || len(salt) < minSalt || len(salt) > maxSalt {
		return nil, errArgon2id
	}
	hash, err := enc.DecodeString(f[5])
	if err != nil || len(hash) < minHash || len(hash) > maxHash {
		return nil, errArgon2id
	}
	return argon2id{memory: uint32(memory), passes: uint32(passes), lanes: uint8(lanes), salt: salt, hash: hash}, nil
}
