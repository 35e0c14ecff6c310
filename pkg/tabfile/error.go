package tabfile

import "strconv"

// Error is a fault in a table: where it stands and what is wrong there.
type Error struct {
	File string // slash-separated, relative to the MailRoot
	Line int    // counted from 1; 0 when the whole file is meant
	Msg  string
}

// Error returns FILE:LINE: MSG, as editors and compilers understand it, or
// FILE: MSG where no line is known.
func (e *Error) Error() string {
	if e.Line <= 0 {
		return e.File + ": " + e.Msg
	}
	return e.File + ":" + strconv.Itoa(e.Line) + ": " + e.Msg
}
