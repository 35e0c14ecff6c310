package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

// The wait before trying to connect again begins with firstWait and doubles up to maxWait.
const (
	firstWait = 500 * time.Millisecond
	maxWait   = 30 * time.Second
)

// dialer returns what connects as the options say; it finds the password.
func (p *program) dialer(o *options) (ctrl.Dialer, error) {
	d := ctrl.Dialer{User: o.user, ClearText: o.clearText, Timeout: o.timeout}
	if o.tls != tlsNone {
		d.TLS = ctrl.TLSUpgrade
		if o.tls == tlsNative {
			d.TLS = ctrl.TLSNative
		}
		var err error
		if d.TLSConfig, err = tlsConfig(o); err != nil {
			return d, err
		}
	}
	var err error
	d.Password, err = p.readPassword(o)
	return d, err
}

// connect connects and logs in, again and again where the server cannot be
// reached and --retry says so. Nothing has been done on the server when it fails.
func (p *program) connect(ctx context.Context, o *options, d ctrl.Dialer) (*ctrl.Client, error) {
	wait := firstWait
	for try := 0; ; try++ {
		client, err := d.Dial(ctx, o.server.String())
		var arg *ctrl.ArgError
		switch {
		case err == nil:
			return client, nil
		case errors.As(err, &arg):
			return nil, usagef("the user name or the password cannot be sent: %v", err)
		case try == o.retry || !mayPass(ctx, err):
			return nil, err
		}
		// Scripts that were turned away together do not come back together.
		d := wait + rand.N(wait/2)
		if !o.quiet {
			fmt.Fprintf(p.stderr, "%s: %s; trying again in %s\n", p.name, visible(describe(err, true).info, false), d.Round(100*time.Millisecond))
		}
		if err := p.pause(ctx, d); err != nil {
			return nil, err
		}
		wait = min(2*wait, maxWait)
	}
}

// mayPass reports whether connecting may work later without anybody's doing:
// not where the login or the certificate was refused.
func mayPass(ctx context.Context, err error) bool {
	var (
		login     *ctrl.LoginError
		refused   *ctrl.Error
		untrusted *unverifiedError
		handshake *ctrl.TLSError
		protocol  *ctrl.ProtocolError
	)
	switch {
	case ctx.Err() != nil, errors.Is(err, ctrl.ErrNoDigest):
		return false
	case errors.As(err, &login):
		return login.Err.Code == ctrl.CodeShutdown
	case errors.As(err, &refused):
		return refused.Code == ctrl.CodeTooManySessions || refused.Code == ctrl.CodeShutdown
	case errors.As(err, &untrusted), errors.As(err, &handshake), errors.As(err, &protocol):
		return false
	}
	return true
}

// pause waits, unless ctx ends before.
func (p *program) pause(ctx context.Context, d time.Duration) error {
	if p.wait != nil {
		return p.wait(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
