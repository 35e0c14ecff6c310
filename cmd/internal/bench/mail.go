package main

import (
	"context"
	"slices"
)

// mailFigures are those of SMTP, POP3 and delivery.
func mailFigures() []figure {
	return slices.Concat(smtpFigures(), postfixFigures(), latencyFigures(), pop3Figures(), retrFigures(), idleFigures())
}

// mailCurves are drawn beside useradd over the number of sessions: how many a second.
func mailCurves() []curve {
	return []curve{{
		name: "SMTP, 4 KiB to one local user",
		run: func(ctx context.Context, e *env, x int) (float64, error) {
			d, box, err := e.servedMail(ctx)
			if err != nil {
				return 0, err
			}
			return e.acceptRate(ctx, d, box, x)
		},
	}}
}
