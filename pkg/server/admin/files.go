package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// cleanPath returns a path relative to MailRoot. "/" alone and a "/" at the end
// are fine; any other leading "/", "\" and ".." are not.
func cleanPath(name string) (string, error) {
	trimmed := strings.TrimSuffix(name, "/")
	if strings.HasPrefix(trimmed, "/") || strings.Contains(name, "..") || strings.Contains(name, `\`) {
		return "", refuse(BadPath, "path %s leaves MailRoot: it has a leading /, a \\ or ..", quote(name))
	}
	if err := checkValues("the path", name); err != nil {
		return "", err
	}
	return path.Clean(trimmed), nil
}

// openPath is cleanPath without the server's own files.
func openPath(name string) (string, error) {
	clean, err := cleanPath(name)
	if err == nil && mailroot.Internal(clean) {
		err = refuse(Forbidden, "%s is the server's own", clean)
	}
	return clean, err
}

// A FileInfo is an entry of a list of files.
type FileInfo struct {
	Name string
	Size int64
}

// Files returns the files, not folders, in a folder whose names match the
// pattern, whose case matters; sorted by name. The server's own files are not
// among them.
func (s *Service) Files(_ context.Context, dir, pattern string) (iter.Seq[FileInfo], error) {
	clean, err := cleanPath(dir)
	if err != nil {
		return nil, err
	}
	names, err := s.root.ReadDir(clean)
	if err != nil {
		return nil, refuse(NoFolder, "folder %s: %w", quote(dir), cause(err))
	}
	slices.Sort(names)
	return func(yield func(FileInfo) bool) {
		for _, name := range names {
			file := path.Join(clean, name)
			if !tabfile.MatchCase(pattern, name) || mailroot.Internal(file) {
				continue
			}
			info, err := s.root.Stat(file)
			if err != nil || info.IsDir() {
				continue // gone, or a link that leads nowhere
			}
			if !yield(FileInfo{Name: name, Size: info.Size()}) {
				return
			}
		}
	}, nil
}

// cause returns what is wrong without the operating system's name of the file.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// File opens a file below MailRoot. Tables have every acknowledged change. Of a
// folder nothing is read. rights are those of the administrator who asks.
func (s *Service) File(_ context.Context, name string, rights mailroot.Rights) (io.ReadCloser, error) {
	clean, err := openPath(name)
	if err != nil {
		return nil, err
	}
	info, err := s.root.Stat(clean)
	if errors.Is(err, fs.ErrNotExist) && mailroot.IsTable(clean) {
		err = nil // a table whose first rows are on their way
	}
	if err != nil {
		return nil, refuse(CannotRead, "%s: %w", clean, cause(err))
	}
	if info != nil && info.IsDir() {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	if err := s.checkRead(clean, rights); err != nil {
		return nil, err
	}
	return s.open(clean)
}

// open opens a file for reading, as it is after every acknowledged change.
func (s *Service) open(name string) (io.ReadCloser, error) {
	if mailroot.IsTable(name) {
		content, err := s.root.Store.ReadFile(name)
		if err != nil {
			return nil, refuse(CannotRead, "%s: %w", name, cause(err))
		}
		return io.NopCloser(bytes.NewReader(content)), nil
	}
	f, err := s.root.OpenFile(name)
	if err != nil {
		return nil, refuse(CannotRead, "%s: %w", name, cause(err))
	}
	return f, nil
}

// isSecret reports whether a file holds keys or passwords, also a copy that people
// have made of one, such as mailusers.tab.bak. Some file systems do not tell cases
// apart, so it does not either.
func isSecret(name string) bool {
	dir, base := path.Split(tabfile.Fold(name))
	return strings.HasSuffix(base, ".key") || strings.HasPrefix(dir, "userauth/smtp/") ||
		slices.ContainsFunc(secretTables, func(table string) bool { return strings.Contains(base, table) })
}

var secretTables = []string{mailroot.UsersTab, mailroot.AccountsTab, mailroot.LinksTab, mailroot.SMTPAuthTab}

// CheckSetFile returns why SetFile would refuse the file whatever its content.
func (s *Service) CheckSetFile(_ context.Context, name string) error {
	clean, err := openPath(name)
	if err == nil {
		err = checkAppendOnly(clean)
	}
	return err
}

// SetFile makes content the whole of a file below MailRoot, and removes the
// file where content is empty. A table that would not load is refused, and what
// would leave no domain, account or administrator.
func (s *Service) SetFile(ctx context.Context, name string, content []byte) error {
	return s.setFile(ctx, name, content, func(*mailroot.Tx, string) error { return nil })
}

// setFile is SetFile where nothing speaks against it in the transaction.
func (s *Service) setFile(ctx context.Context, name string, content []byte, against func(tx *mailroot.Tx, name string) error) error {
	clean, err := openPath(name)
	if err != nil {
		return err
	}
	if err := checkAppendOnly(clean); err != nil {
		return err
	}
	if clean == "." {
		return refuse(CannotCreate, "MailRoot itself is a folder")
	}
	return s.update(ctx, func(tx *mailroot.Tx) error {
		if tx.IsDir(clean) {
			return refuse(CannotCreate, "%s is a folder", clean)
		}
		if err := against(tx, clean); err != nil {
			return err
		}
		return writeFile(tx, clean, content)
	})
}
