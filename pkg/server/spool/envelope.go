package spool

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// An Envelope is what is known of a message besides its text: addresses and
// facts, never decisions. Each attempt at delivery reads the tables as they are
// then.
type Envelope struct {
	ID   string    `json:"id"`            // as in the reply to DATA, the Received header and the logs: S1A2B
	Time time.Time `json:"time"`          // when it came
	Back time.Time `json:"back,omitzero"` // when it was put back after it had been given up

	Client     netip.AddrPort `json:"client,omitzero"` // where it came from
	ClientName string         `json:"clientName,omitempty"`
	Server     netip.AddrPort `json:"server,omitzero"` // of this machine, where it came to
	Helo       string         `json:"helo,omitempty"`
	Domain     string         `json:"domain,omitempty"` // what the server called itself
	Proto      string         `json:"proto,omitempty"`  // ESMTPSA and the like (RFC 3848)
	TLS        bool           `json:"tls,omitempty"`

	From      string `json:"from"`                // sender, without angle brackets; empty: the null sender
	Mail      string `json:"mail,omitempty"`      // the MAIL line as it came
	Login     string `json:"login,omitempty"`     // who sent it, as the client wrote the name
	Account   string `json:"account,omitempty"`   // the account of that login, user@domain
	WhiteList bool   `json:"whiteList,omitempty"` // the client has the property WhiteList
	Source    string `json:"source,omitempty"`    // of which message elsewhere it was made, in the words of who took it

	Body  string `json:"body,omitempty"`  // 7BIT or 8BITMIME (RFC 6152); empty: not said
	UTF8  bool   `json:"utf8,omitempty"`  // SMTPUTF8 (RFC 6531)
	Ret   string `json:"ret,omitempty"`   // FULL or HDRS (RFC 3461 4.3)
	EnvID string `json:"envid,omitempty"` // RFC 3461 4.4, decoded

	Recipients []Recipient `json:"-"`
}

// Since returns from when the time counts in which the message is given up: when it came,
// or was put back.
func (e Envelope) Since() time.Time {
	if e.Back.IsZero() {
		return e.Time
	}
	return e.Back
}

// A Recipient is one address that a message goes to.
type Recipient struct {
	Address string `json:"to"`               // without angle brackets
	Real    string `json:"real,omitempty"`   // the account that it stood for when the message was taken
	Notify  string `json:"notify,omitempty"` // NEVER, or some of SUCCESS,FAILURE,DELAY (RFC 3461 4.1)
	ORcpt   string `json:"orcpt,omitempty"`  // RFC 3461 4.2
}

// A State is what has become of a recipient.
type State byte

// The states, as they stand in the file of a message.
const (
	StateQueued    State = 'Q'
	StateDelivered State = 'D'
	StateFailed    State = 'F' // given up, and the sender told
	StateFrozen    State = 'Z' // given up, and kept for the administrator
	StateDeleted   State = 'R' // removed by the administrator
)

func (s State) known() bool { return strings.IndexByte("QDFZR", byte(s)) >= 0 }

// stateToFreeze stands in the file for StateQueued with toFreeze set.
const stateToFreeze State = 'H'

// The file of a message begins with a line that tells the format, a line of JSON
// with the envelope, and a line for each recipient:
//
//	Q 000 000000000000 00000000 00000000 {"to":"ann@example.org"}
//
// state (see [State], and H for what is to be frozen after the attempt that is under
// way), attempts, the Unix time before which there is no further attempt, which
// steps are done of those that the delivery consists of, and a sum that tells what
// the steps are. These have a fixed width and are written over in place, which
// takes no room on a disk that is full. After an empty line the message follows as
// it is. Lines of the header end in LF.
const (
	format    = "xmaild-message 1"
	slotWidth = len("Q 000 000000000000 00000000 00000000")
	maxTries  = 999
	maxHeader = 1 << 20 // bytes of one line
)

// A slot is the state of a recipient as its line has it.
type slot struct {
	state    State
	toFreeze bool // when it is in nobody's hands any more: an administrator wants it
	tries    int
	until    int64 // Unix seconds
	Progress
}

// MaxSteps is how many steps of a delivery can be remembered.
const MaxSteps = 32

// Progress is how far a delivery that consists of several steps has come.
type Progress struct {
	Steps uint32 // those that are done: bit n is step n
	Sum   uint32 // of what the steps are: by the next attempt they may be others
}

// Has reports whether a step is done.
func (p Progress) Has(step int) bool { return step >= 0 && step < MaxSteps && p.Steps&(1<<step) != 0 }

// With returns the progress with a step done as well.
func (p Progress) With(step int) Progress {
	if step >= 0 && step < MaxSteps {
		p.Steps |= 1 << step
	}
	return p
}

func (s slot) String() string {
	state := s.state
	if state == StateQueued && s.toFreeze {
		state = stateToFreeze
	}
	return fmt.Sprintf("%c %03d %012d %08x %08x", state, min(s.tries, maxTries), max(s.until, 0), s.Steps, s.Sum)
}

func parseSlot(text string) (slot, error) {
	fields := strings.Split(text, " ")
	var s slot
	if len(fields[0]) == 1 {
		s.state = State(fields[0][0])
	}
	if s.toFreeze = s.state == stateToFreeze; s.toFreeze {
		s.state = StateQueued
	}
	if len(text) != slotWidth || len(fields) != 5 || !s.state.known() {
		return slot{}, fmt.Errorf("bad state of a recipient %q", text)
	}
	var errs [4]error
	s.tries, errs[0] = strconv.Atoi(fields[1])
	s.until, errs[1] = strconv.ParseInt(fields[2], 10, 64)
	steps, err := strconv.ParseUint(fields[3], 16, 32)
	s.Steps, errs[2] = uint32(steps), err
	sum, err := strconv.ParseUint(fields[4], 16, 32)
	s.Sum, errs[3] = uint32(sum), err
	if s.toFreeze {
		s.until = 0 // the attempt that it was to wait for is over
	}
	if errors.Join(errs[:]...) != nil {
		// Written over when the power went: the recipient is there, and its turn is now.
		return slot{state: s.state, toFreeze: s.toFreeze}, nil
	}
	return s, nil
}

// writeHeader writes everything that stands before the message to a buffer, and
// returns its length and where the slots of the recipients are.
func writeHeader(b io.StringWriter, e Envelope) (length int64, slots []int64, err error) {
	line, err := json.Marshal(e)
	if err != nil {
		return 0, nil, fmt.Errorf("envelope: %w", err)
	}
	write := func(parts ...string) {
		for _, part := range parts {
			n, _ := b.WriteString(part) // the error comes back from the Flush of the caller
			length += int64(n)
		}
	}
	write(format, "\n", string(line), "\n")
	first := slot{state: StateQueued}.String()
	for _, r := range e.Recipients {
		line, err := json.Marshal(r)
		if err != nil {
			return 0, nil, fmt.Errorf("recipient: %w", err)
		}
		slots = append(slots, length)
		write(first, " ", string(line), "\n")
	}
	write("\n")
	return length, slots, nil
}

// A header is what readHeader finds.
type header struct {
	Envelope
	slots   []slot
	offsets []int64 // of the slots in the file
	length  int64   // where the message begins
}

// readHeader reads everything that stands before the message.
func readHeader(r io.Reader) (header, error) {
	var h header
	b := bufio.NewReader(r)
	next := func() (string, error) {
		line, err := readLine(b)
		h.length += int64(len(line)) + 1
		return line, err
	}
	line, err := next()
	if err != nil || line != format {
		return h, errors.New("not a message of this server")
	}
	if line, err = next(); err != nil {
		return h, err
	}
	if err := json.Unmarshal([]byte(line), &h.Envelope); err != nil {
		return h, fmt.Errorf("envelope: %w", err)
	}
	for {
		offset := h.length
		line, err := next()
		switch {
		case err != nil:
			return h, err
		case line == "":
			return h, nil
		case len(line) < slotWidth+2:
			return h, fmt.Errorf("bad line of a recipient %q", line)
		}
		s, err := parseSlot(line[:slotWidth])
		if err != nil {
			return h, err
		}
		var r Recipient
		if err := json.Unmarshal([]byte(line[slotWidth+1:]), &r); err != nil {
			return h, fmt.Errorf("recipient: %w", err)
		}
		h.Recipients = append(h.Recipients, r)
		h.slots = append(h.slots, s)
		h.offsets = append(h.offsets, offset)
	}
}

// readLine reads a line of the header, without its end.
func readLine(b *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := b.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return string(line[:len(line)-1]), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", fmt.Errorf("header of the message is cut off: %w", err)
		case len(line) > maxHeader:
			return "", errors.New("header of the message has a line that is too long")
		}
	}
}
