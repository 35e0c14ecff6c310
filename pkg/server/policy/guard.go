package policy

import (
	"errors"
	"sync"
	"time"
)

// errUnknown is what measures return on systems that do not tell.
var errUnknown = errors.New("this system does not tell")

// A guard measures something at most every eight seconds.
type guard struct {
	measure func() (uint64, error)

	mu    sync.Mutex
	at    time.Time
	value uint64
	err   error
}

const guardEvery = 8 * time.Second

// below reports whether there is less than so many KB, of which 0 and less ask for
// nothing, and whether that was measured just now. What cannot be measured is enough.
func (g *guard) below(now time.Time, kb int) (low, fresh bool, err error) {
	if kb <= 0 {
		return false, false, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if age := now.Sub(g.at); g.at.IsZero() || age < 0 || age >= guardEvery {
		g.value, g.err = g.measure()
		g.at, fresh = now, true
	}
	return g.err == nil && g.value/1024 < uint64(kb), fresh, g.err
}
