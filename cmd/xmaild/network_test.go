//go:build unix

package main

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestOpeningToANetwork does what quickstart and the README say to let one
// network in with TLS; the network is one that this machine is in.
func TestOpeningToANetwork(t *testing.T) {
	own := ownAddress(t)
	dir := t.TempDir()
	d, err := startDaemon(xmaild(dir, "quickstart", "--ctrl-port", "0", "--ctrls-port", "0"))
	if err != nil {
		t.Fatal(err)
	}
	password, err := d.printed(regexp.MustCompile(`CTRL_PASSWORD=(\S+) `))
	if err != nil {
		t.Fatal(err)
	}
	fingerprint, err := d.printed(regexp.MustCompile(`Certificate \(SHA-256\)\s+(\S+)`))
	if err != nil {
		t.Fatal(err)
	}
	row, err := d.printed(regexp.MustCompile(`(?m)^  ("192\.168\.1\.0"\t"255\.255\.255\.0"\t"ALLOW"\t2)$`))
	if err != nil {
		t.Fatal(err)
	}
	command, err := d.printed(regexp.MustCompile(`(?m)^  \S+/xmaild (serve --root MailRoot --ctrl-address 127\.0\.0\.1 --ctrls-address) 192\.168\.1\.5$`))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}

	open := func() (*daemon, string) {
		args := append(strings.Fields(command[1]), own.String(), "--ctrl-port", "0", "--ctrls-port", "0", "--pid-dir", "")
		d, err := startDaemon(xmaild(dir, args...))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := d.kill(); err != nil {
				t.Error(err)
			}
		})
		_, tls, err := d.serving()
		if err != nil {
			t.Fatal(err)
		}
		return d, tls
	}
	list := func(addr string) (string, error) {
		cmd := exec.Command(filepath.Join(bin, "ctrlclnt"), "-L", "-s", addr, "-u", "admin", "--fingerprint", fingerprint[1], "domainlist")
		cmd.Env = append(os.Environ(), "CTRL_PASSWORD="+password[1])
		out, err := cmd.CombinedOutput()
		return string(out), err
	}

	// Bound, but not let in: ctrl.ipmap.tab of a fresh MailRoot has the loopback alone.
	d, addr := open()
	if out, err := list(addr); err == nil || !strings.Contains(out, "-00130") {
		t.Errorf("before the network is let in: %q, %v, want -00130", out, err)
	}
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}

	table := filepath.Join(dir, "MailRoot", "ctrl.ipmap.tab")
	content, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	content = append(content, strings.Replace(row[1], "192.168.1.0", own.String(), 1)+"\n"...)
	if err := os.WriteFile(table, content, 0o600); err != nil {
		t.Fatal(err)
	}
	_, addr = open()
	if out, err := list(addr); err != nil || out != "\"example.test\"\n" {
		t.Errorf("from the network that was let in: %q, %v, want the domain", out, err)
	}
}

// ownAddress is an IPv4 address of this machine that is not of the loopback.
func ownAddress(t *testing.T) netip.Addr {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() {
			return prefix.Addr()
		}
	}
	t.Skip("this machine has no address but the loopback's")
	return netip.Addr{}
}
