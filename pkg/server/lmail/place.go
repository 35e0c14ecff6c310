package lmail

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A Place is a folder that a program puts mail into, for the server to take.
type Place struct {
	dir    string // as people know it
	shared bool
	root   *os.Root // of the MailRoot; nil: the drop folder
	owner  fs.FileInfo
}

// Drop returns the place that is a drop folder.
func Drop(dir string) (*Place, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is no folder", dir)
	}
	return &Place{dir: dir, shared: true, owner: info}, nil
}

// Local returns the place that is spool/local of a MailRoot, for those whose folder it
// is and for root.
func Local(mailRoot string) (*Place, error) {
	root, err := os.OpenRoot(mailRoot)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(filepath.Join("spool", localDir))
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if err := root.Mkdir(filepath.Join("spool", tempDir), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, errors.Join(err, root.Close())
	}
	return &Place{dir: filepath.Join(mailRoot, "spool", localDir), root: root, owner: info}, nil
}

// Dir is the folder.
func (p *Place) Dir() string { return p.dir }

// Close gives back what the place holds.
func (p *Place) Close() error {
	if p.root == nil {
		return nil
	}
	return p.root.Close()
}

// Ring tells a server that there is mail, and reports whether one runs.
func (p *Place) Ring() bool { return ringBell(filepath.Join(p.dir, bellName)) }

// Limit is how many bytes a letter may have, as the server has said, or the server of
// before where none runs; 0: any number.
func (p *Place) Limit() int64 {
	if !p.shared {
		return 0
	}
	file, err := openPlain(filepath.Join(p.dir, limitName))
	if err != nil {
		return mostBytes
	}
	defer file.Close() // it is only read
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return mostBytes
	}
	// Everybody can make a file of that name where the server has not.
	mine, _, known := ownerOf(info)
	if uid, _, ok := ownerOf(p.owner); !ok || !known || mine != uid {
		return mostBytes
	}
	text := make([]byte, 32)
	n, err := file.Read(text)
	limit, bad := strconv.ParseInt(strings.TrimSpace(string(text[:n])), 10, 64)
	if err != nil || bad != nil || limit <= 0 {
		return mostBytes
	}
	return limit
}

// ErrTooBig is the error of a letter that is bigger than the limit of its place.
var ErrTooBig = errors.New("the message is too big")

// A Letter is mail that is being put into a place. Whoever has one ends it by Commit
// or Abort.
type Letter struct {
	place       *Place
	file        *os.File
	buf         *bufio.Writer
	temp, final string
	limit       int64 // bytes that it may have; 0: any number
	size        int64
	ended       bool
}

// Begin begins a letter. What is written to it is a [Head] and the message.
func (p *Place) Begin() (*Letter, error) {
	l := &Letter{place: p, limit: p.Limit()}
	var err error
	if p.root != nil {
		host, herr := os.Hostname()
		if herr != nil || strings.ContainsAny(host, `/\`) {
			host = "localhost"
		}
		name := fmt.Sprintf("%d.%d-%s.%s", time.Now().UnixMilli(), os.Getpid(), rand.Text(), host)
		l.temp, l.final = filepath.Join("spool", tempDir, name), filepath.Join("spool", localDir, name)
		l.file, err = p.root.OpenFile(l.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	} else {
		name := rand.Text()
		l.temp, l.final = filepath.Join(p.dir, tempPrefix+name), filepath.Join(p.dir, name+dropSuffix)
		l.file, err = os.OpenFile(l.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err != nil {
		return nil, err
	}
	l.buf = bufio.NewWriterSize(l.file, 32<<10)
	return l, nil
}

// Write adds to the letter.
func (l *Letter) Write(p []byte) (int, error) {
	if l.size += int64(len(p)); l.limit > 0 && l.size > l.limit {
		return 0, fmt.Errorf("%w: %d bytes are the most", ErrTooBig, l.limit)
	}
	return l.buf.Write(p)
}

// Commit puts the letter where the server takes it. When it returns nil it is on disk.
func (l *Letter) Commit() error {
	l.ended = true
	err := l.buf.Flush()
	if err == nil {
		err = l.give()
	}
	if err == nil {
		err = l.file.Sync()
	}
	if err == nil {
		err = l.rename()
	}
	renamed := err == nil
	if err == nil {
		err = l.syncFolder()
	}
	err = errors.Join(err, l.file.Close())
	if err != nil && renamed {
		return errors.Join(err, l.remove(l.final))
	}
	if err != nil {
		return errors.Join(err, l.remove(l.temp))
	}
	return nil
}

// Abort forgets the letter. After Commit it does nothing.
func (l *Letter) Abort() {
	if l.ended {
		return
	}
	l.ended = true
	// The server removes what is left behind.
	_ = errors.Join(l.file.Close(), l.remove(l.temp))
}

// give lets the server read the letter, and nobody who could find its name: that of
// a drop folder cannot be listed.
func (l *Letter) give() error {
	p := l.place
	uid, gid, known := ownerOf(p.owner)
	switch {
	case p.root != nil && known && os.Geteuid() == 0:
		return l.file.Chown(uid, gid)
	case p.root != nil && (!known || uid == os.Geteuid()):
		return nil
	case p.root == nil && p.owner.Mode()&fs.ModeSetgid == 0:
		return l.file.Chmod(0o644)
	}
	return l.file.Chmod(0o640) // it has the group of the folder
}

func (l *Letter) rename() error {
	if l.place.root != nil {
		return l.place.root.Rename(l.temp, l.final)
	}
	return os.Rename(l.temp, l.final)
}

func (l *Letter) remove(name string) error {
	if l.place.root != nil {
		return l.place.root.Remove(name)
	}
	return os.Remove(name)
}

// syncFolder makes the name durable. A folder that may not be read cannot be synced;
// then the file is once more, which takes its new name along on file systems that
// keep a journal.
func (l *Letter) syncFolder() error {
	var dir *os.File
	var err error
	if l.place.root != nil {
		dir, err = l.place.root.Open(filepath.Dir(l.final))
	} else {
		dir, err = os.Open(l.place.dir)
	}
	if errors.Is(err, fs.ErrPermission) {
		return l.file.Sync()
	}
	if err != nil {
		return err
	}
	return errors.Join(syncDir(dir), dir.Close())
}
