package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// startTLS switches to TLS where the host offers it and the options of the host allow
// or require it.
func (s *Sender) startTLS(ctx context.Context, c *conn, t target, clear bool) error {
	if clear || t.TLS == TLSNever {
		return nil
	}
	required := t.TLS == TLSRequired
	if !c.hello.has("STARTTLS") {
		if required {
			return temporary("4.7.4", "Remote server does not support TLS")
		}
		return nil
	}
	if _, err := c.command(220, "STARTTLS"); err != nil {
		if f := judge(err); !required && f.replied() {
			return nil // it goes on in clear
		}
		return err
	}
	broken := func(err error) error {
		if required {
			return temporary("4.7.5", "%v: %v", errHandshake, err)
		}
		return fmt.Errorf("%w: %w", errHandshake, err)
	}
	if c.wire.r.Buffered() > 0 {
		return broken(errors.New("the host sent more than the reply to STARTTLS"))
	}
	// Certificates are checked by verify, whose answer counts where TLS is required
	// and is told of otherwise: encryption to nobody knows whom is better than none.
	var bad error
	inside := tls.Client(c.raw, &tls.Config{
		ServerName:         ascii(t.Name),
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if bad = s.verify(state, ascii(t.Name)); bad != nil && required {
				return bad
			}
			return nil
		},
	})
	ctx, cancel := context.WithTimeout(ctx, c.times.Command)
	defer cancel()
	if err := inside.HandshakeContext(ctx); err != nil {
		return broken(err)
	}
	c.wire = newWire(inside)
	state := inside.ConnectionState()
	c.proven = bad == nil
	c.tls = fmt.Sprintf("%s %s, certificate verified", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
	if bad != nil {
		c.tls = oneLine(fmt.Sprintf("%s %s, certificate not verified: %v",
			tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), bad), maxReply)
	}
	err := c.sayHello()
	if alert := (*net.OpError)(nil); errors.As(err, &alert) && alert.Op == "remote error" {
		// What is wrong with our end of the handshake a host says after it (RFC 8446 4.4.4).
		return broken(err)
	}
	return err
}

// verify checks a chain, and that it is for the host.
func (s *Sender) verify(state tls.ConnectionState, host string) error {
	chain := state.PeerCertificates
	if len(chain) == 0 {
		return errors.New("the host shows no certificate")
	}
	roots, err := s.o.Roots()
	if err != nil {
		return fmt.Errorf("no certificates to trust: %w", err)
	}
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), DNSName: host, CurrentTime: s.o.Clock()}
	for _, cert := range chain[1:] {
		o.Intermediates.AddCert(cert)
	}
	_, err = chain[0].Verify(o)
	return err
}

// localAddress returns our end of a connection.
func localAddress(c net.Conn) (netip.Addr, bool) {
	addr, ok := c.LocalAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	ip := addr.AddrPort().Addr().Unmap().WithZone("")
	return ip, ip.IsValid()
}
