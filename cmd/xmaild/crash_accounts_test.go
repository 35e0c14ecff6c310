//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/servertest"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// accountsLoad changes domains, accounts, their variables and aliases by control
// commands, alone and in transactions. Each client has domains of its own.
type accountsLoad struct{ clerks []*clerk }

const clerks = 4

func newAccountsLoad() *accountsLoad {
	a := &accountsLoad{}
	for n := range clerks {
		a.clerks = append(a.clerks, &clerk{
			domains: [2]string{fmt.Sprintf("w%d.example", n), fmt.Sprintf("t%d.example", n)}, facts: facts{},
		})
	}
	return a
}

// Facts are what is there: the password of "user DOMAIN NAME", the real name of the same
// as "name DOMAIN NAME", the account of "alias DOMAIN NAME", and "domain NAME".
type facts map[string]string

// with returns the facts after a change, whose empty values stand for what is removed.
func (f facts) with(change facts) facts {
	all := maps.Clone(f)
	for key, value := range change {
		if all[key] = value; value == "" {
			delete(all, key)
		}
	}
	return all
}

// A clerk is a client, and what it was promised.
type clerk struct {
	domains [2]string // one that stays, and one that comes and goes

	mu      sync.Mutex
	facts   facts // as acknowledged
	pending facts // the change that was under way; nil: none
	done    int
}

func (a *accountsLoad) prepare(*testing.T, string) {}

func (a *accountsLoad) begin(t *testing.T, l life) {
	t.Helper()
	client := dialCtrl(t, l)
	for _, c := range a.clerks {
		if _, err := client.Do(t.Context(), "domainadd", c.domains[0]); err != nil {
			t.Fatal(err)
		}
		c.facts["domain "+c.domains[0]] = "there"
	}
}

// dialCtrl logs in as the administrator until the end of the test.
func dialCtrl(t *testing.T, l life) *ctrl.Client {
	t.Helper()
	client, err := ctrl.Dial(t.Context(), l.ctrl, servertest.User, servertest.Password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func (a *accountsLoad) clients(l life, random *rand.Rand, f *findings) []func() {
	var all []func()
	for _, c := range a.clerks {
		rng := rand.New(rand.NewPCG(random.Uint64(), 0))
		all = append(all, func() { c.work(l, rng, f) })
	}
	return all
}

// work makes changes until the server is gone.
func (c *clerk) work(l life, random *rand.Rand, f *findings) {
	ctx := context.Background()
	client, err := ctrl.Dial(ctx, l.ctrl, servertest.User, servertest.Password)
	if err != nil {
		return
	}
	defer client.Close()
	for serial := 0; ; serial++ {
		commands, change := c.choose(random, fmt.Sprintf("r%d-%d", l.number, serial))
		c.mu.Lock()
		c.pending = change
		c.mu.Unlock()
		if len(commands) > 1 {
			commands = append(append([][]string{{"begin"}}, commands...), []string{"commit"})
		}
		for _, command := range commands {
			if _, err = client.Do(ctx, command...); err != nil {
				break
			}
		}
		var refusal *ctrl.Error
		switch {
		case l.gone() && err != nil:
			return
		case errors.As(err, &refusal):
			f.add("%q: %v, want it done", commands, err)
			return
		case err != nil:
			return // killed
		}
		c.mu.Lock()
		c.facts, c.pending = c.facts.with(change), nil
		c.done++
		c.mu.Unlock()
	}
}

// choose returns commands that are possible, and what they change.
func (c *clerk) choose(random *rand.Rand, serial string) (commands [][]string, change facts) {
	change = facts{}
	now := c.facts
	steps := 1
	if random.IntN(4) == 0 {
		steps = 2 + random.IntN(3)
	}
	removed := map[string]bool{} // folders of one name have one fate in a transaction
	for len(commands) < steps {
		command, part := c.step(random, now, serial)
		if name := strings.Join(command[1:min(3, len(command))], " "); removed[name] || removed[command[1]] {
			break
		} else if strings.HasSuffix(command[0], "del") {
			removed[name] = true
		}
		commands = append(commands, command)
		maps.Copy(change, part)
		now = now.with(part)
	}
	return commands, change
}

// step returns one command.
func (c *clerk) step(random *rand.Rand, now facts, serial string) ([]string, facts) {
	passing := c.domains[1]
	if random.IntN(15) == 0 {
		if now["domain "+passing] == "" {
			return []string{"domainadd", passing}, facts{"domain " + passing: "there"}
		}
		gone := facts{"domain " + passing: ""}
		for key := range now {
			if strings.Contains(key, " "+passing+" ") {
				gone[key] = ""
			}
		}
		return []string{"domaindel", passing}, gone
	}
	domain := c.domains[0]
	if now["domain "+passing] != "" && random.IntN(3) == 0 {
		domain = passing
	}
	name := fmt.Sprintf("u%d", random.IntN(30))
	user, alias := "user "+domain+" "+name, fmt.Sprintf("a%d", random.IntN(10))
	if now[user] == "" {
		return []string{"useradd", domain, name, serial, "U"}, facts{user: serial}
	}
	aliasKey := "alias " + domain + " " + alias
	switch n := random.IntN(6); {
	case n < 2:
		gone := facts{user: "", "name " + domain + " " + name: ""}
		for key, account := range now {
			if strings.HasPrefix(key, "alias "+domain+" ") && account == name {
				gone[key] = ""
			}
		}
		return []string{"userdel", domain, name}, gone
	case n == 2 && now[aliasKey] == "":
		return []string{"aliasadd", domain, alias, name}, facts{aliasKey: name}
	case n == 3 && now[aliasKey] != "":
		return []string{"aliasdel", domain, alias}, facts{aliasKey: ""}
	case n == 4:
		return []string{"uservarsset", domain, name, "RealName", serial}, facts{"name " + domain + " " + name: serial}
	}
	return []string{"userpasswd", domain, name, serial}, facts{user: serial}
}

func (a *accountsLoad) died(files, *findings) {}

func (a *accountsLoad) check(l life, f *findings) {
	client, err := ctrl.Dial(context.Background(), l.ctrl, servertest.User, servertest.Password)
	if err != nil {
		f.add("log in after a restart: %v", err)
		return
	}
	defer client.Close()
	for _, c := range a.clerks {
		found := facts{}
		for _, domain := range c.domains {
			if err := collect(client, l.disk, domain, found); err != nil {
				f.add("%s after a restart: %v", domain, err)
				return
			}
		}
		c.compare(found, f)
	}
}

// compare wants what was acknowledged, and of the change that was under way all or
// nothing. It takes what is there for granted from then on.
func (c *clerk) compare(found facts, f *findings) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case maps.Equal(found, c.facts):
	case c.pending != nil && maps.Equal(found, c.facts.with(c.pending)):
	default:
		f.add("%s: there are (+), and were acknowledged (-):\n%s\nunder way was %q", c.domains[0], differences(c.facts, found), c.pending)
	}
	c.facts, c.pending = found, nil
}

func differences(want, got facts) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(want.with(got))) {
		if want[key] != got[key] {
			fmt.Fprintf(&b, "-%s: %q\n+%s: %q\n", key, want[key], key, got[key])
		}
	}
	return b.String()
}

// collect adds what there is of a domain, in tables and folders, which must agree.
func collect(client *ctrl.Client, disk files, domain string, found facts) error {
	list := func(columns int, args ...string) ([][]string, error) {
		lines, err := client.List(context.Background(), args...)
		if err != nil {
			return nil, err
		}
		var rows [][]string
		for _, line := range lines {
			row := tabfile.Split(line)
			if len(row) < columns {
				return nil, fmt.Errorf("%q has the row %q", args, line)
			}
			rows = append(rows, row)
		}
		return rows, nil
	}
	add := func(key, value string) error {
		if found[key] != "" {
			return fmt.Errorf("%s is there twice", key)
		}
		found[key] = value
		return nil
	}
	domains, err := list(1, "domainlist", domain)
	if err != nil {
		return err
	}
	folders, err := disk.ReadDir("domains/" + domain)
	if there := !errors.Is(err, fs.ErrNotExist); len(domains) > 1 || there != (len(domains) == 1) {
		return fmt.Errorf("domainlist has it %d times, and there is a folder: %v", len(domains), there)
	}
	if len(domains) == 0 {
		return nil
	}
	found["domain "+domain] = "there"
	users, err := list(4, "userlist", domain)
	if err != nil {
		return err
	}
	var names []string
	for _, row := range users {
		name := row[1]
		names = append(names, name)
		if err := add("user "+domain+" "+name, row[2]); err != nil {
			return err
		}
		realName, err := account(disk, "domains/"+domain+"/"+name)
		if err != nil {
			return err
		}
		if realName != "" {
			found["name "+domain+" "+name] = realName
		}
	}
	slices.Sort(names)
	if slices.Sort(folders); !slices.Equal(names, folders) {
		return fmt.Errorf("accounts are %q, folders are %q", names, folders)
	}
	aliases, err := list(3, "aliaslist", domain)
	if err != nil {
		return err
	}
	for _, row := range aliases {
		if err := add("alias "+domain+" "+row[1], row[2]); err != nil {
			return err
		}
	}
	return nil
}

// account wants the folder of an account to be whole, and returns its real name unless
// it is the one that all begin with.
func account(disk files, dir string) (string, error) {
	for _, sub := range []string{"tmp", "new", "cur"} {
		if _, err := disk.ReadDir(dir + "/Maildir/" + sub); err != nil {
			return "", err
		}
	}
	vars, err := disk.ReadFile(dir + "/user.tab")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(vars)) {
		if row := tabfile.Split(tabfile.TrimEnd(line)); len(row) == 2 && row[0] == "RealName" && row[1] != "??" {
			return row[1], nil
		}
	}
	return "", nil
}

func (a *accountsLoad) finish(_ files, f *findings) (int, string) {
	total := 0
	for _, c := range a.clerks {
		total += c.done
	}
	return total, "changes of accounts"
}
