package spool

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"strconv"
	"strings"
)

// levels is how many folders the reference has at each of two levels below its
// spool, unless it is told otherwise (docs/reference/delivery.md 1.1).
const levels = 23

// Folders of a leaf that hold what belongs to a message, besides those of the
// messages.
const (
	resendDir   = "rsnd" // messages that were tried
	tempDir     = "temp" // what was being written
	infoDir     = "info"
	customDir   = "cust" // commands that are left of a custom domain or an alias of commands
	mailprocDir = "mprc" // commands that are left of a mailproc.tab
)

// tree returns the reference's tree, which is beside the live queue.
func (q *Queue) tree() Tree { return Tree{Dir: filepath.Dir(q.dir)} }

// maxName is how long a name of the reference may be to be kept in a key.
const maxName = 150

// takenKey returns the key that a message of the reference's tree has in the live
// queue. It is made of the name alone, so that a message which is taken over again
// after a power cut is found to be there.
func takenKey(n Name) string {
	file := n.File
	if !isKeyText(file) || len(file) > maxName {
		sum := sha256.Sum256([]byte(file))
		file = "x" + hex.EncodeToString(sum[:16])
	}
	millis, _ := nameMillis(n.File)
	return fmt.Sprintf("%x-%d-%d-%s", millis*1000, n.Level0, n.Level1, file)
}

// takenName returns the name that a key of takenKey is made of.
func takenName(key string) (Name, bool) {
	parts := strings.SplitN(key, "-", 4)
	if len(parts) != 4 || strings.Contains(key, derivedMark) {
		return Name{}, false
	}
	n := Name{File: parts[3]}
	for i, to := range []*int{&n.Level0, &n.Level1} {
		level, err := strconv.Atoi(parts[i+1])
		if err != nil || level < 0 {
			return Name{}, false
		}
		*to = level
	}
	return n, n.File != ""
}

func isKeyText(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && strings.IndexByte("._-", c) < 0 {
			return false
		}
	}
	return !strings.Contains(s, "..")
}

// nameMillis returns the time in a name of the reference, milliseconds since 1970.
func nameMillis(file string) (int64, bool) {
	digits, _, ok := strings.Cut(file, ".")
	if !ok || len(digits) > 13 {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil && n > 0
}

// frozenName returns where a recipient of a message of the live queue is frozen:
// where it was when it is one of the reference's, and under a name like those of the
// reference otherwise (docs/reference/delivery.md 1.2). It is always the same one.
func frozenName(key string, index, levels int, host string) Name {
	if n, ok := takenName(key); ok {
		return n
	}
	first, random, _ := strings.Cut(key, "-")
	micros, _ := strconv.ParseInt(first, 16, 64)
	if !isHex(random) {
		random = keyDigest(key)
	}
	n := Name{File: fmt.Sprintf("%013d.%x.%s.%x.%s", micros/1000, micros%1000, random, index, host)}
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %d", key, index)
	sum := int(h.Sum32() >> 1)
	n.Level0, n.Level1 = sum%levels, sum/levels%levels
	return n
}

// keyDigest stands for a key that has no random part of its own, that of a derived
// message.
func keyDigest(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:8])
}

// digests returns the keys of the live queue that have no random part of their own,
// by what stands for them. The caller has the lock.
func (q *Queue) digests() map[string]string {
	keys := make(map[string]string)
	for key := range q.live {
		if strings.Contains(key, derivedMark) {
			keys[keyDigest(key)] = key
		}
	}
	return keys
}

// A liveName is a recipient in the live queue.
type liveName struct {
	key   string
	index int
}

// liveNames returns the recipients of the live queue that a frozen message may be
// of, if they are there.
func liveNames(n Name, digests map[string]string) []liveName {
	all := []liveName{{takenKey(n), 0}}
	parts := strings.SplitN(n.File, ".", 5)
	millis, ok := nameMillis(n.File)
	if !ok || len(parts) != 5 || !isHex(parts[2]) {
		return all
	}
	micros, err1 := strconv.ParseInt(parts[1], 16, 32)
	index, err2 := strconv.ParseInt(parts[3], 16, 32)
	if err1 != nil || err2 != nil || micros < 0 || index < 0 {
		return all
	}
	if key, ok := digests[parts[2]]; ok {
		all = append(all, liveName{key, int(index)})
	}
	return append(all, liveName{fmt.Sprintf("%x-%s", millis*1000+micros, parts[2]), int(index)})
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}

// nameHost is a name of a host as it stands in the name of a file.
func nameHost(s string) string {
	var b strings.Builder
	for label := range strings.SplitSeq(s, ".") {
		if label != "" && isKeyText(label) && b.Len()+len(label) < 64 {
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(label)
		}
	}
	if b.Len() == 0 {
		return "localhost"
	}
	return b.String()
}
