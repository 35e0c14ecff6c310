package lmail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// What files of the folders are called.
const (
	localDir    = "local"
	tempDir     = "temp"
	bellName    = ".wake"
	limitName   = ".limit" // of the drop folder: how many bytes a file may have
	tempPrefix  = "new."   // of the drop folder, while they are written
	asidePrefix = "bad."   // of the drop folder, where they hold no message
	dropSuffix  = ".msg"   // of the drop folder, when they are whole
	listed      = 1 << 10  // entries of a folder that are looked at together
)

// A folder is one that mail is taken from.
type folder struct {
	dir    string
	bad    string // where files go that hold no message
	prefix string // of their names there
	shared bool   // everybody of this machine can put files there

	limit int64 // what the folder says of limitName; 0: nothing yet

	mu    sync.Mutex
	aside int // files that were found put aside in this pass
}

// An entry is something in a folder.
type entry struct {
	name, path string
	info       fs.FileInfo
	uid        uint32 // whose it is
	inode      uint64
	links      uint64
}

// user returns whose the file is, by name where the system has one.
func (e entry) user() string {
	id := strconv.FormatUint(uint64(e.uid), 10)
	if u, err := user.LookupId(id); err == nil && headerText(u.Username) == u.Username && u.Username != "" {
		return u.Username
	}
	return id
}

var dropName = regexp.MustCompile(`^(?:new\.)?[0-9A-Za-z]{8,64}(?:\.msg)?$`)

// wanted reports whether something of that name is to be looked at.
func (f *folder) wanted(name string) bool {
	if !f.shared {
		return name != bellName
	}
	if strings.HasPrefix(name, asidePrefix) {
		f.mu.Lock()
		f.aside++
		f.mu.Unlock()
		return false
	}
	return dropName.MatchString(name) && strings.HasPrefix(name, tempPrefix) != strings.HasSuffix(name, dropSuffix)
}

// each calls do with what is in the folder, some at a time: nobody knows how much
// there is. It ends with the first error.
func (f *folder) each(ctx context.Context, do func([]entry) error) error {
	dir, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	err = f.batches(ctx, dir, do)
	return errors.Join(err, dir.Close())
}

func (f *folder) batches(ctx context.Context, dir *os.File, do func([]entry) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		names, err := dir.Readdirnames(listed)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		batch := make([]entry, 0, len(names))
		for _, name := range names {
			if !f.wanted(name) {
				continue
			}
			path := filepath.Join(f.dir, name)
			info, lerr := os.Lstat(path)
			if lerr != nil || info.IsDir() && !f.shared {
				continue // gone meanwhile
			}
			e := entry{name: name, path: path, info: info}
			e.uid, e.inode, e.links = facts(info)
			batch = append(batch, e)
		}
		if len(batch) > 0 {
			if err := do(batch); err != nil {
				return err
			}
		}
		if err != nil || len(names) == 0 {
			return nil
		}
	}
}

// inTurns orders entries so that those of one user do not keep those of others
// waiting.
func inTurns(batch []entry) []entry {
	byUser := map[uint32][]entry{}
	var users []uint32
	for _, e := range batch {
		if byUser[e.uid] == nil {
			users = append(users, e.uid)
		}
		byUser[e.uid] = append(byUser[e.uid], e)
	}
	ordered := make([]entry, 0, len(batch))
	for turn := 0; len(ordered) < len(batch); turn++ {
		for _, uid := range users {
			if turn < len(byUser[uid]) {
				ordered = append(ordered, byUser[uid][turn])
			}
		}
	}
	return ordered
}

// open opens a file of the folder for reading, if it is one: nothing else is ever
// opened, since strangers may have made it.
func (f *folder) open(e entry) (*os.File, fs.FileInfo, error) {
	switch {
	case !e.info.Mode().IsRegular():
		return nil, nil, malformed("it is no file")
	case f.shared && e.links != 1:
		return nil, nil, malformed("it has other names")
	}
	file, err := openPlain(e.path)
	if f.shared && errors.Is(err, fs.ErrPermission) {
		return nil, nil, malformed("the server may not read it")
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil {
		uid, inode, links := facts(info)
		switch {
		case !info.Mode().IsRegular() || uid != e.uid || inode != e.inode:
			err = fmt.Errorf("%s: %w", e.path, fs.ErrNotExist) // another one by now
		case f.shared && links != 1:
			err = malformed("it has other names")
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}

// tell tells programs how many bytes a file may have, so that they can refuse what would
// be put aside.
func (f *folder) tell(limit int64) error {
	temp, err := os.CreateTemp(f.dir, limitName+"-*")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(temp, limit)
	if err == nil {
		err = temp.Chmod(0o644)
	}
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), filepath.Join(f.dir, limitName))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}

// putAside moves something that is no message out of the way, and returns where it
// is; empty: it was removed. Of the drop folder no more is kept than there is room
// for, and what is no file is not kept.
func (f *folder) putAside(e entry) (string, error) {
	f.mu.Lock()
	f.aside++
	full := f.shared && f.aside > mostAside
	f.mu.Unlock()
	if f.shared && !e.info.Mode().IsRegular() || full {
		return "", os.Remove(e.path) // of a link, the link
	}
	if !f.shared {
		if err := os.Mkdir(f.bad, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	const longest = 200 // of a name, so that there is room for what is added
	name := f.prefix + e.name
	to := filepath.Join(f.bad, name)
	if _, err := os.Lstat(to); err == nil || len(name) > longest {
		to = filepath.Join(f.bad, name[:min(len(name), longest)]+"."+strconv.FormatUint(e.inode, 10))
	}
	return to, os.Rename(e.path, to)
}
