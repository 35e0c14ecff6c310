package server

import (
	"context"
	"errors"
	"net"
)

// listeners are the open addresses of all services.
type listeners struct {
	ctrl, ctrls, smtp, smtps, pop3, pop3s, finger []net.Listener
}

func (l *listeners) all() []net.Listener {
	var all []net.Listener
	for _, some := range [][]net.Listener{l.ctrl, l.ctrls, l.smtp, l.smtps, l.pop3, l.pop3s, l.finger} {
		all = append(all, some...)
	}
	return all
}

// close closes what is open still.
func (l *listeners) close() error {
	var errs []error
	for _, one := range l.all() {
		if err := one.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// bind opens the addresses of all services, as the CompatLevel says where the
// configuration does not.
func (s *Server) bind(ctx context.Context, level int) error {
	finger := s.config.Finger
	finger.Off = finger.Off || level >= 1 && !s.config.FingerAsked && len(finger.Addrs) == 0
	for _, service := range []struct {
		what string
		at   Endpoint
		to   *[]net.Listener
	}{
		{"control port", s.config.Ctrl, &s.listeners.ctrl},
		{"control port inside TLS", s.config.Ctrls, &s.listeners.ctrls},
		{"SMTP", s.config.SMTP, &s.listeners.smtp},
		{"SMTP inside TLS", s.config.SMTPS, &s.listeners.smtps},
		{"POP3", s.config.POP3, &s.listeners.pop3},
		{"POP3 inside TLS", s.config.POP3S, &s.listeners.pop3s},
		{"finger", finger, &s.listeners.finger},
	} {
		control := service.to == &s.listeners.ctrl || service.to == &s.listeners.ctrls
		b := binder{loopback: control && level >= 1, resolve: s.config.Resolve, log: s.log}
		opened, err := b.bind(ctx, service.what, service.at)
		if err != nil {
			return err
		}
		*service.to = opened
	}
	return nil
}
