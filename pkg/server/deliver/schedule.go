package deliver

import "time"

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
