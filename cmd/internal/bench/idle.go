package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// idleFigures are those of connections that hold still.
func idleFigures() []figure {
	var all []figure
	for _, f := range []struct {
		name, title, say string
		addr             func(*daemon) string
		tls              bool
		limit            float64
	}{
		{"idle-smtp", "after EHLO", "EHLO client.test\r\n", func(d *daemon) string { return d.smtp }, false, 24},
		{"idle-smtp-tls", "after EHLO inside TLS", "EHLO client.test\r\n", func(d *daemon) string { return d.smtps }, true, 60},
		{"idle-pop3", "after USER", "USER " + userName(0) + "\r\n", func(d *daemon) string { return d.pop3 }, false, 24},
		{"idle-pop3-tls", "after USER inside TLS", "USER " + userName(0) + "\r\n", func(d *daemon) string { return d.pop3s }, true, 60},
	} {
		all = append(all, figure{
			name: f.name, title: "memory of an idle connection " + f.title, unit: "KiB",
			goal: goal{value: f.limit, most: true, text: fmt.Sprintf("%v KiB", f.limit)},
			run: func(ctx context.Context, e *env) (measure, error) {
				d, _, err := e.servedMail(ctx)
				if err != nil {
					return measure{}, err
				}
				h := holder{addr: f.addr(d), say: f.say}
				if f.tls {
					h.config = &tls.Config{InsecureSkipVerify: true} // the certificate is one of the run
				}
				defer h.close()
				return h.weigh(ctx, e, d)
			},
		})
	}
	return all
}

// A holder holds idle connections.
type holder struct {
	addr, say string
	config    *tls.Config // nil: plain
	conns     []net.Conn
}

// weigh returns what a connection costs the server, by the memory that the system counts
// for its process; the buffers of sockets are not in it.
func (h *holder) weigh(ctx context.Context, e *env, d *daemon) (measure, error) {
	count := max(e.size(2000), 200) // fewer do not show
	// What the first ones cost is the server's own.
	if err := h.hold(ctx, 50); err != nil {
		return measure{}, err
	}
	before, _, err := d.memory()
	if err != nil {
		return measure{}, err
	}
	if err := h.hold(ctx, count); err != nil {
		return measure{}, err
	}
	after, _, err := d.memory()
	return measure{value: float64(after-before) / float64(count)}, err
}

func (h *holder) hold(ctx context.Context, count int) error {
	buf := make([]byte, 4096)
	for range count {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := net.Dial("tcp", h.addr)
		if err != nil {
			return err
		}
		h.conns = append(h.conns, c)
		if h.config != nil {
			c = tls.Client(c, h.config)
		}
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err = c.Read(buf); err == nil {
			if _, err = io.WriteString(c, h.say); err == nil {
				_, err = c.Read(buf)
			}
		}
		if err != nil {
			return fmt.Errorf("connection %d: %w", len(h.conns), err)
		}
	}
	return nil
}

func (h *holder) close() error {
	var errs []error
	for _, c := range h.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
