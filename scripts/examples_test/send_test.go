//go:build unix

package examples_test

import (
	"errors"
	"io"
	"net/smtp"
)

// send sends a message as a client that logs in.
func send(addr string, args []string) error {
	if len(args) < 4 {
		return errors.New("usage: send LOGIN PASSWORD FROM TO...")
	}
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Auth(smtp.PlainAuth("", args[0], args[1], "127.0.0.1")); err != nil {
		return err
	}
	if err := c.Mail(args[2]); err != nil {
		return err
	}
	for _, to := range args[3:] {
		if err := c.Rcpt(to); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, "Subject: x\r\n\r\ntext\r\n"); err != nil {
		return err
	}
	return errors.Join(w.Close(), c.Quit())
}
