package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// tlsPolicy is what server.tab says of the certificates of clients (the SSL…
// variables of docs/reference/tables.md 5.1).
type tlsPolicy struct {
	WantVerify      bool // check a certificate that the client shows
	WantCert        bool // refuse a client without one; implies WantVerify
	AllowSelfSigned bool // accept one that it signed itself
	MaxDepth        int  // certificates above the client's own; 0: as many as the library takes
	UseCertsFile    bool // trust the authorities of certs.pem
	UseCertsDir     bool // trust the authorities in certs/
}

// certificates are server.cert and server.key of a MailRoot, and the
// authorities that client certificates are checked against. Files are read
// again when their size or time changes. It is safe for concurrent use.
type certificates struct {
	root string

	mu        sync.Mutex
	pair      *tls.Certificate
	pairStamp string
	pool      *x509.CertPool
	poolStamp string
}

func newCertificates(root string) *certificates {
	return &certificates{root: root}
}

// config returns the settings for one handshake as the server.
func (c *certificates) config(policy tlsPolicy) (*tls.Config, error) {
	pair, err := c.keyPair()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		MinVersion:             tls.VersionTLS12,
		Certificates:           []tls.Certificate{*pair},
		SessionTicketsDisabled: true, // a settings value lives for one handshake
	}
	if !policy.WantVerify && !policy.WantCert {
		return config, nil
	}
	roots, err := c.authorities(policy)
	if err != nil {
		return nil, err
	}
	config.ClientAuth = tls.RequestClientCert
	if policy.WantCert {
		config.ClientAuth = tls.RequireAnyClientCert
	}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		return policy.verify(state.PeerCertificates, roots)
	}
	return config, nil
}

// verify checks the chain that a client showed, its own certificate first.
func (p tlsPolicy) verify(chain []*x509.Certificate, roots *x509.CertPool) error {
	if len(chain) == 0 {
		if p.WantCert {
			return errors.New("client shows no certificate")
		}
		return nil
	}
	options := x509.VerifyOptions{
		Roots:         roots,
		Intermediates: x509.NewCertPool(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if p.AllowSelfSigned {
		options.Roots = roots.Clone()
	}
	for _, cert := range chain {
		if p.AllowSelfSigned && selfSigned(cert) {
			options.Roots.AddCert(cert)
		} else {
			options.Intermediates.AddCert(cert)
		}
	}
	chains, err := chain[0].Verify(options)
	if err != nil {
		return fmt.Errorf("client certificate of %q: %w", chain[0].Subject, err)
	}
	if p.MaxDepth <= 0 {
		return nil
	}
	for _, found := range chains {
		if len(found)-1 <= p.MaxDepth {
			return nil
		}
	}
	return fmt.Errorf("client certificate of %q: the chain is longer than SSLMaxCertsDepth allows (%d)", chain[0].Subject, p.MaxDepth)
}

// selfSigned reports whether a certificate is signed by its own key, also
// where it is not marked as an authority.
func selfSigned(cert *x509.Certificate) bool {
	return cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

func (c *certificates) keyPair() (*tls.Certificate, error) {
	certFile, keyFile := filepath.Join(c.root, "server.cert"), filepath.Join(c.root, "server.key")
	stamp, err := stamps(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pair != nil && stamp == c.pairStamp {
		return c.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		// Certificate and key are two files: while both are being replaced the
		// old pair serves on.
		if c.pair != nil {
			return c.pair, nil
		}
		return nil, fmt.Errorf("server.cert and server.key: %w", err)
	}
	c.pair, c.pairStamp = &pair, stamp
	return c.pair, nil
}

// authorities are the certificates to trust: of certs.pem and certs/ where the
// policy names them, otherwise the system's.
func (c *certificates) authorities(policy tlsPolicy) (*x509.CertPool, error) {
	var sources []string
	if policy.UseCertsFile {
		sources = append(sources, filepath.Join(c.root, "certs.pem"))
	}
	if policy.UseCertsDir {
		sources = append(sources, filepath.Join(c.root, "certs"))
	}
	if len(sources) == 0 {
		return x509.SystemCertPool()
	}
	stamp, err := stamps(sources...)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pool == nil || stamp != c.poolStamp {
		pool, err := readAuthorities(sources)
		if err != nil {
			return nil, err
		}
		c.pool, c.poolStamp = pool, stamp
	}
	return c.pool, nil
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

// stamps tells states of files apart.
func stamps(names ...string) (string, error) {
	stamp := ""
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return "", err
		}
		stamp += fmt.Sprintf("%d %s\n", info.Size(), info.ModTime().Format(time.RFC3339Nano))
	}
	return stamp, nil
}
