package psync

import (
	"context"
	"fmt"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/route"
	"github.com/xmaild/xmaild/pkg/server/spool"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A target is where a message goes to.
type target struct {
	spool.Recipient
	domain  string
	account *mailroot.User // nil: it is no mailbox
	list    *mailroot.User // nil: it is no list
}

// fixed returns where the mail of a link goes whose messages do not decide it: none
// where that is nobody of this server.
func (f *Fetcher) fixed(l mailroot.Link) ([]target, error) {
	var t target
	var ok bool
	var err error
	if l.Local() {
		u, known := f.Root.Login(l.Domain, l.Name)
		if !known {
			return nil, nil
		}
		t, ok, err = f.target(address.Path{Local: u.Name, Domain: u.Domain})
	} else {
		p, bad := address.Parse(l.Name + l.Domain)
		if bad != nil {
			return nil, nil
		}
		t, ok, err = f.target(p)
	}
	if err != nil || !ok {
		return nil, err
	}
	return []target{t}, nil
}

// chooses reports whether the messages of a link decide where they go.
func chooses(l mailroot.Link) bool {
	return strings.HasPrefix(l.Domain, "?") || strings.HasPrefix(l.Domain, "&")
}

// chosen returns where a message goes by the addresses in its header. The domain of
// the link is ?NEW,DOMAIN…: user@DOMAIN becomes user@NEW; or &SUFFIX,DOMAIN…: it
// becomes user@DOMAINSUFFIX. Without domains all do.
func (f *Fetcher) chosen(l mailroot.Link, h header) ([]target, error) {
	words := strings.Split(l.Domain[1:], ",")
	domains := make(map[string]bool)
	for _, d := range words[1:] {
		if d = strings.TrimSpace(d); d != "" {
			domains[tabfile.Fold(d)] = true
		}
	}
	become := strings.TrimSpace(words[0])
	targets := make(map[string]target)
	all, err := h.recipients(f.Root.Vars().String("FetchHdrTags"), func(p address.Path) (string, error) {
		if len(domains) > 0 && !domains[tabfile.Fold(p.Domain)] {
			return "", nil
		}
		text := p.String() + become
		if l.Domain[0] == '?' {
			text = address.Path{Local: p.Local, Domain: become}.String()
		}
		p, err := address.Parse(text)
		if err != nil {
			return "", nil
		}
		t, ok, err := f.target(p)
		if err != nil || !ok {
			return "", err
		}
		targets[t.Address] = t
		return t.Address, nil
	})
	if err != nil {
		return nil, err
	}
	found := make([]target, len(all))
	for i, to := range all {
		found[i] = targets[to]
	}
	return found, nil
}

// target returns where an address leads; ok: to something that this server deals
// with. The error is one that may be gone later.
func (f *Fetcher) target(p address.Path) (t target, ok bool, err error) {
	r, err := route.Find(f.Root, p.Local, p.Domain)
	if err != nil {
		return t, false, err
	}
	t = target{Recipient: spool.Recipient{Address: p.String(), Real: r.Address()}, domain: r.Domain}
	switch r.Kind {
	case route.Remote, route.NoUser:
		return t, false, nil
	case route.User, route.List:
		if !p.Plain() {
			return t, false, nil
		}
		if ok, err = f.receives(r.Account); err != nil || !ok {
			return t, false, err
		}
		if r.Kind == route.User {
			t.account = &r.Account
		} else {
			t.list = &r.Account
		}
	}
	return t, true, nil
}

// open returns the targets without the lists that a sender may not write to. To let the
// queue find that out would mean to tell senders of whom nothing is known.
func (f *Fetcher) open(targets []target, sender address.Path) ([]target, error) {
	if !f.Root.Vars().On("DeliverAccess") {
		return targets, nil
	}
	var open []target
	for _, t := range targets {
		if t.list != nil {
			vars, err := f.Root.UserVars(*t.list)
			if err != nil {
				return nil, err
			}
			may, err := f.Root.MayWrite(*t.list, vars, mailroot.Writer{From: sender.String()})
			if err != nil {
				return nil, err
			}
			if !may {
				continue
			}
		}
		open = append(open, t)
	}
	return open, nil
}

// receives reports whether an account takes mail.
func (f *Fetcher) receives(u mailroot.User) (bool, error) {
	vars, err := f.Root.UserVars(u)
	if err != nil {
		return false, fmt.Errorf("variables of %s@%s: %w", u.Name, u.Domain, err)
	}
	return vars.Receives(), nil
}

// full reports whether no target has room for a message. Where one of several has,
// the queue keeps it for the others until they have.
func (f *Fetcher) full(ctx context.Context, targets []target, size int64) (bool, error) {
	for _, t := range targets {
		if t.account == nil {
			return false, nil
		}
		full, err := f.Boxes.Full(ctx, *t.account, size)
		if err != nil || !full {
			return false, err
		}
	}
	return len(targets) > 0, nil
}
