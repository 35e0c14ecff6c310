package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/xmaild/xmaild/pkg/server/auth"
)

// rowsThere is how many rows a table has whose rows are changed.
const rowsThere = 100_000

// rowFigures are those of commands that change rows of tables.
func rowFigures() []figure {
	var all []figure
	for _, c := range []struct {
		name string
		seed func(r *root, rows int) error
		line command
	}{
		{"userdel", seedMailboxes, func(b []byte, i int) []byte {
			return appendCommand(b, "userdel", domain, userName(i))
		}},
		{"userpasswd", (*root).seedUsers, func(b []byte, i int) []byte {
			return appendCommand(b, "userpasswd", domain, userName(i), "another"+strconv.Itoa(i))
		}},
		{"aliasadd", seedAliases, addAlias("new")},
		{"aliasdel", seedAliases, func(b []byte, i int) []byte {
			return appendCommand(b, "aliasdel", domain, "alias"+strconv.Itoa(i))
		}},
		{"relayadd", seedNetworks("smtprelay.tab"), func(b []byte, i int) []byte {
			return appendCommand(b, "relayadd", string(appendAddress(nil, 172, i)), "255.255.255.255")
		}},
		{"spammeradd", seedNetworks("spammers.tab"), func(b []byte, i int) []byte {
			return appendCommand(b, "spammeradd", string(appendAddress(nil, 172, i)), "255.255.255.255")
		}},
	} {
		all = append(all, figure{
			name: c.name, title: c.name + " at 100,000 rows, one connection", unit: perSecond,
			goal: goal{ratio: 0.4, text: "0.4 of the fsync rate"},
			run: func(ctx context.Context, e *env) (measure, error) {
				rows := e.size(rowsThere)
				d, err := e.seeded(ctx, func(r *root) error { return c.seed(r, rows) })
				if err != nil {
					return measure{}, err
				}
				w, err := d.wire(ctx, e)
				if err != nil {
					return measure{}, err
				}
				return e.against(ctx, e.fsyncRate(), func(ctx context.Context) (float64, error) {
					return w.each(ctx, e, min(rows, mailboxes(rows)), c.line)
				})
			},
		})
	}
	for _, c := range []struct {
		name, title string
		connections int
		way         func(ctx context.Context, e *env, wires []*wire, line command) (float64, error)
	}{
		{"rows-pipelined", "aliasadd, pipelined on one connection", 1, func(ctx context.Context, e *env, wires []*wire, line command) (float64, error) {
			return wires[0].pipelined(ctx, e, endless, line)
		}},
		{"rows-32", "aliasadd, 32 connections", 32, func(ctx context.Context, e *env, wires []*wire, line command) (float64, error) {
			return together(ctx, e, wires, endless, line)
		}},
	} {
		all = append(all, figure{
			name: c.name, title: c.title, unit: perSecond,
			goal: goal{ratio: 8, text: "8 times one that waits"},
			run: func(ctx context.Context, e *env) (measure, error) {
				d, err := e.seeded(ctx, func(r *root) error { return seedAliases(r, e.size(rowsThere)) })
				if err != nil {
					return measure{}, err
				}
				wires, err := d.wires(ctx, e, c.connections)
				if err != nil {
					return measure{}, err
				}
				round := 0
				one := floor{"one connection that waits", perSecond, func(ctx context.Context) (float64, error) {
					round++
					return wires[0].each(ctx, e, endless, addAlias(fmt.Sprintf("one%d-", round)))
				}}
				return e.against(ctx, one, func(ctx context.Context) (float64, error) {
					return c.way(ctx, e, wires, addAlias("many"))
				})
			},
		})
	}
	return all
}

// seeded makes a MailRoot, has seed fill it, and starts a server on it.
func (e *env) seeded(ctx context.Context, seed func(r *root) error) (*daemon, error) {
	r, err := e.root(ctx)
	if err == nil {
		err = seed(r)
	}
	if err != nil {
		return nil, err
	}
	return e.start(ctx, r)
}

func addAlias(prefix string) command {
	return func(b []byte, i int) []byte {
		return appendCommand(b, "aliasadd", domain, prefix+strconv.Itoa(i), "user")
	}
}

// mailboxes is how many of so many accounts have their folders, which take long to make:
// more than are removed while it is measured.
func mailboxes(accounts int) int { return max(accounts/10, min(accounts, 50)) }

func seedMailboxes(r *root, rows int) error {
	if err := r.seedUsers(rows); err != nil {
		return err
	}
	return r.seedMailboxes(mailboxes(rows))
}

func seedAliases(r *root, rows int) error {
	return r.seed("aliases.tab", rows, func(b []byte, i int) []byte {
		b = append(b, `"`+domain+"\"\t\"alias"...)
		b = strconv.AppendInt(b, int64(i), 10)
		return append(b, "\"\t\"user\""...)
	})
}

func seedNetworks(table string) func(r *root, rows int) error {
	return func(r *root, rows int) error {
		return r.seed(table, rows, func(b []byte, i int) []byte {
			b = append(appendAddress(append(b, '"'), 10, i), "\"\t\"255.255.255.255\""...)
			return b
		})
	}
}

// appendAddress appends an address of the network first.0.0.0/8.
func appendAddress(b []byte, first, i int) []byte {
	return fmt.Appendf(b, "%d.%d.%d.%d", first, 16+i>>16&15, i>>8&255, i&255)
}

// stored is the password of seeded accounts as tables have it.
func stored() string { return auth.Scramble(password) }
