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
	files, stamp, err := authorityFiles(sources)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pool == nil || stamp != a.stamp {
		pool, err := readAuthorities(files)
		if err != nil {
			return nil, err
		}
		a.pool, a.stamp = pool, stamp
	}
	return a.pool, nil
}

// authorityFiles returns the files that sources are, or have in them where they are
// folders, and what tells their states apart. A folder does not change with its files.
func authorityFiles(sources []string) (files []string, stamp string, err error) {
	for _, source := range sources {
		names := []string{source}
		if entries, err := os.ReadDir(source); err == nil {
			names = nil
			for _, e := range entries {
				names = append(names, filepath.Join(source, e.Name()))
			}
		}
		for _, name := range names {
			info, err := os.Stat(name)
			switch {
			case errors.Is(err, fs.ErrNotExist): // a dangling link in certs/
			case err != nil:
				return nil, "", err
			case !info.IsDir():
				files = append(files, name)
				stamp += name + "\n" + stampOf(info)
			}
		}
	}
	return files, stamp, nil
}

func readAuthorities(files []string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	for _, name := range files {
		content, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just gone
		}
		if err != nil {
			return nil, err
		}
		pool.AppendCertsFromPEM(content)
	}
	return pool, nil
}
