package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// million is the size of the tables that are large.
const million = 1_000_000

// tableFigures are those of a table of a million accounts.
func tableFigures() []figure {
	return []figure{{
		name: "userauth", title: "userauth, pipelined on one connection", unit: perSecond,
		goal: goal{value: 300_000, text: "300,000 a second on two cores"},
		run:  userAuth,
	}, {
		name: "userlist", title: "userlist of a million accounts", unit: "rows/s",
		goal: goal{value: 1_500_000, text: "1,500,000 rows a second"},
		run: func(ctx context.Context, e *env) (measure, error) {
			m, _, err := userList(ctx, e)
			return m, err
		},
	}, {
		name: "userlist-memory", title: "memory that userlist of a million adds", unit: "MiB",
		goal: goal{value: 8, most: true, text: "under 8 MiB"},
		run: func(ctx context.Context, e *env) (measure, error) {
			_, memory, err := userList(ctx, e)
			return memory, err
		},
	}, {
		name: "userlist-writers", title: "aliasadd while a client does not read its userlist", unit: perSecond,
		goal: goal{ratio: 0.9, text: "writers never wait: 0.9 of the rate without a list"},
		run:  userListWriters,
	}, {
		name: "userlist-filtered", title: "list that matches 100 of a million by a leading literal", unit: "ms",
		goal: goal{value: 5, most: true, text: "5 ms"},
		run:  userListFiltered,
	}, {
		name: "start-million", title: "start with a million accounts", unit: "s",
		goal: goal{value: 1.5, most: true, text: "1.5 s"},
		run: func(ctx context.Context, e *env) (measure, error) {
			d, err := e.served(ctx, e.size(million))
			if err != nil {
				return measure{}, err
			}
			return measure{value: d.ready.Seconds(), note: "from the start of the process to a login"}, nil
		},
	}, {
		name: "start-million-memory", title: "memory after a start with a million accounts", unit: "MiB",
		goal: goal{value: 300, most: true, text: "300 MiB"},
		run: func(ctx context.Context, e *env) (measure, error) {
			d, err := e.served(ctx, e.size(million))
			if err != nil {
				return measure{}, err
			}
			// What the start took is given back when it is over.
			select {
			case <-time.After(e.period() / 3):
			case <-ctx.Done():
				return measure{}, ctx.Err()
			}
			now, peak, err := d.memory()
			return measure{value: mib(now), note: fmt.Sprintf("%s MiB at the most before", number(mib(peak)))}, err
		},
	}, {
		name: "table-replaced", title: "table of a million rows replaced by an editor, until in force", unit: "s",
		goal: goal{value: 2, most: true, text: "2 s"},
		run: func(ctx context.Context, e *env) (measure, error) {
			m, _, err := tableReplaced(ctx, e)
			return m, err
		},
	}, {
		name: "table-replaced-lookup", title: "the slowest look-up meanwhile", unit: "ms",
		goal: goal{value: 50, most: true, text: "look-ups never wait: 50 ms"},
		run: func(ctx context.Context, e *env) (measure, error) {
			_, slowest, err := tableReplaced(ctx, e)
			return slowest, err
		},
	}}
}

func mib(kib int64) float64 { return float64(kib) / 1024 }

func userAuth(ctx context.Context, e *env) (measure, error) {
	users := e.size(rowsThere)
	_, w, err := e.connected(ctx, users)
	if err != nil {
		return measure{}, err
	}
	rate, err := w.pipelined(ctx, e, endless, func(b []byte, i int) []byte {
		b = append(b, "\"userauth\"\t\""+domain+"\"\t\""...)
		b = appendUserName(b, i%users)
		return append(b, "\"\t\""+password+"\"\r\n"...)
	})
	return measure{value: rate}, err
}

// list sends a command that answers with a list and returns how many rows came.
func (w *wire) list(args ...string) (rows int, err error) {
	if _, err := w.conn.Write(appendCommand(nil, args...)); err != nil {
		return 0, err
	}
	return w.rows()
}

// rows reads a list to its end.
func (w *wire) rows() (rows int, err error) {
	if err := w.reply(); err != nil {
		return 0, err
	}
	for ; ; rows++ {
		line, err := w.r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if line[0] == '.' && len(line) == len(".\r\n") {
			return rows, nil
		}
	}
}

// userList lists a million accounts, and weighs the server meanwhile.
func userList(ctx context.Context, e *env) (speed, memory measure, err error) {
	users := e.size(million)
	d, w, err := e.connected(ctx, users)
	if err != nil {
		return speed, memory, err
	}
	// What the first list needs of the server in general is not the list's.
	if _, err := w.list("userlist", domain, "user"); err != nil {
		return speed, memory, err
	}
	if err := d.forgetPeak(); err != nil {
		return speed, memory, err
	}
	before, _, err := d.memory()
	if err != nil {
		return speed, memory, err
	}
	begin := time.Now()
	rows, err := w.list("userlist")
	took := time.Since(begin)
	if err == nil && rows <= users {
		err = fmt.Errorf("userlist has %d rows, want more than %d", rows, users)
	}
	if err != nil {
		return speed, memory, err
	}
	_, peak, err := d.memory()
	speed.value = float64(rows) / took.Seconds()
	// The kernel counts in steps; nothing added is less than one.
	memory.value = max(mib(peak-before), 0.01)
	memory.note = fmt.Sprintf("%s MiB before", number(mib(before)))
	return speed, memory, err
}

func userListWriters(ctx context.Context, e *env) (measure, error) {
	d, w, err := e.connected(ctx, e.size(million))
	if err != nil {
		return measure{}, err
	}
	lister, err := d.wire(ctx, e)
	if err != nil {
		return measure{}, err
	}
	round := 0
	rate := func(ctx context.Context) (float64, error) {
		round++
		return w.each(ctx, e, endless, addAlias(fmt.Sprintf("round%d-", round)))
	}
	m, err := e.against(ctx, floor{"without a list", perSecond, func(ctx context.Context) (float64, error) {
		if round > 0 { // the list of before is read to its end
			if _, err := lister.rows(); err != nil {
				return 0, err
			}
		}
		return rate(ctx)
	}}, func(ctx context.Context) (float64, error) {
		if _, err := lister.conn.Write(appendCommand(nil, "userlist")); err != nil {
			return 0, err
		}
		return rate(ctx)
	})
	return m, err
}

func userListFiltered(ctx context.Context, e *env) (measure, error) {
	users := e.size(million)
	_, w, err := e.connected(ctx, users)
	if err != nil {
		return measure{}, err
	}
	const lists = 101
	times := make([]float64, lists)
	for i := range times {
		block := userName(users * i / lists / 100 * 100)
		begin := time.Now()
		rows, err := w.list("userlist", domain, block[:len(block)-2]+"*")
		times[i] = float64(time.Since(begin)) / float64(time.Millisecond)
		if err != nil {
			return measure{}, err
		}
		if rows != min(users, 100) {
			return measure{}, fmt.Errorf("userlist of %s has %d rows, want 100", block, rows)
		}
	}
	slices.Sort(times)
	return measure{value: times[lists/2], note: fmt.Sprintf("the slowest of %d took %s ms", lists, number(times[lists-1]))}, nil
}

// tableReplaced replaces mailusers.tab as editors do, and looks accounts up meanwhile.
func tableReplaced(ctx context.Context, e *env) (measure, measure, error) {
	var none measure
	users := e.size(million)
	d, w, err := e.connected(ctx, users)
	if err != nil {
		return none, none, err
	}
	asks, err := d.wire(ctx, e)
	if err != nil {
		return none, none, err
	}
	name := d.root.path("mailusers.tab")
	content, err := os.ReadFile(name)
	if err != nil {
		return none, none, err
	}
	content = fmt.Appendf(content, "%q\t\"edited\"\t%q\t%d\t\"edited\"\t\"U\"\n", domain, stored(), users+10)
	if err := os.WriteFile(name+".new", content, 0o600); err != nil {
		return none, none, err
	}
	// That the disk is busy with the new file is the editor's doing.
	if err := syncFile(name + ".new"); err != nil {
		return none, none, err
	}
	begin := time.Now()
	if err := os.Rename(name+".new", name); err != nil {
		return none, none, err
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	edited := appendCommand(nil, "userauth", domain, "edited", password)
	known := appendCommand(nil, "userauth", domain, userName(users/2), password)
	var slowest time.Duration
	for {
		asked := time.Now()
		if err := w.do(known); err != nil {
			return none, none, err
		}
		slowest = max(slowest, time.Since(asked))
		err := asks.do(edited)
		if err == nil {
			took := time.Since(begin)
			return measure{value: took.Seconds(), note: "200 ms of it are the rest that an edited file is left"},
				measure{value: slowest.Seconds() * 1000}, nil
		}
		if !strings.HasPrefix(err.Error(), "refused") {
			return none, none, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return none, none, ctx.Err()
		}
		if time.Since(begin) > patience {
			return none, none, fmt.Errorf("the new %s is not in force after %v", name, patience)
		}
	}
}

func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
