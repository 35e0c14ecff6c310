package main

import (
	"errors"
	"io"
	"net/smtp"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// TestAgainstXmaild runs testdata/server/*.txtar, each against a whole server. Besides
// the commands of testscript and status there is
//
//	send LOGIN PASSWORD FROM TO...  a message by SMTP
func TestAgainstXmaild(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join("testdata", "server", "*.txtar"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		t.Run(filepath.Base(script), func(t *testing.T) {
			server := servertest.Start(t)
			testscript.Run(t, testscript.Params{
				Files:               []string{script},
				RequireExplicitExec: true,
				Setup: func(env *testscript.Env) error {
					env.Setenv("GORACE", noRaceSleep)
					env.Setenv("MAIL_ROOT", server.Dir)
					env.Setenv("CTRL_SERVER", server.Addr)
					env.Setenv("PORT", server.Addr[strings.LastIndexByte(server.Addr, ':')+1:])
					env.Setenv("NATIVE", server.TLSAddr)
					env.Setenv("CTRL_USER", servertest.User)
					env.Setenv("CTRL_PASSWORD", servertest.Password)
					return nil
				},
				Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
					"status": cmdStatus,
					"send": func(ts *testscript.TestScript, _ bool, args []string) {
						ts.Check(send(server.SMTP, args))
					},
				},
			})
		})
	}
}

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
