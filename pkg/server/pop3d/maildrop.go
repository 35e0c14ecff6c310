package pop3d

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailbox"
)

func (x *pop) stat(context.Context, string) reply {
	return ok(strconv.Itoa(x.left) + " " + strconv.FormatInt(x.size, 10))
}

func (x *pop) noop(context.Context, string) reply { return x.maildrop() }

func (x *pop) lastUsed(context.Context, string) reply { return ok(strconv.Itoa(x.last)) }

// rset takes back every deletion, and LAST with them.
func (x *pop) rset(context.Context, string) reply {
	x.gone, x.last = nil, 0
	x.left, x.size = x.drop.Len(), x.drop.Bytes()
	return x.maildrop()
}

func (x *pop) list(_ context.Context, args string) reply {
	size := func(i int) string { return strconv.FormatInt(x.drop.Size(i), 10) }
	if args != "" {
		return x.scan(args, size)
	}
	r := ok(fmt.Sprintf("%d %d", x.left, x.size))
	r.body = x.listing(size)
	return r
}

func (x *pop) uidl(_ context.Context, args string) reply {
	uid := func(i int) string { return x.drop.Message(i).UID }
	if args != "" {
		return x.scan(args, uid)
	}
	r := ok(strconv.Itoa(x.left))
	r.body = x.listing(uid)
	return r
}

// scan answers LIST and UIDL for one message.
func (x *pop) scan(args string, what func(i int) string) reply {
	i, refused := x.message(firstWord(args))
	if refused != "" {
		return bad("No such message")
	}
	return ok(strconv.Itoa(i+1) + " " + what(i))
}

// listing answers LIST and UIDL for all messages.
func (x *pop) listing(what func(i int) string) func(*bufio.Writer) error {
	return func(w *bufio.Writer) error {
		var number [20]byte
		for i := range x.drop.Len() {
			if x.isGone(i) {
				continue
			}
			w.Write(strconv.AppendInt(number[:0], int64(i)+1, 10))
			w.WriteByte(' ')
			w.WriteString(what(i))
			if _, err := w.WriteString("\r\n"); err != nil {
				return err
			}
		}
		_, err := w.WriteString(".\r\n")
		return err
	}
}

func (x *pop) retr(_ context.Context, args string) reply {
	i, refused := x.message(firstWord(args))
	if refused != "" {
		return bad(refused)
	}
	return x.transmit(i, "%d bytes", allLines)
}

func (x *pop) top(_ context.Context, args string) reply {
	first, rest, _ := strings.Cut(args, " ")
	lines, err := strconv.Atoi(firstWord(rest))
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return bad("Invalid syntax")
	}
	i, refused := x.message(first)
	if refused != "" {
		return bad(refused)
	}
	return x.transmit(i, "message is %d bytes", max(lines, 0))
}

// transmit answers with a message, which is open before it is promised.
func (x *pop) transmit(i int, text string, lines int) reply {
	body, err := x.drop.Open(i)
	if err != nil {
		if !errors.Is(err, mailbox.ErrGone) {
			x.log().Error("a message cannot be opened", "service", "pop3", "user", x.user.Name+"@"+x.user.Domain, "err", err)
			return bad("[SYS/TEMP] Unable to open file")
		}
		return bad("Another program has removed the message")
	}
	x.last = i + 1
	r := ok(fmt.Sprintf(text, body.Size()))
	r.body = func(w *bufio.Writer) error {
		err := transfer(w, body, body.Size(), lines)
		return errors.Join(err, body.Close())
	}
	return r
}

func (x *pop) dele(_ context.Context, args string) reply {
	i, refused := x.message(firstWord(args))
	if refused != "" {
		return bad(refused)
	}
	if x.gone == nil {
		x.gone = make([]bool, x.drop.Len())
	}
	x.gone[i] = true
	x.left--
	x.size -= x.drop.Size(i)
	x.last = i + 1
	return ok("Message deleted")
}

func (x *pop) isGone(i int) bool { return x.gone != nil && x.gone[i] }

// message returns the index of the message of a number, or why there is none.
func (x *pop) message(number string) (i int, refused string) {
	n, err := strconv.ParseUint(number, 10, 32)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return 0, "Invalid syntax"
	case err != nil || n < 1 || n > uint64(x.drop.Len()):
		return 0, "Message out of range"
	case x.isGone(int(n) - 1):
		return 0, "Message deleted"
	}
	return int(n) - 1, ""
}

// firstWord returns an argument without those that follow, which do not count.
func firstWord(args string) string {
	word, _, _ := strings.Cut(args, " ")
	return word
}
