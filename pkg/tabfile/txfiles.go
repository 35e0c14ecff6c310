package tabfile

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
)

// meets reports whether an earlier transaction of the batch is about to change
// what is at name, and if so makes this one run again.
func (tx *Tx) meets(name string) bool {
	if tx.batch.pending.covers(name) {
		tx.conflict = true
	}
	return tx.conflict
}

// meetsBelow is meets for what is inside the folder of that name.
func (tx *Tx) meetsBelow(name string) bool {
	if tx.batch.pending.parents[name] {
		tx.conflict = true
	}
	return tx.conflict
}

// Exists reports whether there is a file or folder of that name.
func (tx *Tx) Exists(name string) bool {
	place, gone := tx.where(name)
	_, err := tx.stat(place)
	return err == nil && !gone
}

// IsDir reports whether there is a folder of that name. Symbolic links are
// followed.
func (tx *Tx) IsDir(name string) bool {
	place, gone := tx.where(name)
	isDir, err := tx.stat(place)
	return err == nil && isDir && !gone
}

// stat tells a folder from a file at that place.
func (tx *Tx) stat(name string) (isDir bool, err error) {
	if own := tx.own(name); own.known {
		if !own.exists {
			return false, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
		}
		return own.isDir, nil
	}
	if tx.meets(name) {
		return false, errConflict
	}
	info, err := tx.s.fs.Stat(tx.s.disk(name))
	return err == nil && info.IsDir(), err
}

// ReadFile returns what the file of that name holds.
func (tx *Tx) ReadFile(name string) ([]byte, error) {
	name, gone := tx.where(name)
	if gone {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	switch own := tx.own(name); {
	case own.known && !own.exists:
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	case own.known && own.isDir:
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}
	case own.known:
		return []byte(own.data), nil
	}
	if tx.meets(name) {
		return nil, errConflict
	}
	if tt := tx.tables[name]; tt != nil && tt.changed {
		return []byte(tt.View.c.text()), nil
	}
	for _, t := range tx.batch.changed {
		if t.name == name {
			return []byte(t.working.text()), nil
		}
	}
	return tx.s.ReadFile(name)
}

// MakeTree makes a new folder with folders and files in it, whose names are
// relative to it. The error wraps [fs.ErrExist] when there is something of that
// name, and [fs.ErrNotExist] when the folder above it is not there.
func (tx *Tx) MakeTree(name string, dirs []string, files map[string][]byte) error {
	name, gone := tx.where(name)
	if gone {
		return &fs.PathError{Op: "make", Path: name, Err: fs.ErrExist} // it stands there until the transaction is over
	}
	own := tx.own(name)
	if !own.known || own.removed {
		if tx.meets(name) {
			return errConflict
		}
		_, err := tx.s.fs.Lstat(tx.s.disk(name))
		own.exists = err == nil // also where it is about to go: it cannot come back at once
	}
	if own.exists {
		return &fs.PathError{Op: "make", Path: name, Err: fs.ErrExist}
	}
	if err := tx.parent(name); err != nil {
		return err
	}
	if tx.s.removed.covers(name) || tx.s.removing.covers(name) {
		tx.remade = true
		return errConflict
	}
	o := op{kind: opMakeTree, path: name, dirs: dirs}
	for _, n := range slices.Sorted(maps.Keys(files)) {
		o.files = append(o.files, file{n, string(files[n])})
	}
	tx.add(o)
	return nil
}

// parent returns why nothing can be made at name.
func (tx *Tx) parent(name string) error {
	dir := path.Dir(name)
	isDir, err := tx.stat(dir)
	if err == nil && !isDir {
		err = &fs.PathError{Op: "make", Path: dir, Err: fs.ErrNotExist}
	}
	if err != nil || tx.own(dir).known {
		return err
	}
	return tx.s.fs.Writable(tx.s.disk(dir))
}

// RemoveTree removes the folder of that name with all that is in it. Where name
// is a symbolic link the link goes and what it leads to stays. A folder that is
// not there is no error.
func (tx *Tx) RemoveTree(name string) error {
	name, gone := tx.where(name)
	if gone {
		return nil
	}
	own := tx.own(name)
	if own.known && !own.exists {
		return nil
	}
	if !own.known {
		if tx.meets(name) || tx.meetsBelow(name) {
			return errConflict
		}
		if _, err := tx.s.fs.Lstat(tx.s.disk(name)); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err := tx.s.fs.Writable(tx.s.disk(path.Dir(name))); err != nil {
			return err
		}
	}
	tx.drop(name)
	tx.add(op{kind: opRemoveTree, path: name})
	return nil
}

// WriteFile makes content the whole of the file of that name, which may be new.
// The error wraps [fs.ErrNotExist] when the folder is not there. A table is read
// first: what would not load, and did not stand there before, is an [*Error].
func (tx *Tx) WriteFile(name string, content []byte) error {
	text := string(content)
	name, gone := tx.where(name)
	if gone {
		return &fs.PathError{Op: "write", Path: name, Err: fs.ErrNotExist}
	}
	if err := tx.parent(name); err != nil {
		return err
	}
	isDir, err := tx.stat(name)
	if tx.conflict {
		return errConflict
	}
	if err == nil && isDir {
		return &fs.PathError{Op: "write", Path: name, Err: errors.New("is a directory")}
	}
	if err := tx.loadInto(name, text); err != nil {
		return err
	}
	if own := tx.own(name); own.made != nil {
		own.made.write(tx, text)
		return nil
	}
	tx.add(op{kind: opWrite, path: name, exists: true, data: text})
	return nil
}

// loadInto makes text the content of the table of that name, if it is one.
func (tx *Tx) loadInto(name, text string) error {
	schema := tx.s.opts.schemaOf(name)
	if schema == nil {
		return nil
	}
	tt, err := tx.fileAt(name, schema)
	if err != nil {
		return err
	}
	c, problems := parse(schema, name, text)
	if err := newProblem(tt.View.c, problems, text); err != nil {
		return err
	}
	if err := newRow(name, tt.View.c, c); err != nil {
		return err
	}
	if schema.Keep && c.rows == 0 {
		return &Error{File: name, Msg: "no row would be left"}
	}
	tt.save()
	tt.show(c)
	tt.changed, tt.shared, tt.skipped = true, false, problems
	return nil
}

// RemoveFile removes the file of that name. One that is not there is no error.
func (tx *Tx) RemoveFile(name string) error {
	name, gone := tx.where(name)
	if gone {
		return nil
	}
	own := tx.own(name)
	isDir := own.isDir
	if !own.known {
		if tx.meets(name) {
			return errConflict
		}
		info, err := tx.s.fs.Lstat(tx.s.disk(name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		isDir = err == nil && info.IsDir()
	} else if !own.exists {
		return nil
	}
	if isDir {
		return &fs.PathError{Op: "remove", Path: name, Err: errors.New("is a directory")}
	}
	if own.made != nil {
		own.made.remove(tx)
		return nil
	}
	if err := tx.s.fs.Writable(tx.s.disk(path.Dir(name))); err != nil {
		return err
	}
	if schema := tx.s.opts.schemaOf(name); schema != nil {
		if schema.Keep {
			return &Error{File: name, Msg: "no row would be left"}
		}
		tt, err := tx.fileAt(name, schema)
		if err != nil {
			return err
		}
		tt.save()
		tt.show(newContent(schema))
		tt.changed, tt.shared, tt.skipped = true, false, nil
	}
	tx.add(op{kind: opWrite, path: name})
	return nil
}
