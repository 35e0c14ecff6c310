package login

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// maxCached is how many good logins are remembered.
const maxCached = 1 << 16

// A cache remembers which passwords were right for a hash, so that clients that ask for
// mail each minute do not cost a hash each minute. It knows neither: its keys are HMACs of
// the hash and the password with a key that lives as long as the process. Since the hash
// is that of the table at the moment, a password that is changed or removed counts at once.
type cache struct {
	secret []byte

	mu    sync.Mutex
	until map[[sha256.Size]byte]time.Time
}

func newCache() *cache {
	c := &cache{secret: make([]byte, 32), until: make(map[[sha256.Size]byte]time.Time)}
	rand.Read(c.secret)
	return c
}

func (c *cache) key(stored, clear string) [sha256.Size]byte {
	mac := hmac.New(sha256.New, c.secret)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(stored))))
	mac.Write([]byte(stored))
	mac.Write([]byte(clear))
	return [sha256.Size]byte(mac.Sum(nil))
}

func (c *cache) has(key [sha256.Size]byte, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	until, ok := c.until[key]
	return ok && now.Before(until)
}

// add remembers a good login. Where there are too many, those are forgotten that count
// no more, and else any.
func (c *cache) add(key [sha256.Size]byte, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.until[key]; !ok && len(c.until) >= maxCached {
		c.shrink()
	}
	c.until[key] = until
}

// shrink forgets a quarter, the soonest to end first as far as looking at a few tells.
func (c *cache) shrink() {
	const least = maxCached / 4
	var sum int64 // of milliseconds: so many durations of days are too much for nanoseconds
	base := time.Time{}
	n := 0
	for _, until := range c.until {
		if base.IsZero() {
			base = until
		}
		sum += until.Sub(base).Milliseconds()
		n++
	}
	mean := base.Add(time.Duration(sum/int64(max(n, 1))) * time.Millisecond)
	dropped := 0
	for key, until := range c.until {
		if dropped >= least {
			return
		}
		if !until.After(mean) {
			delete(c.until, key)
			dropped++
		}
	}
}
