package servertest

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServerStartsStopsAndRestarts(t *testing.T) {
	s := Start(t)
	first := s.Addr
	if _, err := s.Dial(t).Do(t.Context(), "noop"); err != nil {
		t.Fatalf("noop: %v", err)
	}
	s.Restart(t)
	if _, err := s.Dial(t).Do(t.Context(), "noop"); err != nil {
		t.Fatalf("noop after a restart: %v", err)
	}
	s.Stop(t)
	for _, addr := range []string{first, s.Addr} {
		if c, err := ctrl.Dial(t.Context(), addr, User, Password); err == nil {
			c.Close()
			t.Errorf("%s still answers", addr)
		}
	}
}

func TestServerSpeaksTLS(t *testing.T) {
	s := Start(t)
	for name, d := range map[string]struct {
		mode ctrl.TLSMode
		addr string
	}{
		"upgraded": {ctrl.TLSUpgrade, s.Addr},
		"native":   {ctrl.TLSNative, s.TLSAddr},
	} {
		dialer := ctrl.Dialer{User: User, Password: Password, TLS: d.mode, TLSConfig: s.TLSConfig(t)}
		c, err := dialer.Dial(context.Background(), d.addr)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := c.Do(t.Context(), "noop"); err != nil {
			t.Errorf("%s: noop: %v", name, err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("%s: close: %v", name, err)
		}
	}
}

func TestVariablesAreSet(t *testing.T) {
	s := Start(t, Var("EnableCTRL-TLS", "0"))
	dialer := ctrl.Dialer{User: User, Password: Password, TLS: ctrl.TLSUpgrade, TLSConfig: s.TLSConfig(t)}
	_, err := dialer.Dial(t.Context(), s.Addr)
	var refused *ctrl.Error
	if !errors.As(err, &refused) || refused.Code != ctrl.CodeTLSOff {
		t.Errorf("#!TLS where it is off: %v, want code %d", err, ctrl.CodeTLSOff)
	}
}
