package tabfile

import (
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

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
	counts  []map[string]int
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
		counts:  make([]map[string]int, len(schema.Counts)),
		eol:     "\n",
	}
	for i := range c.indexes {
		c.indexes[i] = btree.NewBTreeGOptions(lessEntry, btree.Options{NoLocks: true})
	}
	for i := range c.counts {
		c.counts[i] = make(map[string]int)
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
	lines := strings.Count(text, "\n") + 1
	entries := make([][]entry, len(c.indexes))
	keys := make([]string, len(c.indexes))
	block := make([]line, 0, min(lines, 1024))
	var fields []string // of each line in turn
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
		var err error
		if fields, err = c.appendFields(fields[:0], l); err != nil {
			problems = append(problems, Error{File: name, Line: number, Msg: err.Error()})
		} else if len(fields) > 0 {
			l.row = true
			c.rows++
			c.count(fields, 1)
			for i := range schema.Indexes {
				key, ok := schema.Indexes[i].Key(fields)
				if !ok {
					keys[i] = ""
					continue
				}
				// Indexes that have the same key of a row share it.
				if at := slices.Index(keys[:i], key); at >= 0 {
					key = keys[at]
				}
				keys[i] = key
				if entries[i] == nil {
					entries[i] = make([]entry, 0, min(lines, 1<<16))
				}
				entries[i] = append(entries[i], entry{key, l})
			}
		}
		c.lines.Load(l)
	}
	var loads sync.WaitGroup
	for i := range entries {
		loads.Go(func() { loadIndex(c.indexes[i], entries[i]) })
	}
	loads.Wait()
	return c, problems
}

// loadIndex fills an empty index.
func loadIndex(index *btree.BTreeG[entry], list []entry) {
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
		index.Load(e)
	}
}

// read returns the fields of a readable row, nothing for a comment or an empty
// line, and an error for a row that cannot be read.
func (c *content) read(l *line) ([]string, error) {
	fields, err := c.appendFields(nil, l)
	if err != nil {
		return nil, err
	}
	return fields, nil
}

// appendFields appends to an empty dst what read returns.
func (c *content) appendFields(dst []string, l *line) ([]string, error) {
	body := l.body()
	if IsComment(body) {
		return dst, nil
	}
	dst = AppendSplit(dst, body)
	if len(dst) == 0 {
		return dst, nil
	}
	return dst, c.schema.check(dst)
}

// copy returns a content that can be changed without a reader of c seeing it.
func (c *content) copy() *content {
	d := *c
	d.lines = c.lines.IsoCopy()
	d.indexes = make([]*btree.BTreeG[entry], len(c.indexes))
	for i := range c.indexes {
		d.indexes[i] = c.indexes[i].IsoCopy()
	}
	d.counts = make([]map[string]int, len(c.counts))
	for i := range c.counts {
		d.counts[i] = maps.Clone(c.counts[i])
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
		c.count(fields, 1)
		c.eachKey(fields, func(i int, key string) { c.indexes[i].Set(entry{key, l}) })
	}
}

func (c *content) remove(l *line) {
	c.lines.Delete(l)
	c.size -= int64(len(l.text))
	if l.row {
		c.rows--
		fields := Split(l.body())
		c.count(fields, -1)
		c.eachKey(fields, func(i int, key string) { c.indexes[i].Delete(entry{key, l}) })
	}
}

// count adds n to the counts that have a row with these fields.
func (c *content) count(fields []string, n int) {
	for i := range c.schema.Counts {
		key, ok := c.schema.Counts[i].Key(fields)
		if !ok {
			continue
		}
		if c.counts[i][key] += n; c.counts[i][key] == 0 {
			delete(c.counts[i], key)
		}
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
