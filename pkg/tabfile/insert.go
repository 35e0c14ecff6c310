package tabfile

// In some tables the first row that matches decides, so a new one must be able
// to stand above another.

// InsertBefore adds a row right above another one of this table. Its errors are
// those of [TxTable.Append].
func (tt *TxTable) InsertBefore(row Row, fields ...string) error {
	c, body, err := tt.write(fields)
	if err != nil {
		return err
	}
	at := tt.current(row.l)
	o := op{kind: opInsert, path: tt.name, text: body, old: at.body(), nth: uint64(c.nth(at))}
	if moved := c.insertBefore(at, body); moved != nil {
		tt.moved = append(tt.moved[:len(tt.moved):len(tt.moved)], moved)
	}
	tt.note(o)
	return nil
}

// current returns what has become of a line where lines were given new
// positions since the caller got it.
func (tt *TxTable) current(l *line) *line {
	for _, moved := range tt.moved {
		if now := moved[l]; now != nil {
			l = now
		}
	}
	return l
}

// seqNear is how far above the next line a new one is put where there is room.
// It leaves most of the gap to those that will come above it.
const seqNear = 1 << 16

// seqBetween returns a position between two lines; false where there is none.
func seqBetween(prev, next uint64) (uint64, bool) {
	gap := next - prev
	return next - min(gap/2, seqNear), gap > 1
}

// insertBefore adds a row above a line. Where there is no room for it all lines
// get new positions: moved has what became of each, and is nil otherwise.
func (c *content) insertBefore(at *line, body string) (moved map[*line]*line) {
	seq, ok := c.seqAbove(at)
	if !ok {
		moved = c.renumber()
		seq, _ = c.seqAbove(moved[at])
	}
	c.insert(&line{seq: seq, text: body + c.eol})
	return moved
}

func (c *content) seqAbove(at *line) (uint64, bool) {
	var prev uint64
	c.lines.Descend(&line{seq: at.seq - 1}, func(l *line) bool {
		prev = l.seq
		return false
	})
	return seqBetween(prev, at.seq)
}

// renumber gives all lines positions with room between them.
func (c *content) renumber() map[*line]*line {
	fresh := newContent(c.schema)
	moved := make(map[*line]*line, c.lines.Len())
	seq := uint64(seqFirst)
	c.lines.Scan(func(l *line) bool {
		now := &line{seq: seq, text: l.text, row: l.row}
		moved[l] = now
		fresh.lines.Load(now)
		seq += seqStep
		return true
	})
	for i, index := range c.indexes {
		index.Scan(func(e entry) bool {
			fresh.indexes[i].Load(entry{e.key, moved[e.line]})
			return true
		})
	}
	c.lines, c.indexes = fresh.lines, fresh.indexes
	return moved
}
