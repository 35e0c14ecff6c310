package admin

import (
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

func checkCustomPath(domain string) error {
	if strings.Contains(domain, "..") || strings.ContainsAny(domain, `/\`) {
		return refuse(BadPath, "custom domain %s leaves its folder", quote(domain))
	}
	return checkValues("the domain", domain)
}

// CustomDomain opens the file of commands that applies to a domain: its own, or
// that of a domain above it, or the one for all.
func (s *Service) CustomDomain(_ context.Context, domain string) (io.ReadCloser, error) {
	domain = tabfile.Fold(domain)
	if err := checkCustomPath(domain); err != nil {
		return nil, err
	}
	file, err := s.root.CustomDomain(domain)
	switch {
	case err != nil:
		return nil, refuse(CannotRead, "custom domain %s: %w", quote(domain), cause(err))
	case file == "":
		return nil, refuse(NoCustomDomain, "no custom domain applies to %s", quote(domain))
	}
	return s.open(file)
}

// CheckSetCustomDomain returns why SetCustomDomain would refuse the domain.
func (s *Service) CheckSetCustomDomain(_ context.Context, domain string) error {
	domain = tabfile.Fold(domain)
	if err := checkCustomPath(domain); err != nil {
		return err
	}
	if domain == "." {
		return nil
	}
	plain := strings.TrimPrefix(domain, ".")
	if err := checkHostSyntax(plain); err != nil {
		return err
	}
	return checkDomainName(plain)
}

// SetCustomDomain makes content the commands of a custom domain, which may begin
// with a dot or be a dot, and removes the custom domain where content is empty.
func (s *Service) SetCustomDomain(ctx context.Context, domain string, content []byte) error {
	if err := s.CheckSetCustomDomain(ctx, domain); err != nil {
		return err
	}
	return s.update(ctx, func(tx *mailroot.Tx) error {
		return writeFile(tx, mailroot.CustomDomainFile(tabfile.Fold(domain)), content)
	})
}

// CustomDomains returns the names of the custom domains, sorted. The one for
// all is empty.
func (s *Service) CustomDomains() (iter.Seq[string], error) {
	names, err := s.root.ReadDir(mailroot.CustomDomainDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, refuse(CannotRead, "%s: %w", mailroot.CustomDomainDir, cause(err))
	}
	slices.Sort(names)
	return func(yield func(string) bool) {
		for _, name := range names {
			info, err := s.root.Stat(path.Join(mailroot.CustomDomainDir, name))
			if err != nil || info.IsDir() {
				continue
			}
			if !yield(strings.TrimSuffix(name, path.Ext(name))) {
				return
			}
		}
	}, nil
}

// MailProc says which mail processing files are meant.
type MailProc struct{ User, Domain bool }

// ParseMailProc reads the flags of the control commands: U for the account's
// file, D for its domain's, in either case.
func ParseMailProc(flags string) (MailProc, error) {
	var m MailProc
	for _, c := range []byte(flags) {
		switch c {
		case 'U', 'u':
			m.User = true
		case 'D', 'd':
			m.Domain = true
		default:
			return m, refuse(Invalid, "flags %s are not made of U and D", quote(flags))
		}
	}
	if flags == "" {
		return m, refuse(Invalid, "the flags are empty: U, D or both are needed")
	}
	return m, nil
}

// MailProcFiles opens the mail processing files of an account, its domain's
// before its own, those that there are.
func (s *Service) MailProcFiles(_ context.Context, domain, name, flags string) ([]io.ReadCloser, error) {
	u, err := requireAccount(s.tables(), domain, name)
	if err != nil {
		return nil, err
	}
	which, err := ParseMailProc(flags)
	if err != nil {
		return nil, err
	}
	var files []io.ReadCloser
	for _, part := range []struct {
		wanted bool
		file   func(mailroot.User) (string, error)
	}{{which.Domain, domainMailProc}, {which.User, userMailProc}} {
		if !part.wanted {
			continue
		}
		file, err := part.file(u)
		if err != nil {
			continue // no folder, no file
		}
		if _, err := s.root.Stat(file); err != nil {
			continue
		}
		f, err := s.open(file)
		if err != nil {
			for _, other := range files {
				other.Close() // it was only read
			}
			return nil, err
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, refuse(NoMailProc, "user %s of domain %s has no such mail processing file", quote(name), quote(domain))
	}
	return files, nil
}

func domainMailProc(u mailroot.User) (string, error) {
	dir, err := mailroot.DomainDir(u.Domain)
	return path.Join(dir, mailroot.MailProcTab), err
}

func userMailProc(u mailroot.User) (string, error) {
	dir, err := u.Path()
	return path.Join(dir, mailroot.MailProcTab), err
}

// CheckSetMailProc returns why SetMailProc would refuse whatever the content.
func (s *Service) CheckSetMailProc(_ context.Context, domain, name, flag string) error {
	_, err := mailProcFile(s.tables(), domain, name, flag)
	return err
}

// SetMailProc makes content the mail processing of an account (flag U) or of
// its domain (D), and removes the file where content is empty.
func (s *Service) SetMailProc(ctx context.Context, domain, name, flag string, content []byte) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		file, err := mailProcFile(tx.Tables, domain, name, flag)
		if err != nil {
			return err
		}
		if err := s.checkMailProc(tx, file, content); err != nil {
			return err
		}
		return writeFile(tx, file, content)
	})
}

func mailProcFile(t mailroot.Tables, domain, name, flag string) (string, error) {
	u, err := requireAccount(t, domain, name)
	if err != nil {
		return "", err
	}
	which, err := ParseMailProc(flag)
	if err != nil {
		return "", err
	}
	if which.User && which.Domain {
		return "", refuse(Invalid, "flag %s is neither U nor D", quote(flag))
	}
	file := userMailProc
	if which.Domain {
		file = domainMailProc
	}
	path, err := file(u)
	if err != nil {
		return "", refuse(CannotCreate, "%w", err)
	}
	return path, nil
}
