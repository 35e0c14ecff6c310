package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A pair is a certificate and its key, as last read from their two files.
type pair struct {
	name      string // of the certificate's file, relative to MailRoot
	cert, key string // full names of the files

	stamp string           // of the files as last tried
	good  *tls.Certificate // nil: none yet
	bad   error            // why the files as last tried are not good; the old pair serves on
	gone  bool             // neither file is there
	shut  bool             // the files are there and could not be read, for want of rights perhaps
}

func newPair(root, stem string) *pair {
	return &pair{
		name: filepath.ToSlash(stem) + ".cert",
		cert: filepath.Join(root, stem+".cert"), key: filepath.Join(root, stem+".key"),
	}
}

// refresh reads the files where they have changed, and reports whether there is
// another certificate, or another mishap, now.
func (p *pair) refresh() (changed bool) {
	stamp, err := stamps(p.cert, p.key)
	if err != nil {
		stamp = err.Error()
	}
	same := stamp == p.stamp
	if same && !p.shut { // rights change neither size nor time
		return false
	}
	p.stamp, p.gone, p.shut = stamp, missing(p.cert) && missing(p.key), false
	if p.gone {
		p.good, p.bad = nil, err
		return true
	}
	if err == nil {
		var read tls.Certificate
		if read, err = tls.LoadX509KeyPair(p.cert, p.key); err == nil {
			p.good, p.bad = &read, nil
			return true
		}
		var unread *fs.PathError
		p.shut = errors.As(err, &unread)
		if same && p.shut {
			return false // as it was
		}
	}
	// Certificate and key are two files: while both are being replaced, and where
	// they stay wrong, the old pair serves on.
	p.bad = err
	return true
}

func missing(name string) bool {
	_, err := os.Stat(name)
	return errors.Is(err, fs.ErrNotExist)
}

// warnBefore is how long before the end of a certificate its administrator
// should know.
const warnBefore = 30 * 24 * time.Hour

// doubt says what is wrong with the time of the certificate, "" where nothing is.
func (p *pair) doubt(now time.Time) string {
	if p.good == nil || p.good.Leaf == nil {
		return ""
	}
	leaf := p.good.Leaf
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		return "certificate has expired"
	case now.Before(leaf.NotBefore):
		return "certificate is not good yet"
	case left < warnBefore:
		return fmt.Sprintf("certificate expires in %d days", int(left/(24*time.Hour)))
	}
	return ""
}

// covers reports whether the certificate is good for a host name.
func (p *pair) covers(host string) bool {
	var leaf *x509.Certificate
	if p.good != nil {
		leaf = p.good.Leaf
	}
	return leaf != nil && leaf.VerifyHostname(host) == nil
}

// stamps tells states of files apart.
func stamps(names ...string) (string, error) {
	stamp := ""
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return "", err
		}
		stamp += stampOf(info)
	}
	return stamp, nil
}

func stampOf(info fs.FileInfo) string {
	return fmt.Sprintf("%d %s\n", info.Size(), info.ModTime().Format(time.RFC3339Nano))
}
