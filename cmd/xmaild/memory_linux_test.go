package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// TestIdleClientsCostLittle holds two thousand clients of each kind and weighs the
// server, all that the kernel counts for the process included.
func TestIdleClientsCostLittle(t *testing.T) {
	const clients = 2000
	for _, test := range []struct {
		service, letters string
		tls              bool
		say              string
		most             int // KiB each
	}{
		{"smtp", "-S", false, "EHLO client.test\r\n", 24},
		{"smtps", "-X", true, "EHLO client.test\r\n", 60},
		{"pop3", "-P", false, "USER xmailuser\r\n", 24},
		{"pop3s", "-B", true, "USER xmailuser\r\n", 60},
	} {
		t.Run(test.service, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "MailRoot")
			if err := servertest.NewMailRoot(root); err != nil {
				t.Fatal(err)
			}
			appendTo(t, filepath.Join(root, "server.tab"), "\"SMTP-MaxSessionsPerAddress\"\t\"0\"\n\"POP3-MaxSessionsPerAddress\"\t\"0\"\n")
			d, err := startDaemon(xmaild(root, "-Ms", root, "-C-", "-W-", "--pid-dir", "", "--smtp-sessions", "5000", "--pop3-sessions", "5000",
				test.letters+"I", "127.0.0.1", test.letters+"p", "0"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := d.kill(); err != nil {
					t.Error(err)
				}
			})
			m, err := d.logged(regexp.MustCompile(`msg=serving .* ` + test.service + `=(127\.0\.0\.1:[0-9]+) `))
			if err != nil {
				t.Fatal(err)
			}
			config := &tls.Config{InsecureSkipVerify: true}
			hold := func(count int) {
				for range count {
					c, err := net.Dial("tcp", m[1])
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { c.Close() })
					if test.tls {
						c = tls.Client(c, config)
					}
					if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
						t.Fatal(err)
					}
					buf := make([]byte, 4096)
					if _, err := c.Read(buf); err != nil {
						t.Fatal(err)
					}
					if _, err := fmt.Fprint(c, test.say); err != nil {
						t.Fatal(err)
					}
					if _, err := c.Read(buf); err != nil {
						t.Fatal(err)
					}
				}
			}
			weight := func() int {
				kb, err := strconv.Atoi(strings.TrimSuffix(procStatus(t, d.cmd.Process.Pid, "VmRSS"), " kB"))
				if err != nil {
					t.Fatal(err)
				}
				return kb
			}
			hold(50) // what the first ones cost is the server's own
			before := weight()
			hold(clients)
			each := float64(weight()-before) / clients
			t.Logf("%.1f KiB each", each)
			if each > float64(test.most) {
				t.Errorf("%d idle clients cost %.1f KiB each, want %d at most", clients, each, test.most)
			}
		})
	}
}

func appendTo(t *testing.T, name, text string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
