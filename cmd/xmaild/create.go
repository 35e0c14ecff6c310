package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/xmaild/xmaild/pkg/server"
	"github.com/xmaild/xmaild/pkg/server/cmdline"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/selfcert"
)

// defaultRoot is the MailRoot that init and quickstart make where none is named.
const defaultRoot = "MailRoot"

// newRoot are the options of init and quickstart for what a fresh MailRoot begins with.
type newRoot struct {
	domains        []string
	account, admin string
}

func (n *newRoot) addFlags(flags *pflag.FlagSet) {
	flags.StringSliceVar(&n.domains, "domain", []string{"example.test"}, "domain of a new MailRoot, may be repeated; the first one names the server")
	flags.StringVar(&n.account, "account", "user", "first account of a new MailRoot; it gets the mail to root, postmaster and abuse")
	flags.StringVar(&n.admin, "admin", "admin", "administrator of the control port of a new MailRoot")
}

// A made is what create has made; the passwords are known here and nowhere else.
type made struct {
	admin, adminPassword     string
	account, accountPassword string
}

// create makes a fresh MailRoot with passwords that nobody can guess.
func (n *newRoot) create(dir string, kind server.MailboxKind) (*made, error) {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil && name != "" {
		hosts = append(hosts, name)
	}
	for _, d := range n.domains {
		if !slices.Contains(hosts, d) {
			hosts = append(hosts, d)
		}
	}
	cert, key, err := selfcert.New(hosts, time.Now())
	if err != nil {
		return nil, err
	}
	m := &made{admin: n.admin, adminPassword: rand.Text(), accountPassword: rand.Text()}
	spec := mailroot.NewRoot{
		Domains:         n.domains,
		Account:         n.account,
		AccountPassword: m.accountPassword,
		Admin:           n.admin,
		AdminPassword:   m.adminPassword,
		Plain:           kind == server.MailboxPlain,
		Cert:            cert,
		Key:             key,
	}
	if err := mailroot.Create(dir, spec); err != nil {
		return nil, err
	}
	m.account = n.account + "@" + n.domains[0]
	return m, nil
}

// show prints what was made, with the passwords, once.
func (p *program) show(dir string, m *made) {
	full, err := filepath.Abs(dir)
	if err != nil {
		full = dir
	}
	p.printf("New MailRoot %s\n", full)
	p.printf("  administrator  %s  password %s\n", m.admin, m.adminPassword)
	p.printf("  first account  %s  password %s\n", m.account, m.accountPassword)
	p.printf("These passwords are not shown again.\n\n")
}

func (p *program) initCommand() *cobra.Command {
	var n newRoot
	c := &cobra.Command{
		Use:   "init [options] [DIR]",
		Short: "Make a fresh MailRoot",
		Long: `Makes a complete MailRoot with safe tables, a first domain and account, an
administrator with a random password, and a self-signed certificate. DIR (also
by --root or MAIL_ROOT; default ./MailRoot) must be absent or empty: a MailRoot
that is there is never touched.`,
	}
	return p.subcommand(c, n.addFlags, func(_ context.Context, parser *cmdline.Parser) error {
		dir, err := folder(parser)
		if err != nil {
			return err
		}
		if dir == "" {
			dir = defaultRoot
		}
		m, err := n.create(dir, parser.Config.Mailbox)
		if err != nil {
			return err
		}
		p.show(dir, m)
		p.printf("Start the server with: %s serve --root %s\n", p.self("xmaild"), quote(dir))
		p.printf("SMTP (25, 465) and POP3 (110, 995) are then open on all addresses, the control port (6017, 6018) on the loopback.\n" +
			"Ports below 1024 need root, which is given up thereafter, or others: --smtp-port 2525 --smtps-port 2465 --pop3-port 2110 --pop3s-port 2995\n")
		return nil
	})
}

// absent reports whether there is nothing at dir, or an empty folder, so that
// quickstart makes a MailRoot there.
func absent(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("MailRoot: %w", err)
	}
	return len(entries) == 0, nil
}
