package tabfile

import (
	"slices"
	"strings"
)

// A lineList is a table as a recovery needs it: lines by their text, without
// the table's schema. Its zero value is a file that is not there.
type lineList struct {
	lines  []string // with their ends; "" for one that was removed
	where  map[string][]int
	eol    string
	size   int
	exists bool
}

func (c *lineList) set(text string, exists bool) {
	*c = lineList{eol: "\n", exists: exists, size: len(text), where: make(map[string][]int)}
	for line := range strings.Lines(text) {
		if len(c.lines) == 0 && strings.HasSuffix(line, "\r\n") {
			c.eol = "\r\n"
		}
		c.add(line)
	}
}

func (c *lineList) add(line string) {
	body := TrimEnd(line)
	c.where[body] = append(c.where[body], len(c.lines))
	c.lines = append(c.lines, line)
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
		if c.where == nil {
			c.set("", true)
		}
		c.exists = true
		if i := c.last(); i >= 0 && !strings.HasSuffix(c.lines[i], "\n") {
			c.lines[i] += c.eol
			c.size += len(c.eol)
		}
		c.add(o.text + c.eol)
		c.size += len(o.text) + len(c.eol)
	case opDelete:
		if i, ok := c.find(o.old, o.nth); ok {
			c.size -= len(c.lines[i])
			c.forget(o.old, i)
			c.lines[i] = ""
		}
	case opReplace:
		if i, ok := c.find(o.old, o.nth); ok {
			c.forget(o.old, i)
			end := c.lines[i][len(o.old):]
			c.lines[i] = o.text + end
			c.size += len(o.text) - len(o.old)
			at, _ := slices.BinarySearch(c.where[o.text], i)
			c.where[o.text] = slices.Insert(c.where[o.text], at, i)
		}
	}
}

// last returns the position of the last line there is, or -1.
func (c *lineList) last() int {
	i := len(c.lines) - 1
	for i >= 0 && c.lines[i] == "" {
		i--
	}
	return i
}

func (c *lineList) find(body string, nth uint64) (int, bool) {
	at := c.where[body]
	if nth >= uint64(len(at)) {
		return 0, false
	}
	return at[nth], true
}

func (c *lineList) forget(body string, i int) {
	at, _ := slices.BinarySearch(c.where[body], i)
	c.where[body] = slices.Delete(c.where[body], at, at+1)
}

func (c *lineList) text() string { return strings.Join(c.lines, "") }
