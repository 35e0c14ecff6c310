package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

// postfixFigures are those that are measured side by side with Postfix.
func postfixFigures() []figure {
	var all []figure
	for _, sessions := range []int{8, 32} {
		all = append(all, figure{
			name:  fmt.Sprintf("smtp-postfix-%d", sessions),
			title: fmt.Sprintf("SMTP from smtp-source, 4 KiB to one local user, %d sessions", sessions),
			unit:  perSecond,
			goal:  goal{ratio: 2, text: "twice Postfix's rate side by side"},
			run: func(ctx context.Context, e *env) (measure, error) {
				return e.beside(ctx, perSecond, func(ctx context.Context, s sink) (float64, error) {
					const rounds = 3000
					took, err := s.load(ctx, sessions, e.size(rounds))
					return float64(e.size(rounds)) / took.Seconds(), err
				})
			},
		})
	}
	return append(all, figure{
		name: "cpu", title: "CPU per message accepted and delivered", unit: "µs",
		goal: goal{ratio: 1, most: true, text: "less than Postfix's side by side"},
		run: func(ctx context.Context, e *env) (measure, error) {
			return e.beside(ctx, "µs", func(ctx context.Context, s sink) (float64, error) {
				count := max(e.size(3000), 100) // less is not counted well
				before, err := s.cpu()
				if err != nil {
					return 0, err
				}
				if _, err = s.load(ctx, 8, count); err != nil {
					return 0, err
				}
				after, err := s.cpu()
				return float64((after - before).Microseconds()) / float64(count), err
			})
		},
	})
}

// A sink is a mail server that takes what smtp-source sends.
type sink struct {
	addr    string
	mailbox *mailbox
	cpu     func() (time.Duration, error)
}

// beside measures our server between two measurements of Postfix. Neither has anything
// to do while the other is measured.
func (e *env) beside(ctx context.Context, unit string, run func(ctx context.Context, s sink) (float64, error)) (measure, error) {
	p, err := e.postfix(ctx)
	if why, ok := skips(err); ok {
		return measure{skipped: why}, nil
	}
	if err != nil {
		return measure{}, err
	}
	d, box, err := e.servedMail(ctx)
	if err != nil {
		return measure{}, err
	}
	theirs := sink{p.addr, p.mailbox, p.cpu}
	ours := sink{d.smtp, box, d.cpu}
	// Both have their processes and files ready then.
	for _, s := range []sink{theirs, ours} {
		if _, err := s.load(ctx, 32, e.size(200)); err != nil {
			return measure{}, err
		}
	}
	return e.against(ctx, floor{"Postfix", unit, func(ctx context.Context) (float64, error) { return run(ctx, theirs) }},
		func(ctx context.Context) (float64, error) { return run(ctx, ours) })
}

// load has smtp-source send messages by so many sessions at once, and returns how long
// it took until all were accepted. It waits until all are in the mailbox.
func (s sink) load(ctx context.Context, sessions, messages int) (time.Duration, error) {
	sessions = min(sessions, messages)
	sending, cancel := context.WithTimeout(ctx, 5*patience)
	defer cancel()
	begin := time.Now()
	out, err := exec.CommandContext(sending, "smtp-source", "-d", "-4", "-s", strconv.Itoa(sessions), "-m", strconv.Itoa(messages),
		"-l", strconv.Itoa(letterSize), "-M", "client.test", "-f", "sender@client.test", "-t", userName(0)+"@"+domain, s.addr).CombinedOutput()
	took := time.Since(begin)
	if err != nil {
		return 0, fmt.Errorf("smtp-source: %w\n%s", err, out)
	}
	return took, s.mailbox.expect(ctx, messages)
}
