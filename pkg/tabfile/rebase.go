package tabfile

import "slices"

// Changes of rows that were made on one version of a table are put on top of
// another one when somebody has edited its file in the meantime.

// rebase applies changes to a table that is not the one they were made on. It
// returns them as they were applied, and how many did not find their row or
// found that the edit has another one in its place.
func (c *content) rebase(ops []op) (applied []op, lost int) {
	for _, o := range net(ops) {
		steps, ok := c.rebaseOne(o)
		applied = append(applied, steps...)
		if !ok {
			lost++
		}
	}
	return applied, lost
}

func (c *content) rebaseOne(o op) (applied []op, ok bool) {
	switch o.kind {
	case opAppend, opInsert:
		same, other := c.sameKey(o.text)
		if len(same) > 0 {
			return nil, !other // it is there already, or another one has its key
		}
		if o.kind == opInsert {
			if below, _ := c.sameKey(o.old); len(below) > 0 {
				o.old, o.nth = below[0].body(), uint64(c.nth(below[0]))
				c.insertBefore(below[0], o.text)
				return []op{o}, true
			}
		}
		c.append(o.text)
		return []op{{kind: opAppend, path: o.path, text: o.text}}, o.kind == opAppend
	case opDelete:
		same, _ := c.sameKey(o.old)
		for _, l := range same {
			applied = append(applied, op{kind: opDelete, path: o.path, old: l.body(), nth: uint64(c.nth(l))})
			c.remove(l)
		}
	case opReplace:
		if same, _ := c.sameKey(o.old); len(same) > 0 && same[0].body() != o.text {
			applied = []op{{kind: opReplace, path: o.path, old: same[0].body(), nth: uint64(c.nth(same[0])), text: o.text}}
			c.replace(same[0], o.text)
			return applied, true
		}
		return nil, c.find(o.text, 0) != nil
	}
	return applied, len(applied) > 0
}

// sameKey returns the lines of the row with this body, or else those of the
// rows that have its key; other tells that it is the latter.
func (c *content) sameKey(body string) (lines []*line, other bool) {
	if l := c.find(body, 0); l != nil {
		return []*line{l}, false
	}
	fields := Split(body)
	if len(c.schema.Indexes) == 0 || c.schema.check(fields) != nil {
		return nil, false
	}
	if key, ok := c.schema.Indexes[0].Key(fields); ok {
		c.withKey(0, key, func(l *line) bool {
			lines = append(lines, l)
			return true
		})
	}
	return lines, len(lines) > 0
}

// net returns changes that come to the same without the steps in between: a row
// that was added and then changed was added as it is now.
func net(ops []op) []op {
	out := make([]op, 0, len(ops))
	at := make(map[string]int) // of the change that a row stems from, by its text
	for _, o := range ops {
		i, known := at[o.old]
		switch {
		case o.kind == opReplace && known:
			delete(at, o.old)
			out[i].text = o.text
			at[o.text] = i
		case o.kind == opDelete && known:
			delete(at, o.old)
			if out[i].kind == opReplace {
				out[i] = op{kind: opDelete, path: o.path, old: out[i].old, nth: out[i].nth}
			} else {
				out[i].kind = 0
			}
		case o.changesRow():
			if o.kind != opDelete {
				at[o.text] = len(out)
			}
			out = append(out, o)
		}
	}
	return slices.DeleteFunc(out, func(o op) bool { return o.kind == 0 })
}
