package tabfile

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// An op is one step of a transaction as the journal keeps it. Steps name rows
// by their text, so that they mean the same on the file as on what is in memory.
type op struct {
	kind opKind
	path string // slash-separated, relative to the root

	text string // opAppend, opReplace, opInsert: the new row, without its line end; opMoveTree: the new path
	old  string // opDelete, opReplace: the row that goes; opInsert: the row below
	nth  uint64 // how many rows equal to old stand before it

	dirs  []string // opMakeTree: folders inside the new one, parents first
	files []file   // opMakeTree: files inside the new one

	data   string // opWrite, opBase: the whole file
	exists bool   // opWrite, opBase: false where there is no file
	whole  bool   // opBase: data holds the file; otherwise sum alone tells which it is
	sum    sum    // opBase, opImage: of the file; opWrite: of the file before
	lsn    uint64 // opImage: the last transaction that the file shows
}

// A file is a file in a new tree.
type file struct{ name, data string }

type opKind byte

// The numbers stand in journals: they are never given another meaning.
const (
	opAppend     opKind = 1  // a row at the end of a table
	opDelete     opKind = 2  // a row less
	opReplace    opKind = 3  // a row in the place of another
	opMakeTree   opKind = 4  // a new folder with what is in it
	opRemoveTree opKind = 5  // a folder less, with all that is in it
	opWrite      opKind = 6  // a whole file; without exists, a file less
	opBase       opKind = 7  // what a table's file held before the steps that follow
	opImage      opKind = 8  // a table's file as it is about to be rewritten
	opInsert     opKind = 9  // a row above another
	opMoveTree   opKind = 10 // a folder gets another name, with all that is in it
)

// changesRow reports whether the op is a change of one row.
func (o *op) changesRow() bool {
	return o.kind == opAppend || o.kind == opDelete || o.kind == opReplace || o.kind == opInsert
}

// A record is one transaction in the journal.
type record struct {
	lsn uint64
	ops []op
}

func (r *record) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, r.lsn)
	b = binary.AppendUvarint(b, uint64(len(r.ops)))
	for i := range r.ops {
		b = r.ops[i].appendTo(b)
	}
	return b
}

func (o *op) appendTo(b []byte) []byte {
	b = append(b, byte(o.kind))
	b = appendString(b, o.path)
	switch o.kind {
	case opAppend:
		b = appendString(b, o.text)
	case opDelete:
		b = appendString(b, o.old)
		b = binary.AppendUvarint(b, o.nth)
	case opReplace, opInsert:
		b = appendString(b, o.old)
		b = binary.AppendUvarint(b, o.nth)
		b = appendString(b, o.text)
	case opMakeTree:
		b = binary.AppendUvarint(b, uint64(len(o.dirs)))
		for _, dir := range o.dirs {
			b = appendString(b, dir)
		}
		b = binary.AppendUvarint(b, uint64(len(o.files)))
		for _, f := range o.files {
			b = appendString(b, f.name)
			b = appendString(b, f.data)
		}
	case opRemoveTree:
	case opMoveTree:
		b = appendString(b, o.text)
	case opWrite:
		b = appendBool(b, o.exists)
		b = appendString(b, o.data)
		b = append(b, o.sum[:]...)
	case opBase:
		b = appendBool(b, o.exists)
		b = appendBool(b, o.whole)
		b = appendString(b, o.data)
		b = append(b, o.sum[:]...)
	case opImage:
		b = binary.AppendUvarint(b, o.lsn)
		b = append(b, o.sum[:]...)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

var errRecord = errors.New("malformed record")

// A decoder reads what appendTo has written. The first failure sticks.
type decoder struct {
	b   string
	err error
}

func (d *decoder) take(n uint64) string {
	if d.err == nil && n > uint64(len(d.b)) {
		d.err = errRecord
	}
	if d.err != nil {
		return ""
	}
	s := d.b[:n]
	d.b = d.b[n:]
	return s
}

func (d *decoder) uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	head := d.b[:min(len(d.b), binary.MaxVarintLen64)]
	v, n := binary.Uvarint([]byte(head))
	if n <= 0 {
		d.err = errRecord
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string { return d.take(d.uvarint()) }
func (d *decoder) bool() bool     { return d.take(1) == "\x01" }

func (d *decoder) sum() (s sum) {
	copy(s[:], d.take(uint64(len(s))))
	return s
}

func decodeRecord(b string) (*record, error) {
	d := decoder{b: b}
	r := &record{lsn: d.uvarint()}
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		r.ops = append(r.ops, d.op())
	}
	if d.err == nil && d.b != "" {
		d.err = errRecord
	}
	return r, d.err
}

func (d *decoder) op() op {
	kind := d.take(1)
	if d.err != nil {
		return op{}
	}
	o := op{kind: opKind(kind[0]), path: d.string()}
	switch o.kind {
	case opAppend:
		o.text = d.string()
	case opDelete:
		o.old, o.nth = d.string(), d.uvarint()
	case opReplace, opInsert:
		o.old, o.nth, o.text = d.string(), d.uvarint(), d.string()
	case opMakeTree:
		for n := d.uvarint(); n > 0 && d.err == nil; n-- {
			o.dirs = append(o.dirs, d.string())
		}
		for n := d.uvarint(); n > 0 && d.err == nil; n-- {
			o.files = append(o.files, file{d.string(), d.string()})
		}
	case opRemoveTree:
	case opMoveTree:
		o.text = d.string()
	case opWrite:
		o.exists, o.data, o.sum = d.bool(), d.string(), d.sum()
	case opBase:
		o.exists, o.whole, o.data, o.sum = d.bool(), d.bool(), d.string(), d.sum()
	case opImage:
		o.lsn, o.sum = d.uvarint(), d.sum()
	default:
		d.err = fmt.Errorf("unknown step %d", o.kind)
	}
	return o
}
