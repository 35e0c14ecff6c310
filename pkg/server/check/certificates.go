package check

import (
	"crypto/tls"
	"io/fs"
	"path"
	"strings"
	"time"
)

// certificates checks the pairs that the server would show.
func (c *checker) certificates(now time.Time) {
	if c.exists("server.cert") || c.exists("server.key") {
		c.pair("server.cert", "server.key", "", now)
	}
	entries, err := fs.ReadDir(c.fsys, "tls")
	if err != nil {
		return // there need be none
	}
	for _, e := range entries {
		stem, kind := strings.TrimSuffix(e.Name(), path.Ext(e.Name())), path.Ext(e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case kind == ".cert":
			c.pair(path.Join("tls", e.Name()), path.Join("tls", stem+".key"), stem, now)
		case kind == ".key":
			if !c.exists(path.Join("tls", stem+".cert")) {
				c.report(path.Join("tls", e.Name()), 0, "there is no %s.cert to this key", stem)
			}
		default:
			c.report(path.Join("tls", e.Name()), 0, "is neither NAME.cert nor NAME.key, and nobody reads it")
		}
	}
}

// pair checks one pair, which is for clients that ask for host; for all where that is empty.
func (c *checker) pair(certFile, keyFile, host string, now time.Time) {
	cert, err := fs.ReadFile(c.fsys, certFile)
	if err != nil {
		c.report(certFile, 0, "%v", unpath(err))
		return
	}
	key, err := fs.ReadFile(c.fsys, keyFile)
	if err != nil {
		c.report(keyFile, 0, "%v", unpath(err))
		return
	}
	if info, err := fs.Stat(c.fsys, keyFile); err == nil && info.Mode().Perm()&0o077 != 0 {
		c.risk(keyFile, 0, "others may read it (mode %o); 600 is enough", info.Mode().Perm())
	}
	both, err := tls.X509KeyPair(cert, key)
	if err != nil {
		c.report(certFile, 0, "%v", err)
		return
	}
	const soon = 30 * 24 * time.Hour
	leaf := both.Leaf
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		c.report(certFile, 0, "has expired, on %s", leaf.NotAfter.UTC().Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		c.report(certFile, 0, "is not good before %s", leaf.NotBefore.UTC().Format(time.DateOnly))
	case left < soon:
		c.risk(certFile, 0, "expires on %s", leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	if host != "" && leaf.VerifyHostname(host) != nil {
		c.risk(certFile, 0, "is shown to clients that ask for %s, but is not good for that name", host)
	}
}

// unpath returns what went wrong with a file, without its name.
func unpath(err error) error {
	if e, ok := err.(*fs.PathError); ok {
		return e.Err
	}
	return err
}
