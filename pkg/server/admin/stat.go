package admin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// A UserStat is the state of an account's mailbox.
type UserStat struct {
	Address   string // the account's own, user@domain
	Size      int64  // bytes
	Messages  int
	LoginTime time.Time // of the last POP3 login; now, where there was none
	LoginIP   string    // and where it came from; 0.0.0.0
}

// UserStat returns the state of the account that gets the mail of an address.
func (s *Service) UserStat(ctx context.Context, domain, name string) (UserStat, error) {
	u, ok := s.tables().Resolve(domain, name)
	if !ok {
		return UserStat{}, noUser(s.tables(), domain, name)
	}
	st := UserStat{Address: u.Name + "@" + u.Domain}
	dir, err := s.mailbox(u)
	if err != nil {
		return st, err
	}
	if err := s.measure(ctx, dir, &st); err != nil {
		return st, err
	}
	st.LoginTime, st.LoginIP = s.lastLogin(path.Dir(dir))
	return st, nil
}

// mailbox returns the folder of an account's mailbox, of whichever kind it is.
func (s *Service) mailbox(u mailroot.User) (string, error) {
	dir, err := u.Path()
	if err != nil || u.IsList() {
		return "", refuse(NoMailbox, "%s@%s has no mailbox", u.Name, u.Domain)
	}
	other := plainDir
	if s.opts.Plain {
		other = maildirDir
	}
	for _, name := range []string{s.mailboxDir(), other} {
		if info, err := s.root.Stat(path.Join(dir, name)); err == nil && info.IsDir() {
			return path.Join(dir, name), nil
		}
	}
	return "", refuse(NoMailbox, "%s@%s has no mailbox", u.Name, u.Domain)
}

// measure adds up the files below a folder whose names do not begin with a dot.
// Files that vanish meanwhile do not count; links are not followed.
func (s *Service) measure(ctx context.Context, dir string, st *UserStat) error {
	if err := ctx.Err(); err != nil {
		return translate(err)
	}
	names, err := s.root.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return refuse(CannotRead, "%s: %w", dir, cause(err))
	}
	for _, name := range names {
		file := path.Join(dir, name)
		info, err := s.root.Lstat(file)
		switch {
		case err != nil:
		case info.IsDir():
			if err := s.measure(ctx, file, st); err != nil {
				return err
			}
		case info.Mode().IsRegular() && !strings.HasPrefix(name, "."):
			st.Size += info.Size()
			st.Messages++
		}
	}
	return nil
}

// lastLogin reads what the POP3 server leaves in the folder of an account.
func (s *Service) lastLogin(dir string) (time.Time, string) {
	const never = "0.0.0.0"
	f, err := s.root.OpenFile(path.Join(dir, ".ipconn"))
	if err != nil {
		return s.root.Now(), never
	}
	var info fs.FileInfo
	line, err := bufio.NewReader(io.LimitReader(f, 256)).ReadString('\n')
	if err == nil || err == io.EOF {
		info, err = f.Stat()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	ip := strings.TrimSpace(line)
	if err != nil || ip == "" {
		return s.root.Now(), never
	}
	return info.ModTime(), ip
}
