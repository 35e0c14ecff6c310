package ctrl

import (
	"time"

	"github.com/xmaild/xmaild/pkg/limit"
)

// Limits bound what clients can take of a server. A zero field stands for its
// default, a negative one for no limit.
type Limits struct {
	Sessions        int // at a time, on all listeners; 512. The next is refused: CodeTooManySessions
	AddressSessions int // at a time from one address; 128. CodeTooManySessions

	// FailedLogins refused logins from one address within FailureWindow block it for
	// BlockTime: CodeNotAllowed. A good login clears the count. 20, five minutes, five
	// minutes. Here, and for AddressSessions, an IPv6 address counts as its /64.
	FailedLogins  int
	FailureWindow time.Duration
	BlockTime     time.Duration
	FailureDelay  time.Duration // from a login line to its refusal; one second

	LoginLine   int   // bytes of a login line without its end; 1024. CodeLineTooLong, then closed
	CommandLine int   // bytes of a command line without its end; 4092. CodeLineTooLong, then closed
	UploadLine  int   // bytes of an upload line without its end; 65536. CodeLineTooLong, then closed
	Upload      int64 // bytes of an upload; 64 MiB. CodeTooBig, then closed

	// Each of these is for a whole line, a whole handshake, one buffer written:
	// a client that trickles does not get more. CodeTimeout (where anything can be
	// sent), then closed.
	Handshake time.Duration // of TLS; 30 s
	Login     time.Duration // from the greeting to the complete login line; 90 s
	Idle      time.Duration // between commands, to the complete next line; 120 s
	UploadGap time.Duration // from one upload line to the complete next; 90 s
	Write     time.Duration // 90 s
}

// withDefaults returns l with its zero fields filled in, and "no limit" as the largest value.
func (l Limits) withDefaults() Limits {
	const forever = 1 << 62 // nanoseconds, 146 years
	num(&l.Sessions, 512)
	num(&l.AddressSessions, 128)
	num(&l.FailedLogins, 20)
	num(&l.LoginLine, 1024)
	num(&l.CommandLine, 4092)
	num(&l.UploadLine, 64<<10)
	if l.Upload == 0 {
		l.Upload = 64 << 20
	} else if l.Upload < 0 {
		l.Upload = forever
	}
	dur := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		} else if *d < 0 {
			*d = forever
		}
	}
	dur(&l.FailureWindow, 5*time.Minute)
	dur(&l.BlockTime, 5*time.Minute)
	if l.FailureDelay == 0 {
		l.FailureDelay = time.Second
	}
	dur(&l.Handshake, 30*time.Second)
	dur(&l.Login, 90*time.Second)
	dur(&l.Idle, 120*time.Second)
	dur(&l.UploadGap, 90*time.Second)
	dur(&l.Write, 90*time.Second)
	return l
}

func num(n *int, def int) {
	if *n == 0 {
		*n = def
	} else if *n < 0 {
		*n = int(^uint(0) >> 2)
	}
}

func (l Limits) failures() limit.FailureLimit {
	return limit.FailureLimit{Count: l.FailedLogins, Window: l.FailureWindow, Block: l.BlockTime}
}
