package main

import (
	"context"
	"fmt"
)

// accountFigures are those of accounts that are made.
func accountFigures() []figure {
	return []figure{{
		name:  "useradd",
		title: "durable useradd, one connection",
		unit:  "1/s",
		goal:  goal{ratio: 0.7, text: "0.7 of the account floor"},
		run: func(ctx context.Context, e *env) (measure, error) {
			r, err := e.root(ctx)
			if err != nil {
				return measure{}, err
			}
			d, err := e.start(ctx, r)
			if err != nil {
				return measure{}, err
			}
			c, err := d.dial(ctx)
			if err != nil {
				return measure{}, err
			}
			defer c.Close()
			return e.against(ctx, e.accountFloor(), func(ctx context.Context) (float64, error) {
				return e.loop(ctx, func(i int) error {
					_, err := c.Do(ctx, "useradd", domain, fmt.Sprintf("new%d", i), password, "U")
					return err
				})
			})
		},
	}}
}

func rowFigures() []figure { return nil }

func tableFigures() []figure { return nil }

func clientFigures() []figure { return nil }
