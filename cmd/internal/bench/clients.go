package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// clientFigures are those of the programs that scripts run.
func clientFigures() []figure {
	return []figure{{
		name: "import", title: "import of 100,000 accounts from CSV, durable", unit: perSecond,
		goal: goal{ratio: 0.5, text: "0.5 of creating their folders unsynced"},
		run:  importUsers,
	}, {
		name: "ctrlclnt-loop", title: "ctrlclnt aliasadd in a shell loop, a command", unit: "ms",
		goal: goal{ratio: 2, most: true, text: "twice an empty Go program's time"},
		run: func(ctx context.Context, e *env) (measure, error) {
			d, err := e.served(ctx, 0)
			if err != nil {
				return measure{}, err
			}
			empty := floor{"an empty Go program", "ms", func(ctx context.Context) (float64, error) {
				return d.shell(ctx, e, oneByOne, e.progs.empty, "")
			}}
			return e.against(ctx, empty, func(ctx context.Context) (float64, error) {
				return d.shell(ctx, e, oneByOne, e.progs.ctrlclnt, "loop")
			})
		},
	}, {
		name: "ctrlclnt-tls", title: "ctrlclnt -S aliasadd in a shell loop, a command", unit: "ms",
		goal: goal{value: 20, most: true, text: "20 ms"},
		run: func(ctx context.Context, e *env) (measure, error) {
			d, err := e.served(ctx, 0)
			if err != nil {
				return measure{}, err
			}
			value, err := d.shell(ctx, e, oneByOne, e.progs.ctrlclnt, "tls", "-S", "-X", d.root.path("server.cert"))
			return measure{value: value}, err
		},
	}, {
		name: "ctrlclnt-xargs", title: "ctrlclnt aliasadd by xargs -P16", unit: perSecond,
		goal: goal{ratio: 1.8, text: "1.8 times one after another on two cores"},
		run: func(ctx context.Context, e *env) (measure, error) {
			d, err := e.served(ctx, 0)
			if err != nil {
				return measure{}, err
			}
			round := 0
			rate := func(script string) func(context.Context) (float64, error) {
				return func(ctx context.Context) (float64, error) {
					round++
					ms, err := d.shell(ctx, e, script, e.progs.ctrlclnt, fmt.Sprintf("round%d-", round))
					return 1000 / ms, err
				}
			}
			return e.against(ctx, floor{"one after another", perSecond, rate(xargs("1"))}, rate(xargs("16")))
		},
	}}
}

// oneByOne runs the program $2 so often as $1 says, with the options after them.
const oneByOne = `count=$1 program=$2; shift 2; i=0
while [ $i -lt $count ]; do "$program" "$@" aliasadd "$BENCH_DOMAIN" "$BENCH_NAME$i" user || exit 1; i=$((i+1)); done`

// xargs does the same, so many at a time.
func xargs(processes string) string {
	return `count=$1 program=$2; shift 2
seq "$count" | xargs -P` + processes + ` -I{} "$program" "$@" aliasadd "$BENCH_DOMAIN" "$BENCH_NAME{}" user`
}

// shell runs a script that runs a program once for each of some aliases, and returns how
// many milliseconds one took. prefix begins the aliases.
func (d *daemon) shell(ctx context.Context, e *env, script, program, prefix string, options ...string) (float64, error) {
	count := e.size(1000)
	c := exec.CommandContext(ctx, "sh", append([]string{"-c", script, "sh", fmt.Sprint(count), program}, options...)...)
	c.Env = append(os.Environ(), "CTRL_SERVER="+d.ctrl, "CTRL_USER="+d.root.user, "CTRL_PASSWORD="+d.root.password,
		"BENCH_DOMAIN="+domain, "BENCH_NAME="+prefix)
	begin := time.Now()
	out, err := c.CombinedOutput()
	took := time.Since(begin)
	if err != nil {
		return 0, fmt.Errorf("%s in a shell loop: %w\n%s", program, err, out)
	}
	return float64(took) / float64(time.Millisecond) / float64(count), nil
}

func importUsers(ctx context.Context, e *env) (measure, error) {
	d, err := e.served(ctx, 0)
	if err != nil {
		return measure{}, err
	}
	users := e.size(rowsThere)
	name := filepath.Join(e.dir, "users.csv")
	f, err := os.Create(name)
	if err != nil {
		return measure{}, err
	}
	b := bufio.NewWriter(f)
	fmt.Fprintln(b, "domain,user,password")
	for i := range users {
		fmt.Fprintf(b, "%s,%s,%s\n", domain, userName(i), password)
	}
	err = b.Flush()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return measure{}, err
	}
	return e.against(ctx, e.foldersUnsynced(), func(ctx context.Context) (float64, error) {
		c := exec.CommandContext(ctx, e.progs.ctrlclnt, "-q", "import", "users", name)
		c.Env = append(os.Environ(), "CTRL_SERVER="+d.ctrl, "CTRL_USER="+d.root.user, "CTRL_PASSWORD="+d.root.password)
		begin := time.Now()
		out, err := c.CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("ctrlclnt import: %w\n%s", err, out)
		}
		return float64(users) / time.Since(begin).Seconds(), nil
	})
}
