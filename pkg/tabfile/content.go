package tabfile

import (
	"io"
	"slices"
	"strings"

	"github.com/tidwall/btree"
)

// seqFirst is the position of the first line, and seqStep the distance between
// those of two lines, so that there is room for lines above and between them.
const (
	seqFirst = 1 << 62
	seqStep  = 1 << 32
)

// A line is one physical line of a table. It is never changed.
type line struct {
	seq  uint64 // position in the file: a greater one stands further down
	text string // the bytes, line end included
	row  bool   // readable, and no comment
}

// body returns the line without its end.
func (l *line) body() string { return TrimEnd(l.text) }

// An entry is one row in an index.
type entry struct {
	key string
	*line
}

// content is one version of a table: its lines in file order, and its indexes.
// A content that readers can see is never changed; a transaction works on a
// copy, which shares everything that it does not touch.
type content struct {
	schema  *Schema
	lines   *btree.BTreeG[*line]
	indexes []*btree.BTreeG[entry]
	rows    int    // readable rows
	size    int64  // bytes in the file
	eol     string // line end of new rows
	exists  bool   // false: there is no file
}

func newContent(schema *Schema) *content {
	c := &content{
		schema: schema,
		lines: btree.NewBTreeGOptions(func(a, b *line) bool { return a.seq < b.seq },
			btree.Options{NoLocks: true}),
		indexes: make([]*btree.BTreeG[entry], len(schema.Indexes)),
		eol:     "\n",
	}
	for i := range c.indexes {
		c.indexes[i] = btree.NewBTreeGOptions(lessEntry, btree.Options{NoLocks: true})
	}
	return c
}

func lessEntry(a, b entry) bool {
	if a.key != b.key {
		return a.key < b.key
	}
	return a.seq < b.seq
}

// parse reads the text of a table. What cannot be read stays in the content as
// a line that is no row, and is reported with its line number in the file name.
func parse(schema *Schema, name, text string) (*content, []Error) {
	c := newContent(schema)
	c.exists = true
	c.size = int64(len(text))
	var problems []Error
	entries := make([][]entry, len(c.indexes))
	block := make([]line, 0, min(strings.Count(text, "\n")+1, 1024))
	number := 0
	for seq := uint64(seqFirst); text != ""; seq += seqStep {
		number++
		end := strings.IndexByte(text, '\n') + 1
		if end == 0 {
			end = len(text)
		}
		if len(block) == cap(block) {
			block = make([]line, 0, cap(block))
		}
		block = append(block, line{seq: seq, text: text[:end]})
		l := &block[len(block)-1]
		text = text[end:]
		if number == 1 && strings.HasSuffix(l.text, "\r\n") {
			c.eol = "\r\n"
		}
		if fields, err := c.read(l); err != nil {
			problems = append(problems, Error{File: name, Line: number, Msg: err.Error()})
		} else if fields != nil {
			l.row = true
			c.rows++
			for i := range schema.Indexes {
				if key, ok := schema.Indexes[i].Key(fields); ok {
					entries[i] = append(entries[i], entry{key, l})
				}
			}
		}
		c.lines.Load(l)
	}
	for i, list := range entries {
		slices.SortFunc(list, func(a, b entry) int {
			if k := strings.Compare(a.key, b.key); k != 0 || a.line == b.line {
				return k
			}
			if a.seq < b.seq {
				return -1
			}
			return 1
		})
		for _, e := range list {
			c.indexes[i].Load(e)
		}
	}
	return c, problems
}

// read returns the fields of a readable row, nothing for a comment or an empty
// line, and an error for a row that cannot be read.
func (c *content) read(l *line) ([]string, error) {
	body := l.body()
	if IsComment(body) {
		return nil, nil
	}
	fields := Split(body)
	if len(fields) == 0 {
		return nil, nil
	}
	if err := c.schema.check(fields); err != nil {
		return nil, err
	}
	return fields, nil
}

// copy returns a content that can be changed without a reader of c seeing it.
func (c *content) copy() *content {
	d := *c
	d.lines = c.lines.IsoCopy()
	d.indexes = make([]*btree.BTreeG[entry], len(c.indexes))
	for i := range c.indexes {
		d.indexes[i] = c.indexes[i].IsoCopy()
	}
	return &d
}

// append adds a row at the end of the file. A last line without an end gets one
// first, so that the rows are not glued together.
func (c *content) append(body string) *line {
	seq := uint64(seqFirst)
	if last, ok := c.lines.Max(); ok {
		seq = last.seq + seqStep
		if !strings.HasSuffix(last.text, "\n") {
			c.swap(last, last.text+c.eol)
		}
	}
	l := &line{seq: seq, text: body + c.eol}
	c.insert(l)
	return l
}

// replace puts another row in the place of a line, with the line's own end.
func (c *content) replace(old *line, body string) *line {
	return c.swap(old, body+old.text[len(old.body()):])
}

func (c *content) swap(old *line, text string) *line {
	c.remove(old)
	l := &line{seq: old.seq, text: text}
	c.insert(l)
	return l
}

func (c *content) insert(l *line) {
	fields, err := c.read(l)
	l.row = err == nil && fields != nil
	c.lines.Set(l)
	c.size += int64(len(l.text))
	if l.row {
		c.rows++
		c.eachKey(fields, func(i int, key string) { c.indexes[i].Set(entry{key, l}) })
	}
}

func (c *content) remove(l *line) {
	c.lines.Delete(l)
	c.size -= int64(len(l.text))
	if l.row {
		c.rows--
		c.eachKey(Split(l.body()), func(i int, key string) { c.indexes[i].Delete(entry{key, l}) })
	}
}

func (c *content) eachKey(fields []string, f func(i int, key string)) {
	for i := range c.schema.Indexes {
		if key, ok := c.schema.Indexes[i].Key(fields); ok {
			f(i, key)
		}
	}
}

// like calls f for the lines that may have the same body as a row with these
// fields, in file order: those with the same key in the first index that has
// the row, or all where no index has it.
func (c *content) like(fields []string, f func(*line) bool) {
	for i := range c.schema.Indexes {
		key, ok := c.schema.Indexes[i].Key(fields)
		if !ok {
			continue
		}
		c.withKey(i, key, f)
		return
	}
	c.lines.Scan(f)
}

// withKey calls f for the rows with that key, in file order, until f returns false.
func (c *content) withKey(index int, key string, f func(*line) bool) {
	c.indexes[index].Ascend(entry{key, &line{}}, func(e entry) bool {
		return e.key == key && f(e.line)
	})
}

// nth tells how many lines with the same body stand before l. With the body it
// names a line in a journal, where positions mean nothing.
func (c *content) nth(l *line) int {
	n, body := 0, l.body()
	c.like(Split(body), func(other *line) bool {
		if other.seq >= l.seq {
			return false
		}
		if other.body() == body {
			n++
		}
		return true
	})
	return n
}

// find is the opposite of nth.
func (c *content) find(body string, nth int) *line {
	var found *line
	c.like(Split(body), func(l *line) bool {
		if l.body() == body {
			if nth == 0 {
				found = l
			}
			nth--
		}
		return found == nil
	})
	return found
}

// writeTo writes the table as it stands in its file.
func (c *content) writeTo(w io.Writer) error {
	var err error
	c.lines.Scan(func(l *line) bool {
		_, err = io.WriteString(w, l.text)
		return err == nil
	})
	return err
}

// text returns the table as it stands in its file.
func (c *content) text() string {
	var b strings.Builder
	b.Grow(int(c.size))
	_ = c.writeTo(&b) // a strings.Builder does not fail
	return b.String()
}
