package deliver

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A once remembers which messages lists have sent to their members, and accounts have
// redirected. Lists that are members of each other find a message that has been there
// by its header; but that tells of one way only, and with every list there are several
// times as many ways: of six lists each member would get three hundred copies. What is
// forgotten, as at the end of the process, is found by the header after all.
type once struct {
	mu    sync.Mutex
	lists recent[*sending] // by list and identity
	same  recent[arrival]  // by identity or Message-ID
}

// A sending is a message that a list has sent, or is to send.
type sending struct {
	by   string // the delivery
	told string // the delivery by which it came back, and the sender is told; empty: none
}

// An arrival is the first one of a message that has come more than once.
type arrival struct {
	identity string
	at       time.Time
}

// sameTime is for how long a message that came by another server is known by its
// Message-ID: somebody may send it again on purpose.
const sameTime = time.Hour

// A verdict is what a list does with a message.
type verdict int

const (
	sendIt verdict = iota
	hadIt          // by another way: nothing is to be done
	tellIt         // it came back, and the sender is to be told
)

// A listed message is what a list knows it by.
type listed struct {
	id      string // which what is made of it at this server has, too
	message string // Message-ID; empty: there is none, or it has not come from another list
	here    bool   // it has come from another list at this server
	back    bool   // it was at the list before, by its own header
}

// ask returns the verdict on a message for a list.
func (o *once) ask(list string, m listed, by string, now time.Time) verdict {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := list + " " + o.first(m, now)
	known, ok := o.lists.get(key)
	if !ok {
		known = &sending{by: by}
		o.lists.keep(key, known)
	}
	switch {
	case m.back && (known.told == "" || known.told == by):
		known.told = by
		return tellIt
	case m.back || known.by != by:
		return hadIt
	}
	return sendIt
}

// first returns the identity with which a message came here first. From the lists of
// another server it comes as often as it has lists, each time with another identity, and
// its copies here have that one.
func (o *once) first(m listed, now time.Time) string {
	id := m.id
	if known, ok := o.same.get("id " + m.id); ok {
		id = known.identity
	} else if known, ok := o.same.get("message " + m.message); ok && m.message != "" && !m.here && now.Sub(known.at) < sameTime {
		id = known.identity
		o.same.keep("id "+m.id, arrival{id, now})
	}
	if known, ok := o.same.get("message " + m.message); m.message != "" && (!ok || known.identity != id) {
		o.same.keep("message "+m.message, arrival{id, now})
	}
	return id
}

// forget makes a delivery that has come to nothing one that was not there.
func (o *once) forget(list string, m listed, by string, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := list + " " + o.first(m, now)
	if s, ok := o.lists.get(key); ok && s.by == by {
		o.lists.drop(key)
	}
}

// A recent map has the values that were kept last.
type recent[V any] struct {
	values map[string]V
	order  []string // keys, the oldest first
}

// maxRecent is how many values a recent map has.
const maxRecent = 10_000

func (r *recent[V]) get(key string) (V, bool) {
	v, ok := r.values[key]
	return v, ok
}

func (r *recent[V]) keep(key string, v V) {
	if r.values == nil {
		r.values = make(map[string]V)
	}
	if _, ok := r.values[key]; !ok {
		r.order = append(r.order, key)
	}
	r.values[key] = v
	if len(r.order) > maxRecent {
		delete(r.values, r.order[0])
		r.order = r.order[1:]
	}
}

func (r *recent[V]) drop(key string) {
	delete(r.values, key)
	r.order = slices.DeleteFunc(r.order, func(k string) bool { return k == key })
}

// readListed reads what a list knows the message of a delivery by.
func readListed(y delivery) (listed, error) {
	m := listed{id: y.identity(), here: y.Proto == listProto}
	fields, err := readHeader(bufio.NewReader(io.NewSectionReader(y.body, 0, y.body.Size())))
	if err != nil {
		return m, err
	}
	list := false
	for _, f := range fields {
		switch f.name {
		case "Message-Id":
			m.message = f.value()
		case "List-Id":
			list = true
		}
	}
	if !list {
		m.message = ""
	}
	return m, nil
}

// looped says what a list, or an account that redirects, does with a message that has
// been there before: nil where the sender has been told of another one.
func (d *Deliverer) looped(y delivery, owner string, why error) error {
	if !errors.Is(why, errLoop) {
		return why
	}
	// By way of another server it comes with another identity each time, and the same
	// Message-ID.
	m, err := readListed(y)
	if err != nil {
		return err
	}
	m.back = true
	if d.once.ask(tabfile.Fold(owner), m, y.name(), d.root.Now()) == hadIt {
		y.log.Info("message has come back here once more", "where", owner, "to", y.to().Address)
		return nil
	}
	return why
}

// sendOnce sends a message on as send does, unless that was done when it came by
// another way.
func (d *Deliverer) sendOnce(y delivery, owner string, m listed, send func() error) error {
	owner, by := tabfile.Fold(owner), y.name()
	if d.once.ask(owner, m, by, d.root.Now()) == hadIt {
		y.log.Info("message was sent on from there already", "where", owner, "to", y.to().Address)
		return nil
	}
	err := send()
	if err != nil {
		d.once.forget(owner, m, by, d.root.Now())
	}
	return err
}

// identity is what a message has in common with its copies, and with no other one: a
// notification that is made of it has another number, and numbers may come again after
// a power cut.
func (y delivery) identity() string { return y.Origin() + " " + y.ID }

// name is what no other delivery of the queue is called.
func (y delivery) name() string { return fmt.Sprintf("%s-%d", y.Key(), y.Indexes[y.place]) }
