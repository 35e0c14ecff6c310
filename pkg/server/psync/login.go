package psync

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// encrypt switches to TLS.
func (f *Fetcher) encrypt(ctx context.Context, c *client, o options) error {
	if c.r.Buffered() > 0 {
		return errors.New("the server sends more than is due before TLS begins")
	}
	// Certificates are checked by verify, whose answer counts where the link wants it,
	// and is told of otherwise: encryption to nobody knows whom is better than none.
	var bad error
	c.paced.begin()
	inside := tls.Client(c.paced, &tls.Config{
		ServerName:         c.host.name,
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if bad = f.verify(state, c.host.name); bad != nil && o.verify {
				return bad
			}
			return nil
		},
	})
	ctx, cancel := context.WithTimeout(ctx, f.o.Timeout)
	defer cancel()
	if err := inside.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("the handshake of TLS failed: %w", err)
	}
	c.conn, c.r = inside, bufio.NewReaderSize(inside, 16<<10)
	state := inside.ConnectionState()
	c.tls = fmt.Sprintf("%s %s, certificate verified", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
	if bad != nil {
		c.tls = fmt.Sprintf("%s %s, certificate not verified: %s",
			tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), c.quote(bad.Error()))
	}
	return nil
}

// verify checks a chain, and that it is for the host.
func (f *Fetcher) verify(state tls.ConnectionState, name string) error {
	chain := state.PeerCertificates
	if len(chain) == 0 {
		return errors.New("the server shows no certificate")
	}
	roots, err := f.o.Roots()
	if err != nil {
		return fmt.Errorf("no certificates to trust: %w", err)
	}
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), DNSName: name, CurrentTime: f.Root.Now()}
	for _, cert := range chain[1:] {
		o.Intermediates.AddCert(cert)
	}
	_, err = chain[0].Verify(o)
	return err
}

// begin greets a server, with TLS where the link wants it.
func (f *Fetcher) begin(ctx context.Context, c *client, o options) error {
	if o.tls == tlsImplicit {
		if err := f.encrypt(ctx, c, o); err != nil {
			return err
		}
		c.paced.begin()
		return c.greeting()
	}
	if err := c.greeting(); err != nil || o.tls == tlsNone {
		return err
	}
	if _, err := c.do("STLS"); err != nil {
		if refused(err) && o.tls == tlsOffered {
			return nil // it goes on in clear
		}
		return err
	}
	return f.encrypt(ctx, c, o)
}

// logIn logs in.
func (c *client) logIn(l mailroot.Link, o options) error {
	password, ok := l.Password().Clear()
	if !ok {
		return errors.New("the password of the link cannot be read")
	}
	digest := auth.Digest(c.timestamp, password)
	c.secrets = []string{password, digest}
	if o.digest && c.timestamp != "" {
		_, err := c.do("APOP", l.RemoteName, digest)
		if err == nil || o.digestOnly || !refused(err) {
			return err
		}
	}
	if o.digestOnly {
		return errors.New("the server does not offer APOP, and the link wants nothing else (FAPOP)")
	}
	if open := c.tls == "" && !c.remote.Addr().Unmap().IsLoopback(); open && !o.clear && !o.clearLevel0 {
		return errors.New("the password is not sent without TLS unless the link says CLR")
	}
	if _, err := c.do("USER", l.RemoteName); err != nil {
		return err
	}
	_, err := c.do("PASS", password)
	return err
}
