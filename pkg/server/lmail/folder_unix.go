//go:build unix

package lmail

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// facts returns whose a file is, its number, and how many names it has.
func facts(info fs.FileInfo) (uid uint32, inode, links uint64) {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Uid, uint64(stat.Ino), uint64(stat.Nlink)
	}
	return 0, 0, 1
}

// openPlain opens a file for reading. It follows no link and waits for nobody.
func openPlain(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}

// DropMode is that of a drop folder: everybody may put files there, nobody can see
// which there are, and only their owners and the server can remove them. They get its
// group, that of the server.
const DropMode = 0o1733 | 0o2000

// prepare makes the drop folder where it is missing, and returns why it cannot be
// used as it is.
func (m *Mailer) prepare(f *folder) error {
	info, err := os.Lstat(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.Mkdir(f.dir, 0o700); err != nil {
			return err
		}
		if err := syscall.Chmod(f.dir, DropMode); err != nil {
			// systemd's RestrictSUIDSGID forbids the bit of the group.
			if err := syscall.Chmod(f.dir, DropMode&^0o2000); err != nil {
				return err
			}
		}
		info, err = os.Lstat(f.dir)
	}
	if err != nil {
		return err
	}
	uid, _, _ := facts(info)
	switch mode := info.Mode(); {
	case !mode.IsDir():
		return errors.New("it is no folder")
	case int(uid) != os.Geteuid():
		return fmt.Errorf("it belongs to uid %d, not to the server's %d", uid, os.Geteuid())
	case mode.Perm()&0o022 != 0 && mode&fs.ModeSticky == 0:
		return errors.New("others could remove mail that is not theirs; its mode should be 3733")
	}
	return nil
}

// newBell makes the pipe by which programs say that they have put mail into a folder,
// and see that there is a server.
func newBell(dir string, shared bool) (*os.File, error) {
	path := filepath.Join(dir, bellName)
	mode := uint32(0o600)
	if shared {
		mode = 0o622
	}
	if info, err := os.Lstat(path); err == nil {
		if uid, _, _ := facts(info); info.Mode().Type() != fs.ModeNamedPipe || int(uid) != os.Geteuid() {
			if err := os.Remove(path); err != nil {
				return nil, err
			}
		}
	}
	if err := syscall.Mkfifo(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := syscall.Chmod(path, mode); err != nil { // whatever the umask
		return nil, err
	}
	// Open for writing as well, it never ends.
	return os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
}

// ringBell says that there is mail in a folder, and reports whether a server hears it.
func ringBell(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		return false
	}
	// An os.File would wait where the pipe is full.
	bell, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	if err != nil {
		return false // nobody has it open for reading
	}
	_, err = syscall.Write(bell, []byte{'\n'})
	return syscall.Close(bell) == nil && (err == nil || errors.Is(err, syscall.EAGAIN))
}

// ownerOf returns whose a folder is.
func ownerOf(info fs.FileInfo) (uid, gid int, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(stat.Uid), int(stat.Gid), true
}

func syncDir(dir *os.File) error { return dir.Sync() }
