package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"

	"github.com/xmaild/xmaild/pkg/server/auth"
)

// accountFigures are those of accounts that are made.
func accountFigures() []figure {
	return []figure{{
		name: "useradd", title: "durable useradd, one connection", unit: perSecond,
		goal: goal{ratio: 0.7, text: "0.7 of the account floor"},
		run:  userAdd,
	}, {
		name: "useradd-hashed", title: "useradd hashed with Argon2id, 8 connections", unit: perSecond,
		goal: goal{ratio: 0.9, text: "0.9 of cores by the time of one hash"},
		run:  userAddHashed,
	}, {
		name: "useradd-million", title: "useradd with a million rows in the table", unit: perSecond,
		goal: goal{ratio: 0.9, text: "0.9 of that with a thousand"},
		run:  userAddMillion,
	}, {
		name: "useradd-pipelined", title: "useradd, pipelined on one connection", unit: perSecond,
		goal: goal{ratio: 4, or: 0.6, text: "4 times one that waits, or 0.6 of creating the folders unsynced"},
		run: func(ctx context.Context, e *env) (measure, error) {
			return manyUsers(ctx, e, 1, func(ctx context.Context, wires []*wire, line command) (float64, error) {
				return wires[0].pipelined(ctx, e, endless, line)
			})
		},
	}, {
		name: "useradd-32", title: "useradd, 32 connections", unit: perSecond,
		goal: goal{ratio: 4, or: 0.6, text: "4 times one that waits, or 0.6 of creating the folders unsynced"},
		run: func(ctx context.Context, e *env) (measure, error) {
			return manyUsers(ctx, e, 32, func(ctx context.Context, wires []*wire, line command) (float64, error) {
				return together(ctx, e, wires, endless, line)
			})
		},
	}}
}

// addUser is the command that adds an account of a new name.
func addUser(prefix string) command {
	return func(b []byte, i int) []byte {
		return appendCommand(b, "useradd", domain, prefix+strconv.Itoa(i), password, "U")
	}
}

// served makes a MailRoot with so many accounts in the table and starts a server on it.
func (e *env) served(ctx context.Context, users int, vars ...string) (*daemon, error) {
	r, err := e.root(ctx, vars...)
	if err == nil {
		err = r.seedUsers(users)
	}
	if err != nil {
		return nil, err
	}
	return e.start(ctx, r)
}

// connected is served, with a connection.
func (e *env) connected(ctx context.Context, users int) (*daemon, *wire, error) {
	d, err := e.served(ctx, users)
	if err != nil {
		return nil, nil, err
	}
	w, err := d.wire(ctx, e)
	return d, w, err
}

func userAdd(ctx context.Context, e *env) (measure, error) {
	_, w, err := e.connected(ctx, 0)
	if err != nil {
		return measure{}, err
	}
	return e.against(ctx, e.accountFloor(), func(ctx context.Context) (float64, error) {
		return w.each(ctx, e, endless, addUser("new"))
	})
}

func userAddHashed(ctx context.Context, e *env) (measure, error) {
	const connections = 8
	d, err := e.served(ctx, 0, "PasswordScheme", auth.Argon2id)
	if err != nil {
		return measure{}, err
	}
	wires, err := d.wires(ctx, e, connections)
	if err != nil {
		return measure{}, err
	}
	hashes := floor{"cores by the time of one hash", perSecond, func(ctx context.Context) (float64, error) {
		rate, err := e.loop(ctx, endless, func(int) error {
			_, err := auth.Hash(auth.Argon2id, password)
			return err
		})
		return rate * float64(runtime.NumCPU()), err
	}}
	return e.against(ctx, hashes, func(ctx context.Context) (float64, error) {
		return together(ctx, e, wires, endless, addUser("new"))
	})
}

// userAddMillion measures on two servers in turns, so that it is not a moment of the
// disk that decides.
func userAddMillion(ctx context.Context, e *env) (measure, error) {
	_, few, err := e.connected(ctx, e.size(1000))
	if err != nil {
		return measure{}, err
	}
	_, many, err := e.connected(ctx, e.size(1_000_000))
	if err != nil {
		return measure{}, err
	}
	round := 0
	rate := func(w *wire) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			round++
			return w.each(ctx, e, endless, addUser(fmt.Sprintf("new%d-", round)))
		}
	}
	return e.against(ctx, floor{"with a thousand rows", perSecond, rate(few)}, rate(many))
}

// manyUsers measures a way to send useradd against that of one connection that waits for
// each reply, and against the folders unsynced.
func manyUsers(ctx context.Context, e *env, connections int, way func(ctx context.Context, wires []*wire, line command) (float64, error)) (measure, error) {
	d, err := e.served(ctx, 0)
	if err != nil {
		return measure{}, err
	}
	wires, err := d.wires(ctx, e, connections)
	if err != nil {
		return measure{}, err
	}
	round := 0
	one := floor{"one connection that waits", perSecond, func(ctx context.Context) (float64, error) {
		round++
		return wires[0].each(ctx, e, endless, addUser(fmt.Sprintf("one%d-", round)))
	}}
	var unsynced measure
	m, err := e.against(ctx, one, func(ctx context.Context) (float64, error) {
		var err error
		unsynced, err = e.against(ctx, e.foldersUnsynced(), func(ctx context.Context) (float64, error) {
			return way(ctx, wires, addUser("many"))
		})
		return unsynced.value, err
	})
	m.second = unsynced.ratio
	m.base += "; " + unsynced.base
	return m, err
}
