package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// A Policy is what server.tab says of TLS: the oldest version, and the
// certificates of clients (the SSL… variables of docs/reference/tables.md 5.1).
type Policy struct {
	MinVersion      uint16 // tls.VersionTLS12 where it is 0 or older
	WantVerify      bool   // check a certificate that the client shows
	WantCert        bool   // refuse a client without one; implies WantVerify
	AllowSelfSigned bool   // accept one that it signed itself
	MaxDepth        int    // certificates above the client's own; 0: as many as the library takes
	UseCertsFile    bool   // trust the authorities of certs.pem
	UseCertsDir     bool   // trust the authorities in certs/
}

// clients reports whether the certificates of clients matter.
func (p Policy) clients() bool { return p.WantVerify || p.WantCert }

// apply makes a config check the certificates of clients.
func (p Policy) apply(config *tls.Config, roots *x509.CertPool) {
	config.ClientAuth = tls.RequestClientCert
	if p.WantCert {
		config.ClientAuth = tls.RequireAnyClientCert
	}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		return p.verify(state.PeerCertificates, roots)
	}
}

// verify checks the chain that a client showed, its own certificate first.
func (p Policy) verify(chain []*x509.Certificate, roots *x509.CertPool) error {
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
