package session

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Ctrl is the name of the control port's sessions. Their users are
// administrators and no mail accounts, whatever they are called.
const Ctrl = "ctrl"

// Info is what is known of a session.
type Info struct {
	ID      uint64 // never given twice in the life of a Registry
	Service string // "smtp", "pop3", "finger", "ctrl"
	Remote  netip.AddrPort
	Local   netip.AddrPort
	User    string // "ann@example.org" once logged in, the administrator on the control port
	Started time.Time
	TLS     bool
}

// A Member is a session that a [Registry] lists. Its methods are called by
// several goroutines at once, and do not wait for the network.
type Member interface {
	// Info tells about the session. ID is filled in by the Registry.
	Info() Info
	// End asks the session to end soon.
	End()
}

// A Registry knows the sessions of all services. Its methods are safe for
// concurrent use.
type Registry struct {
	clock func() time.Time

	mu      sync.Mutex
	last    uint64
	members map[uint64]Member
}

// NewRegistry returns a registry without sessions; clock nil is time.Now.
func NewRegistry(clock func() time.Time) *Registry {
	if clock == nil {
		clock = time.Now
	}
	return &Registry{clock: clock, members: make(map[uint64]Member)}
}

// Add lists a session from now on, under the number that it returns.
func (r *Registry) Add(m Member) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	r.members[r.last] = m
	return r.last
}

// Remove ends the listing of a session.
func (r *Registry) Remove(id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.members, id)
}

// List returns all sessions, the oldest first.
func (r *Registry) List() []Info {
	members := r.all()
	infos := make([]Info, 0, len(members))
	for id, m := range members {
		info := m.Info()
		info.ID = id
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b Info) int { return cmp.Compare(a.ID, b.ID) })
	return infos
}

// all copies the members, so that none is asked while the Registry is locked.
func (r *Registry) all() map[uint64]Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	members := make(map[uint64]Member, len(r.members))
	for id, m := range r.members {
		members[id] = m
	}
	return members
}

// Kill ends one session and reports whether there is one of that number. It
// does not wait for the end: an idle session ends at once, one that works when
// its command is done, or is cut ten seconds later.
func (r *Registry) Kill(id uint64) bool {
	r.mu.Lock()
	m, ok := r.members[id]
	r.mu.Unlock()
	if ok {
		m.End()
	}
	return ok
}

// KillUser ends the sessions of a mail account, like [Registry.Kill], and
// returns how many there were. The case of the address does not matter.
func (r *Registry) KillUser(address string) int {
	if address == "" {
		return 0
	}
	n := 0
	for _, m := range r.all() {
		if info := m.Info(); info.Service != Ctrl && strings.EqualFold(info.User, address) {
			m.End()
			n++
		}
	}
	return n
}
