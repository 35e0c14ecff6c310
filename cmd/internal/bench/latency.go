package main

import (
	"context"
	"slices"
	"time"
)

// latencyFigures are those of the time that mail takes through an idle server.
func latencyFigures() []figure {
	return []figure{{
		name: "latency", title: "from accepted to readable in the mailbox, idle server, median", unit: "ms",
		goal: goal{value: 10, most: true, text: "10 ms"},
		run:  latency,
	}}
}

// atRest is how long a server is left alone before it counts as idle.
const atRest = 20 * time.Millisecond

func latency(ctx context.Context, e *env) (measure, error) {
	d, box, err := e.servedMail(ctx)
	if err != nil {
		return measure{}, err
	}
	s, err := dialSMTP(ctx, d.smtp)
	if err != nil {
		return measure{}, err
	}
	defer s.close()
	body := letter(letterSize)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	took := make([]time.Duration, e.size(200))
	for i := range took {
		if err := pause(ctx, atRest); err != nil {
			return measure{}, err
		}
		if err := s.send(userName(0)+"@"+domain, body); err != nil {
			return measure{}, err
		}
		accepted := time.Now()
		readable, err := box.take(ctx)
		if err != nil {
			return measure{}, err
		}
		took[i] = readable.Sub(accepted)
	}
	return measure{value: milliseconds(median(took))}, nil
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }
