package certs

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// authorities are the certificates that those of others are checked against.
// Files are read again when their size or time changes.
type authorities struct {
	root string

	mu    sync.Mutex
	pool  *x509.CertPool
	stamp string
}

// get returns the authorities of certs.pem and certs/ where the policy names
// them and they are there, otherwise the system's (docs/reference/services.md 4.1).
func (a *authorities) get(policy Policy) (*x509.CertPool, error) {
	var sources []string
	if policy.UseCertsFile {
		sources = append(sources, filepath.Join(a.root, "certs.pem"))
	}
	if policy.UseCertsDir {
		sources = append(sources, filepath.Join(a.root, "certs"))
	}
	sources = slices.DeleteFunc(sources, missing)
	if len(sources) == 0 {
		return x509.SystemCertPool()
	}
	stamp, err := stamps(sources...)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pool == nil || stamp != a.stamp {
		pool, err := readAuthorities(sources)
		if err != nil {
			return nil, err
		}
		a.pool, a.stamp = pool, stamp
	}
	return a.pool, nil
}

// readAuthorities reads files of certificates, and folders of such files.
func readAuthorities(sources []string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	for _, source := range sources {
		files := []string{source}
		if entries, err := os.ReadDir(source); err == nil {
			files = nil
			for _, e := range entries {
				files = append(files, filepath.Join(source, e.Name()))
			}
		}
		for _, name := range files {
			if info, err := os.Stat(name); err == nil && info.IsDir() {
				continue
			}
			content, err := os.ReadFile(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // a dangling link in certs/
			}
			if err != nil {
				return nil, err
			}
			pool.AppendCertsFromPEM(content)
		}
	}
	return pool, nil
}
