package ctrl

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// maxGreeting is how long a greeting may be with its end: there are clients that
// read it by one recv of that size.
const maxGreeting = 128

// greetingDate is the date as the reference writes it: the day is not padded.
const greetingDate = "Mon, 2 Jan 2006 15:04:05 -0700"

// nonce returns the second number of a timestamp. It must not be guessable: who knows
// it beforehand can collect a digest for it.
func nonce() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}

// greeting returns the greeting line without its end, and the timestamp in it from
// < to >. Words of product are left out from its end, and digits of number from
// its front (but never below ten), until the line fits.
func greeting(now time.Time, number uint64, local netip.Addr, product string) (line, timestamp string) {
	const minDigits = 10
	head := "<" + strconv.FormatInt(now.Unix(), 10) + "."
	tail := "@" + local.Unmap().WithZone("").String() + ">"
	date := "; " + now.Format(greetingDate)
	server := " XMail 1.27 CTRL Server"
	words := strings.Fields(product)
	room := func() int { // for digits
		n := maxGreeting - len("+00000 \r\n") - len(head) - len(tail) - len(server) - len(date)
		for _, w := range words {
			n -= 1 + len(w)
		}
		return n
	}
	for len(words) > 0 && room() < minDigits {
		words = words[:len(words)-1]
	}
	digits := strconv.FormatUint(number, 10)
	digits = strings.Repeat("0", max(0, minDigits-len(digits))) + digits
	if n := max(room(), minDigits); len(digits) > n {
		digits = digits[len(digits)-n:]
	}
	timestamp = head + digits + tail
	return "+00000 " + timestamp + strings.Join(append([]string{server}, words...), " ") + date, timestamp
}
