package tabfile

import (
	"slices"
	"strings"

	"github.com/tidwall/btree"
)

// A lineList is a table as a recovery needs it: lines by their text, without
// the table's schema. Its zero value is a file that is not there.
type lineList struct {
	lines  btree.Map[uint64, string] // by position, with their ends
	where  map[string][]uint64       // the positions of a line by its text without the end, ascending
	eol    string
	size   int
	exists bool
}

func (c *lineList) set(text string, exists bool) {
	*c = lineList{eol: "\n", exists: exists, size: len(text), where: make(map[string][]uint64)}
	seq := uint64(seqFirst)
	for line := range strings.Lines(text) {
		if seq == seqFirst && strings.HasSuffix(line, "\r\n") {
			c.eol = "\r\n"
		}
		c.lines.Load(seq, line)
		c.note(TrimEnd(line), seq)
		seq += seqStep
	}
}

// apply does to the lines what the op did to the table.
func (c *lineList) apply(o *op) {
	switch o.kind {
	case opWrite:
		c.set(o.data, o.exists)
	case opBase:
		if o.whole {
			c.set(o.data, o.exists)
		}
	case opAppend:
		c.append(o.text)
	case opDelete:
		if at, ok := c.find(o.old, o.nth); ok {
			line, _ := c.lines.Delete(at)
			c.size -= len(line)
			c.forget(o.old, at)
		}
	case opReplace:
		if at, ok := c.find(o.old, o.nth); ok {
			line, _ := c.lines.Get(at)
			c.lines.Set(at, o.text+line[len(o.old):])
			c.size += len(o.text) - len(o.old)
			c.forget(o.old, at)
			c.note(o.text, at)
		}
	case opInsert:
		if at, ok := c.find(o.old, o.nth); ok {
			c.add(c.above(at, o), o.text)
		} else {
			c.append(o.text)
		}
	}
}

func (c *lineList) append(body string) {
	if c.where == nil {
		c.set("", true)
	}
	c.exists = true
	seq := uint64(seqFirst)
	if last, line, ok := c.lines.Max(); ok {
		seq = last + seqStep
		if !strings.HasSuffix(line, "\n") {
			c.lines.Set(last, line+c.eol)
			c.size += len(c.eol)
		}
	}
	c.add(seq, body)
}

func (c *lineList) add(seq uint64, body string) {
	c.lines.Set(seq, body+c.eol)
	c.size += len(body) + len(c.eol)
	c.note(body, seq)
}

// above returns a position for a line above the one at that position, which o
// names.
func (c *lineList) above(at uint64, o *op) uint64 {
	for {
		var prev uint64
		c.lines.Descend(at-1, func(seq uint64, _ string) bool {
			prev = seq
			return false
		})
		if seq, ok := seqBetween(prev, at); ok {
			return seq
		}
		// No room: all get new positions.
		eol := c.eol
		c.set(c.text(), c.exists)
		c.eol = eol
		at, _ = c.find(o.old, o.nth)
	}
}

func (c *lineList) find(body string, nth uint64) (uint64, bool) {
	at := c.where[body]
	if nth >= uint64(len(at)) {
		return 0, false
	}
	return at[nth], true
}

func (c *lineList) note(body string, seq uint64) {
	at, _ := slices.BinarySearch(c.where[body], seq)
	c.where[body] = slices.Insert(c.where[body], at, seq)
}

func (c *lineList) forget(body string, seq uint64) {
	at, _ := slices.BinarySearch(c.where[body], seq)
	c.where[body] = slices.Delete(c.where[body], at, at+1)
}

func (c *lineList) text() string {
	var b strings.Builder
	b.Grow(c.size)
	c.lines.Scan(func(_ uint64, line string) bool {
		b.WriteString(line)
		return true
	})
	return b.String()
}
