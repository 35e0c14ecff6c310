package admin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/server/spool"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A QueueFilter picks recipients of messages in the queue. The zero value picks none;
// [ParseQueueFilter] makes one.
type QueueFilter struct {
	all bool
	messageFilter
}

// queueFields are the filters that are patterns, and what they look at.
var queueFields = map[string]func(*spool.Item) []string{
	"message":   func(i *spool.Item) []string { return []string{i.ID, i.Key} },
	"sender":    func(i *spool.Item) []string { return []string{i.From} },
	"recipient": func(i *spool.Item) []string { return []string{i.Recipient} },
	"domain":    func(i *spool.Item) []string { return []string{addressDomain(i.Recipient)} },
	"user":      func(i *spool.Item) []string { return []string{i.Login, i.Account} },
	"state":     func(i *spool.Item) []string { return []string{i.State} },
}

// ParseQueueFilter reads the filters of a control command: NAME=PATTERN with wildcards
// for message, sender, recipient, domain, user and state, older=TIME and newer=TIME
// for how long ago the message came, and all. Of filters of one name one is to match,
// and of each name there is to be one.
func (s *Service) ParseQueueFilter(args ...string) (QueueFilter, error) {
	f := QueueFilter{messageFilter: messageFilter{patterns: map[string][]string{}}}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		name = tabfile.Fold(name)
		switch {
		case !ok && name == "all":
			f.all = true
			continue
		case !ok:
			return f, refuse(Invalid, "%s is no filter: want all, or NAME=PATTERN", quote(arg))
		case name == "state" && !slices.Contains([]string{spool.Waiting, spool.Due, spool.Active}, value):
			return f, refuse(Invalid, "%s: a state is waiting, due or active", quote(arg))
		}
		if err := f.add(arg, queueFields[name] != nil, s.root.Now()); err != nil {
			return f, err
		}
	}
	if f.all && len(args) > 1 {
		return f, refuse(Invalid, "all goes with no other filter")
	}
	return f, nil
}

// A messageFilter picks messages by patterns and by an age.
type messageFilter struct {
	patterns     map[string][]string // by the name of the filter: one of them is to match
	older, newer time.Time           // bounds of the time of the message; zero: none
}

// add adds NAME=VALUE. known says that there are patterns of that name.
func (f *messageFilter) add(arg string, known bool, now time.Time) error {
	name, value, _ := strings.Cut(arg, "=")
	switch name = tabfile.Fold(name); {
	case name == "older" || name == "newer":
		age, err := parseAge(value)
		if err != nil {
			return refuse(Invalid, "%s: want a time such as 30m, 12h or 7d", quote(arg))
		}
		if name == "older" {
			f.older = now.Add(-age)
		} else {
			f.newer = now.Add(-age)
		}
		return nil
	case !known:
		return refuse(Invalid, "there is no filter %s", quote(name))
	case name == "sender" || name == "recipient":
		value = strings.TrimSuffix(strings.TrimPrefix(value, "<"), ">")
	}
	f.patterns[name] = append(f.patterns[name], value)
	return nil
}

// match reports whether a message of that time has values that match, of each filter one.
func (f messageFilter) match(at time.Time, values func(name string) []string) bool {
	if !f.older.IsZero() && at.After(f.older) || !f.newer.IsZero() && at.Before(f.newer) {
		return false
	}
	for name, patterns := range f.patterns {
		all := values(name)
		if !slices.ContainsFunc(patterns, func(pattern string) bool {
			return slices.ContainsFunc(all, func(value string) bool { return tabfile.Match(pattern, value) })
		}) {
			return false
		}
	}
	return true
}

// parseAge reads a number of seconds, or one with s, m, h, d or w.
func parseAge(text string) (time.Duration, error) {
	unit := time.Second
	if text != "" {
		if i := strings.IndexByte("smhdw", text[len(text)-1]); i >= 0 {
			unit = []time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}[i]
			text = text[:len(text)-1]
		}
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if age := time.Duration(n) * unit; err == nil && age/unit == time.Duration(n) {
		return age, nil
	}
	return 0, fmt.Errorf("%q is no time", text)
}

// empty reports whether there is no filter at all.
func (f QueueFilter) empty() bool {
	return !f.all && len(f.patterns) == 0 && f.older.IsZero() && f.newer.IsZero()
}

func (f QueueFilter) match(i *spool.Item) bool {
	return f.messageFilter.match(i.Time, func(name string) []string { return queueFields[name](i) })
}

func addressDomain(addr string) string { return addr[strings.LastIndexByte(addr, '@')+1:] }

// sees reports whether the administrator may know of a message: its sender, who
// logged in to send it, or the recipient is of a domain that is the administrator's.
func (s *Service) sees(i *spool.Item) bool {
	return s.owns == nil || slices.ContainsFunc([]string{i.From, i.Recipient, i.Account}, func(addr string) bool {
		return strings.Contains(addr, "@") && s.owns(addressDomain(addr))
	})
}

// Queued returns the recipients in the queue that match, those of the oldest message
// first. It is a list of one moment, or nearly.
func (s *Service) Queued(ctx context.Context, f QueueFilter) iter.Seq2[spool.Item, error] {
	return func(yield func(spool.Item, error) bool) {
		for item := range s.queue().Items(func(i *spool.Item) bool { return f.match(i) && s.sees(i) }) {
			if !yield(item, translate(ctx.Err())) {
				return
			}
		}
	}
}

// A QueuedMessage is a message in the queue.
type QueuedMessage struct {
	spool.Envelope
	Recipients []spool.Item
	Log        string // the attempts, a line each
}

// QueuedMessages returns the messages of that id, or key. There may be several: what
// is made of a message, for a list or a redirection, keeps its id.
func (s *Service) QueuedMessages(_ context.Context, name string) ([]QueuedMessage, error) {
	var all []QueuedMessage
	last := ""
	for item := range s.queue().Items(func(i *spool.Item) bool { return (i.ID == name || i.Key == name) && s.sees(i) }) {
		if item.Key == last {
			m := &all[len(all)-1]
			m.Recipients = append(m.Recipients, item)
			continue
		}
		e, log, err := s.queue().Look(item.Key)
		if errors.Is(err, spool.ErrNotFound) {
			continue // it has been delivered just now
		}
		if err != nil {
			return nil, translateSpool(err)
		}
		last = item.Key
		all = append(all, QueuedMessage{Envelope: e, Recipients: []spool.Item{item}, Log: s.visibleLog(e, log)})
	}
	if len(all) == 0 {
		return nil, refuse(NoMessage, "there is no message %s in the queue", quote(name))
	}
	return all, nil
}

// visibleLog is the log of a message as far as the administrator may see it: that of
// somebody who sees some recipients only is left out.
func (s *Service) visibleLog(e spool.Envelope, log string) string {
	item := spool.Item{From: e.From, Account: e.Account}
	if !s.sees(&item) {
		return ""
	}
	return log
}

// RetryQueued makes due now what waits and matches.
func (s *Service) RetryQueued(ctx context.Context, f QueueFilter) (spool.Count, error) {
	return s.steer(ctx, "retried", f, Queue.Hurry)
}

// FreezeQueued gives up what matches, and keeps it as frozen messages.
func (s *Service) FreezeQueued(ctx context.Context, f QueueFilter) (spool.Count, error) {
	return s.steer(ctx, "frozen", f, Queue.FreezeAll)
}

// DeleteQueued removes what matches. Nobody is told.
func (s *Service) DeleteQueued(ctx context.Context, f QueueFilter) (spool.Count, error) {
	return s.steer(ctx, "deleted", f, Queue.Delete)
}

// steer changes what matches, or counts it where it is only tried.
func (s *Service) steer(ctx context.Context, what string, f QueueFilter,
	change func(Queue, context.Context, func(*spool.Item) bool) (spool.Count, error),
) (spool.Count, error) {
	if f.empty() {
		return spool.Count{}, refuse(Invalid, "no filter: the word all is for everything")
	}
	if s.try {
		change = Queue.Count
	}
	n, err := change(s.queue(), ctx, func(i *spool.Item) bool { return f.match(i) && s.sees(i) })
	if !s.try && n.Recipients > 0 {
		s.log.Info("queue is steered", "what", what, "messages", n.Messages, "recipients", n.Recipients, "active", n.Active)
	}
	if err != nil {
		return n, translateSpool(err)
	}
	return n, nil
}
