package admin

import (
	"bufio"
	"context"
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

	Disabled mailroot.Disabled
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
	used, err := s.usage.Usage(ctx, dir)
	if ctx.Err() != nil {
		return st, translate(ctx.Err())
	}
	if err != nil {
		return st, refuse(CannotRead, "%s: %w", dir, cause(err))
	}
	st.Size, st.Messages = used.Bytes, used.Messages
	var known bool
	if st.LoginTime, st.LoginIP, known = s.lastLogin(path.Dir(dir)); !known {
		st.LoginTime, st.LoginIP = s.root.Now(), "0.0.0.0"
	}
	st.Disabled, err = s.root.Disabled(u)
	return st, translate(err)
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

// lastLogin reads what the POP3 server leaves in the folder of an account; known
// is false where there was no login.
func (s *Service) lastLogin(dir string) (when time.Time, ip string, known bool) {
	f, err := s.root.OpenFile(path.Join(dir, ".ipconn"))
	if err != nil {
		return time.Time{}, "", false
	}
	var info fs.FileInfo
	line, err := bufio.NewReader(io.LimitReader(f, 256)).ReadString('\n')
	if err == nil || err == io.EOF {
		info, err = f.Stat()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if ip = strings.TrimSpace(line); err != nil || ip == "" {
		return time.Time{}, "", false
	}
	return info.ModTime(), ip, true
}
