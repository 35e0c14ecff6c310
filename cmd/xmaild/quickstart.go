package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xmaild/xmaild/pkg/server"
	"github.com/xmaild/xmaild/pkg/server/cmdline"
	"github.com/xmaild/xmaild/pkg/server/selfcert"
)

func (p *program) quickstartCommand() *cobra.Command {
	var n newRoot
	c := &cobra.Command{
		Use:   "quickstart [options]",
		Short: "Serve on the loopback from ./MailRoot, which is made where it is absent",
		Long: `Serves from ./MailRoot (or --root DIR) on unprivileged ports of the loopback (SMTP 2525,
inside TLS 2465, POP3 2110, inside TLS 2995, control 6017 and 6018, or free ones where
these are taken), and prints lines to try the server with. Where there is no MailRoot a fresh one is
made first, and its passwords are printed, once.`,
	}
	return p.subcommand(c, n.addFlags, func(ctx context.Context, parser *cmdline.Parser) error {
		if len(parser.Words) > 0 {
			return usageError{fmt.Errorf("quickstart takes no arguments, but %q; name a folder with --root", parser.Words)}
		}
		// A trial must not start on the MailRoot that a running system names in
		// its environment.
		dir := parser.Config.Root
		if !c.Flags().Changed("root") && dir == p.getenv("MAIL_ROOT") || dir == "" {
			dir = defaultRoot
		}
		parser.Config.Root = dir
		if !c.Flags().Changed("pid-dir") {
			parser.Config.PIDFile = filepath.Join(dir, "xmaild.pid")
		}
		fresh, err := absent(dir)
		if err != nil {
			return err
		}
		var m *made
		if fresh {
			if m, err = n.create(dir, parser.Config.Mailbox); err != nil {
				return err
			}
			p.show(dir, m)
		}
		loopback(parser)
		log := p.logger(parser)
		for _, w := range parser.Warnings {
			log.Warn(w)
		}
		return p.serve(ctx, parser.Config, log, func(s *server.Server, err error) {
			if err == nil {
				p.explain(s, dir, m)
			}
		})
	})
}

// quickPorts are where the services listen that have usual ports which only root
// may bind.
var quickPorts = map[int]int{
	server.DefaultSMTPPort: 2525, server.DefaultSMTPSPort: 2465, server.DefaultPOP3Port: 2110, server.DefaultPOP3SPort: 2995,
}

// loopback binds the loopback alone, ports that anybody may bind, and free ones
// where those are taken, unless options say otherwise. Finger is for those who ask
// for it.
func loopback(parser *cmdline.Parser) {
	c := &parser.Config
	c.Finger.Off = c.Finger.Off || !c.FingerAsked
	for _, e := range []*server.Endpoint{&c.Ctrl, &c.Ctrls, &c.SMTP, &c.SMTPS, &c.POP3, &c.POP3S, &c.Finger} {
		if e.Off || len(e.Addrs) > 0 {
			continue
		}
		port, chosen := e.Port, parser.Chosen(e)
		if quick := quickPorts[port]; quick != 0 && !chosen {
			port = quick
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if !chosen && taken(addr) {
			addr = "127.0.0.1:0"
		}
		e.Addrs = []string{addr}
	}
}

func taken(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return true
	}
	return l.Close() != nil
}

// explain prints where the server listens, and lines to paste.
func (p *program) explain(s *server.Server, dir string, m *made) {
	p.listens(s)
	if cert, err := os.ReadFile(filepath.Join(dir, "server.cert")); err == nil {
		if print, err := selfcert.Fingerprint(cert); err == nil {
			p.printf("Certificate (SHA-256)    %s\n", print)
		}
	}
	p.printf("\n")
	if line := p.clientLine(s, m); line != "" {
		where := ""
		if p.byGoRun() {
			where = ", in this folder"
		}
		p.printf("Try it in a second terminal%s:\n\n  %s\n\n", where, line)
	}
	p.mailLines(s, m)
	p.printf(`To let one network in, with TLS: add a line to %s (columns are divided by tabs),

  "192.168.1.0"	"255.255.255.0"	"ALLOW"	2

and start with the address of this machine in it (mail has the ports 25, 465, 110 and
995 of all addresses then, which root may bind; it gives its rights up thereafter):

  %s serve --root %s --ctrl-address 127.0.0.1 --ctrls-address 192.168.1.5

Clients there connect with: ctrlclnt -L -s 192.168.1.5:6018 --fingerprint FINGERPRINT …

Ctrl-C stops the server.
`, filepath.Join(dir, "ctrl.ipmap.tab"), p.self("xmaild"), quote(dir))
}

// listens prints where the services listen.
func (p *program) listens(s *server.Server) {
	for _, service := range []struct {
		name string
		at   []netip.AddrPort
	}{
		{"Control port", s.CtrlAddrs()}, {"Control port inside TLS", s.CtrlsAddrs()},
		{"SMTP, submission", s.SMTPAddrs()}, {"SMTP inside TLS", s.SMTPSAddrs()},
		{"POP3", s.POP3Addrs()}, {"POP3 inside TLS", s.POP3SAddrs()}, {"Finger", s.FingerAddrs()},
	} {
		for _, addr := range service.at {
			p.printf("%-24s %s\n", service.name, addr)
		}
	}
}

// mailLines prints commands that send a message to the first account of a new
// MailRoot, and read it.
func (p *program) mailLines(s *server.Server, m *made) {
	smtp, pop3 := s.SMTPAddrs(), s.POP3Addrs()
	if m == nil || len(smtp) == 0 || len(pop3) == 0 {
		return
	}
	p.printf(`Send a message to the first account, and read it (curl asks for the password):

  printf 'Subject: hello\n\nIt works.\n' | curl --crlf -T - --mail-from %s --mail-rcpt %s smtp://%s
  curl -u %s pop3://%s/1

`, quote(m.account), quote(m.account), smtp[0], quote(m.account), pop3[0])
}

// clientLine is the command that lists the domains of the server.
func (p *program) clientLine(s *server.Server, m *made) string {
	var addr netip.AddrPort
	option := ""
	switch {
	case len(s.CtrlAddrs()) > 0:
		addr = s.CtrlAddrs()[0]
	case len(s.CtrlsAddrs()) > 0:
		addr, option = s.CtrlsAddrs()[0], " -L -X "+quote(filepath.Join(s.Root(), "server.cert"))
	default:
		return ""
	}
	admin, password := s.Administrator(), ""
	if m != nil {
		admin, password = m.admin, "CTRL_PASSWORD="+m.adminPassword+" "
	}
	return fmt.Sprintf("%s%s -s %s -u %s%s domainlist", password, p.self("ctrlclnt"), addr, quote(admin), option)
}

// byGoRun reports whether this process is a program of "go run", which is gone
// when it ends.
func (p *program) byGoRun() bool {
	self, err := os.Executable()
	return err == nil && strings.Contains(filepath.ToSlash(self), "/go-build")
}

// self is how to run a program of this build.
func (p *program) self(name string) string {
	if p.byGoRun() {
		return "go run ./cmd/" + name
	}
	self, err := os.Executable()
	if err != nil {
		return name
	}
	if name == "xmaild" {
		return quote(self)
	}
	// Programs of one build lie in one folder, installed ones in sbin and bin.
	dir := filepath.Dir(self)
	for _, sibling := range []string{
		filepath.Join(dir, name+filepath.Ext(self)),
		filepath.Join(filepath.Dir(dir), "bin", name),
	} {
		if info, err := os.Stat(sibling); err == nil && !info.IsDir() {
			return quote(sibling)
		}
	}
	return name
}

// quote writes a word as a shell reads it.
func quote(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:@%") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
