package deliver

import (
	"strings"
	"time"
)

// A Schedule says when a recipient that could not be reached is tried again: after
// Base, and each time longer by one part in Ratio (docs/reference/delivery.md 1.5).
type Schedule struct {
	Base  time.Duration // 0: 480 s
	Ratio int           // below 0: always Base. 0: 16
	Tries int           // attempts before it is given up; 0: 32
}

// The schedule of the reference: 32 attempts in about twelve hours.
const (
	DefaultBase  = 480 * time.Second
	DefaultRatio = 16
	DefaultTries = 32
)

func (s Schedule) defaults() Schedule {
	if s.Base <= 0 {
		s.Base = DefaultBase
	}
	if s.Ratio == 0 {
		s.Ratio = DefaultRatio
	}
	if s.Tries <= 0 {
		s.Tries = DefaultTries
	}
	return s
}

// Wait returns how long to wait after the attempt of that number, from 1.
func (s Schedule) Wait(attempt int) time.Duration {
	s = s.defaults()
	seconds := int64(s.Base / time.Second)
	if s.Ratio < 0 {
		return s.Base
	}
	for n := 1; n < min(attempt, s.Tries); n++ {
		seconds += seconds / int64(s.Ratio)
	}
	return time.Duration(seconds) * time.Second
}

// next returns how long to wait after the attempt of that number at a recipient of a
// message that came at a time, and whether there is to be another attempt at all:
// by the variables QueueSchedule, whose last time is repeated, and QueueLife, in hours,
// or where these say nothing by the options of the command line.
func (d *Deliverer) next(attempt int, came time.Time) (wait time.Duration, again bool) {
	vars := d.root.Vars()
	var waits []time.Duration
	for item := range strings.SplitSeq(vars.Value("QueueSchedule"), ",") {
		if w, err := time.ParseDuration(strings.TrimSpace(item)); err == nil && w >= time.Second {
			waits = append(waits, w)
		}
	}
	if len(waits) == 0 {
		wait = d.opts.Schedule.Wait(attempt)
	} else {
		wait = waits[min(attempt, len(waits))-1]
	}
	if life := vars.Number("QueueLife"); life > 0 {
		return wait, d.root.Now().Sub(came) < time.Duration(life)*time.Hour
	}
	return wait, attempt < d.opts.Schedule.defaults().Tries
}
