// Package certs holds the certificates that the services show, and checks those
// of their clients.
//
// The server's own pair is server.cert and server.key in the MailRoot. Further
// ones lie in its folder tls: tls/NAME.cert and tls/NAME.key are for clients that
// ask for the host NAME. Who asks for a name without files of its own gets a pair
// whose certificate is good for it, by a wildcard for example, and otherwise the
// server's own.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// restTime is how old what is known of the files may be.
	restTime = time.Second
	// watchTime is how often they are looked at where nobody connects.
	watchTime = time.Minute
	// remindTime is how often it is told that a certificate expires.
	remindTime = 24 * time.Hour
)

// A Store reads certificates and keys, and reads them again when their files
// change. It is safe for concurrent use.
type Store struct {
	root        string
	log         *slog.Logger
	clock       func() time.Time
	rest        time.Duration
	authorities authorities

	mu      sync.Mutex
	scanned time.Time // of the machine, not of clock
	own     *pair
	named   map[string]*pair // by host name in lower case
	// configs are kept until a certificate changes, one for each policy: a config
	// holds the keys by which clients resume sessions.
	configs map[Policy]*tls.Config
}

// New returns the store of the MailRoot root. Nothing is read before the first
// use. log nil discards; clock nil is time.Now, and tells what has expired.
func New(root string, log *slog.Logger, clock func() time.Time) *Store {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if clock == nil {
		clock = time.Now
	}
	return &Store{
		root: root, log: log, clock: clock, rest: restTime, authorities: authorities{root: root},
		own: newPair(root, "server"), named: make(map[string]*pair), configs: make(map[Policy]*tls.Config),
	}
}

// Authorities returns whose certificates are good, of servers that this one speaks to
// as well as of clients: certs.pem and certs/ where the policy names them and they are
// there, otherwise those that the system trusts.
func (s *Store) Authorities(policy Policy) (*x509.CertPool, error) { return s.authorities.get(policy) }

// Config returns the settings of handshakes as the server, as the files are now
// (or were less than a second ago); they may be used for many handshakes, and
// must not be changed. The error says why there is no certificate to show; it
// wraps fs.ErrNotExist where there are no files.
//
// Sessions can be resumed, unless certificates of clients are checked: each
// handshake is to be checked then.
func (s *Store) Config(policy Policy) (*tls.Config, error) {
	policy.MinVersion = max(policy.MinVersion, tls.VersionTLS12)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scan()
	if config := s.configs[policy]; config != nil {
		return config, nil
	}
	chosen := s.chooser()
	if chosen.fallback == nil {
		return nil, fmt.Errorf("server.cert and server.key: %w", s.own.bad)
	}
	config := &tls.Config{
		MinVersion: policy.MinVersion,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return chosen.certificate(hello.ServerName), nil
		},
	}
	if policy.clients() {
		roots, err := s.authorities.get(policy)
		if err != nil {
			return nil, err
		}
		config.SessionTicketsDisabled = true
		policy.apply(config, roots)
		return config, nil // authorities may change any time
	}
	s.configs[policy] = config
	return config, nil
}

// scan looks at the files, unless it has just done so, and tells what is new.
func (s *Store) scan() {
	if !s.scanned.IsZero() && time.Since(s.scanned) < s.rest {
		return
	}
	first := s.scanned.IsZero()
	s.scanned = time.Now()
	changed := s.refresh(s.own, first)
	stems := s.stems()
	for name, stem := range stems {
		if s.named[name] == nil {
			s.named[name] = newPair(s.root, filepath.Join("tls", stem))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.named)) {
		if s.refresh(s.named[name], first) {
			changed = true
		}
		if s.named[name].gone {
			delete(s.named, name)
		}
	}
	if changed {
		clear(s.configs)
	}
}

// stems finds the pairs of the folder tls: by host name, the files' names
// without their endings.
func (s *Store) stems() map[string]string {
	entries, err := os.ReadDir(filepath.Join(s.root, "tls"))
	if err != nil {
		return nil
	}
	stems := make(map[string]string)
	for _, e := range entries {
		if stem, ok := strings.CutSuffix(e.Name(), ".cert"); ok && stem != "" && !strings.HasPrefix(stem, ".") {
			stems[strings.ToLower(stem)] = stem
		}
	}
	return stems
}

// refresh reads a pair where its files have changed, and tells about it.
func (s *Store) refresh(p *pair, first bool) bool {
	if !p.refresh() {
		return false
	}
	switch {
	case p.gone:
		if !first {
			s.log.Warn("certificate is gone", "file", p.name)
		}
	case p.bad != nil && p.good != nil:
		s.log.Error("certificate cannot be used, the one before serves on", "file", p.name, "err", p.bad)
	case p.bad != nil:
		s.log.Error("certificate cannot be used", "file", p.name, "err", p.bad)
	default:
		if !first {
			s.log.Info("certificate read", "file", p.name, "expires", p.good.Leaf.NotAfter.UTC().Format(time.DateTime))
		}
		s.remind(p)
	}
	return true
}

// remind warns of a certificate that needs its administrator.
func (s *Store) remind(p *pair) {
	if doubt := p.doubt(s.clock()); doubt != "" {
		s.log.Warn(doubt, "file", p.name, "from", p.good.Leaf.NotBefore.UTC().Format(time.DateTime),
			"until", p.good.Leaf.NotAfter.UTC().Format(time.DateTime))
	}
}

// Watch looks at the files every minute, so that a mistake is told of though
// nobody connects, and warns daily of certificates that expire. It returns when
// ctx is done.
func (s *Store) Watch(ctx context.Context) {
	s.watch(ctx, watchTime, remindTime)
}

func (s *Store) watch(ctx context.Context, every, remind time.Duration) {
	look, day := time.NewTicker(every), time.NewTicker(remind)
	defer look.Stop()
	defer day.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			s.mu.Lock()
			s.scan()
			s.mu.Unlock()
		case <-day.C:
			s.Remind()
		}
	}
}

// Remind warns of every certificate that has expired or soon will.
func (s *Store) Remind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remind(s.own)
	for _, name := range slices.Sorted(maps.Keys(s.named)) {
		s.remind(s.named[name])
	}
}

// Load reads all files now: while they can be read, before the process gives up
// rights, and when they have just been made. The error is that of [Store.Config].
func (s *Store) Load() error {
	s.mu.Lock()
	s.scanned = time.Time{}
	s.mu.Unlock()
	_, err := s.Config(Policy{})
	return err
}

// A chooser finds the certificate for the name that a client asks for. It does
// not change.
type chooser struct {
	named    map[string]*tls.Certificate
	covering []pair // in order of preference
	fallback *tls.Certificate
}

func (s *Store) chooser() *chooser {
	c := &chooser{named: make(map[string]*tls.Certificate)}
	add := func(p *pair) {
		if p.good == nil {
			return
		}
		c.covering = append(c.covering, *p)
		if c.fallback == nil {
			c.fallback = p.good
		}
	}
	add(s.own)
	for _, name := range slices.Sorted(maps.Keys(s.named)) {
		add(s.named[name])
		if p := s.named[name]; p.good != nil {
			c.named[name] = p.good
		}
	}
	return c
}

func (c *chooser) certificate(host string) *tls.Certificate {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" {
		return c.fallback
	}
	if cert := c.named[host]; cert != nil {
		return cert
	}
	for i := range c.covering {
		if c.covering[i].covers(host) {
			return c.covering[i].good
		}
	}
	return c.fallback
}
