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
	lists map[string]*sending
	order []string // keys of lists, the oldest first
}

// A sending is a message that a list has sent, or is to send.
type sending struct {
	by   string // the delivery
	at   time.Time
	told string // the delivery by which it came back, and the sender is told; empty: none
}

// maxSendings is how many are remembered.
const maxSendings = 10_000

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
	id, message := list+" id "+m.id, list+" message "+m.message
	known := o.lists[id]
	if s := o.lists[message]; known == nil && !m.here && s != nil && now.Sub(s.at) < sameTime {
		known = s
	}
	if known == nil {
		known = &sending{by: by, at: now}
	}
	o.keep(id, known)
	if m.message != "" {
		o.keep(message, known)
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

func (o *once) keep(key string, s *sending) {
	if o.lists == nil {
		o.lists = make(map[string]*sending)
	}
	if o.lists[key] == nil {
		o.order = append(o.order, key)
	}
	o.lists[key] = s
	for len(o.order) > maxSendings {
		delete(o.lists, o.order[0])
		o.order = o.order[1:]
	}
}

// forget makes a delivery that has come to nothing one that was not there.
func (o *once) forget(list string, m listed, by string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, key := range []string{list + " id " + m.id, list + " message " + m.message} {
		if s := o.lists[key]; s != nil && s.by == by {
			delete(o.lists, key)
			o.order = slices.DeleteFunc(o.order, func(k string) bool { return k == key })
		}
	}
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
	if d.once.ask(tabfile.Fold(owner), listed{id: y.identity(), back: true}, y.name(), d.root.Now()) == hadIt {
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
		d.once.forget(owner, m, by)
	}
	return err
}

// identity is what a message has in common with its copies, and with no other one: a
// notification that is made of it has another number, and numbers may come again after
// a power cut.
func (y delivery) identity() string { return y.Origin() + " " + y.ID }

// name is what no other delivery of the queue is called.
func (y delivery) name() string { return fmt.Sprintf("%s-%d", y.Key(), y.Indexes[y.place]) }
