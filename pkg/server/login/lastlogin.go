package login

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// lastLoginFile is what a POP3 login leaves in the folder of its account: the address
// of the client, at the time of the file (docs/reference/services.md 2.8).
const lastLoginFile = ".ipconn"

// RecordPOP3 notes from where somebody has logged in to POP3.
func (c *Checker) RecordPOP3(u mailroot.User, ip netip.Addr) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("note the login of %s@%s: %w", u.Name, u.Domain, err)
		}
	}()
	dir, err := u.Path()
	if err != nil {
		return err
	}
	dir = c.root.Path(dir)
	text := ip.Unmap().WithZone("").String() + "\n"
	now := c.o.Clock()
	// Most come again from where they were, often every minute.
	name := filepath.Join(dir, lastLoginFile)
	if info, err := os.Lstat(name); err == nil && info.Mode().IsRegular() && info.Size() == int64(len(text)) {
		if before, err := os.ReadFile(name); err == nil && string(before) == text && os.Chtimes(name, now, now) == nil {
			return nil
		}
	}
	file, err := os.CreateTemp(dir, lastLoginFile+".*.new")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	_, err = file.WriteString(text)
	err = errors.Join(err, file.Close())
	if err != nil {
		return err
	}
	if err := errors.Join(os.Chmod(file.Name(), c.root.Modes().File&^0o022), os.Chtimes(file.Name(), now, now)); err != nil {
		return err
	}
	return os.Rename(file.Name(), name)
}

// PopBeforeSMTP reports whether somebody has logged in to POP3 as u from ip within
// life, so that mail of u may be sent from there. A disabled account sends nothing.
func (c *Checker) PopBeforeSMTP(u mailroot.User, ip netip.Addr, life time.Duration) bool {
	if u.IsList() {
		return false
	}
	if d, err := c.root.Disabled(u); err != nil || d.On {
		return false
	}
	dir, err := u.Path()
	if err != nil {
		return false
	}
	file, err := c.root.OpenFile(dir + "/" + lastLoginFile)
	if err != nil {
		return false
	}
	line, _ := bufio.NewReader(io.LimitReader(file, 256)).ReadString('\n')
	info, err := file.Stat()
	if errors.Join(err, file.Close()) != nil {
		return false
	}
	last, err := netip.ParseAddr(strings.TrimSpace(line))
	return err == nil && last.Unmap() == ip.Unmap().WithZone("") && !c.o.Clock().After(info.ModTime().Add(life))
}
