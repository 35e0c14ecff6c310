package mailbox

import (
	"time"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

type lists struct {
	fs  tabfile.FS
	now func() time.Time
}

func (l *lists) init(fs tabfile.FS, now func() time.Time) { l.fs, l.now = fs, now }
