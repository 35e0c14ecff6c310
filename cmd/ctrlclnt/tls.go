package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// unverifiedError is a server certificate that was not accepted.
type unverifiedError struct {
	host        string
	fingerprint string // of the certificate that the server showed
	err         error
}

func (e *unverifiedError) Unwrap() error { return e.err }

func (e *unverifiedError) Error() string {
	return fmt.Sprintf("the certificate of %s is not trusted: %v. Its fingerprint is %s. "+
		"If you have checked it, trust it with --fingerprint or CTRL_FINGERPRINT; trust its authority with -X FILE or -H DIR; "+
		"or switch the verification off with --insecure or CTRL_INSECURE=1, as the original CtrlClnt always did",
		e.host, e.err, e.fingerprint)
}

// tlsConfig builds what -S and -L need. The server is verified against the
// system's authorities, those of -X and -H where given, or by its fingerprint alone.
func tlsConfig(o *options) (*tls.Config, error) {
	host := strings.TrimSuffix(o.server.host, ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.WithZone("").String()
	}
	c := &tls.Config{
		ServerName: host,
		MinVersion: tls.VersionTLS12,
		// The verification below does the same as the library's, and can say which certificate it was.
		InsecureSkipVerify: true,
	}
	if o.certFile != "" {
		pair, err := loadPair(o.certFile, o.keyFile)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if o.insecure {
		return c, nil
	}
	if o.fingerprint != nil {
		c.VerifyConnection = func(s tls.ConnectionState) error {
			sum := sha256.Sum256(s.PeerCertificates[0].Raw)
			for _, want := range o.fingerprint {
				if bytes.Equal(sum[:], want) {
					return nil
				}
			}
			return &unverifiedError{o.server.host, formatFingerprint(sum[:]), errors.New("it is not the one that --fingerprint or CTRL_FINGERPRINT names")}
		}
		return c, nil
	}
	var roots *x509.CertPool // nil: the system's
	if o.caFile != "" || o.caDir != "" {
		roots = x509.NewCertPool()
		if err := loadRoots(roots, o.caFile, o.caDir); err != nil {
			return nil, err
		}
	}
	c.VerifyConnection = func(s tls.ConnectionState) error {
		v := x509.VerifyOptions{Roots: roots, DNSName: host, Intermediates: x509.NewCertPool()}
		for _, cert := range s.PeerCertificates[1:] {
			v.Intermediates.AddCert(cert)
		}
		if _, err := s.PeerCertificates[0].Verify(v); err != nil {
			sum := sha256.Sum256(s.PeerCertificates[0].Raw)
			return &unverifiedError{o.server.host, formatFingerprint(sum[:]), err}
		}
		return nil
	}
	return c, nil
}

// loadPair reads the client certificate and its key.
func loadPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return tls.Certificate{}, &localError{code: codeTLSCert, info: "client certificate: " + err.Error()}
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return tls.Certificate{}, &localError{code: codeTLSKey, info: "client key: " + err.Error()}
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, &localError{code: codeTLSPair, info: fmt.Sprintf("client certificate %s and key %s: %v", certFile, keyFile, err)}
	}
	return pair, nil
}

// loadRoots adds the certificates of a PEM file and of every PEM file in a folder.
func loadRoots(pool *x509.CertPool, file, dir string) error {
	if file != "" {
		pem, err := os.ReadFile(file)
		if err == nil && !pool.AppendCertsFromPEM(pem) {
			err = fmt.Errorf("%s holds no certificate in PEM form", file)
		}
		if err != nil {
			return &localError{code: codeTLSTrust, info: "authorities (-X): " + err.Error()}
		}
	}
	if dir != "" {
		entries, err := os.ReadDir(dir)
		found := false
		for _, e := range entries {
			// Hashed names are links, and a folder of them often holds other files too.
			if pem, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil {
				found = pool.AppendCertsFromPEM(pem) || found
			}
		}
		if err == nil && !found {
			err = fmt.Errorf("no file in %s holds a certificate in PEM form", dir)
		}
		if err != nil {
			return &localError{code: codeTLSTrust, info: "authorities (-H): " + err.Error()}
		}
	}
	return nil
}

// setFingerprint reads SHA-256 fingerprints as openssl and browsers print
// them, several separated by commas: with or without colons, in either case,
// and after "sha256:" or "SHA256 Fingerprint=".
func setFingerprint(o *options, v string) error {
	o.fingerprint = nil
	for part := range strings.SplitSeq(v, ",") {
		s := strings.ToLower(strings.TrimSpace(part))
		if i := strings.IndexByte(s, '='); i >= 0 {
			s = s[i+1:]
		}
		s = strings.TrimPrefix(s, "sha256:")
		s = strings.NewReplacer(":", "", " ", "").Replace(s)
		sum, err := hex.DecodeString(s)
		if err != nil || len(sum) != sha256.Size {
			return fmt.Errorf("%q is no SHA-256 fingerprint, 64 hexadecimal digits", part)
		}
		o.fingerprint = append(o.fingerprint, sum)
	}
	return nil
}

// formatFingerprint prints a fingerprint as --fingerprint takes it.
func formatFingerprint(sum []byte) string { return "sha256:" + hex.EncodeToString(sum) }
