package mailroot

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// CustomDomainDir has a file of commands for each domain that is processed, not
// handled. A name that begins with a dot stands for all domains that end so, and
// one that is empty for all: the catch-all.
const CustomDomainDir = "custdomains"

// CustomDomainFile returns the file of commands of a custom domain, as it would
// be written; "." is the catch-all.
func CustomDomainFile(domain string) string {
	if domain == "." {
		domain = ""
	}
	return path.Join(CustomDomainDir, domain+".tab")
}

// CatchAll reports whether a file of commands is that for all domains.
func CatchAll(file string) bool { return file == CustomDomainFile(".") }

// CustomDomain returns the file of commands that applies to a domain: its own, or
// that of the nearest domain above it, or the one for all
// (docs/reference/delivery.md 2.4); empty where there is none. Whether the domain
// is handled here, and so not custom, is not asked.
func (r *Root) CustomDomain(domain string) (string, error) {
	domain = tabfile.Fold(domain)
	if strings.Contains(domain, "..") || strings.ContainsAny(domain, "/\\\x00") {
		return "", nil
	}
	for name := domain; ; {
		file := CustomDomainFile(name)
		switch there, err := r.isFile(file); {
		case err != nil:
			return "", err
		case there:
			return file, nil
		case name == "" || name == ".":
			return "", nil
		}
		rest := strings.TrimPrefix(name, ".")
		if dot := strings.IndexByte(rest, '.'); dot >= 0 {
			name = rest[dot:]
		} else {
			name = ""
		}
	}
}

// CommandAlias returns the file of commands of a command alias, empty where there
// is none of that name. The domain is a real one.
func (r *Root) CommandAlias(domain, name string) (string, error) {
	dir, err := CommandAliasDir(domain)
	name = tabfile.Fold(name) + ".tab"
	if err != nil || !IsComponent(name) {
		return "", nil // no file can have this name
	}
	file := path.Join(dir, name)
	there, err := r.isFile(file)
	if !there {
		file = ""
	}
	return file, err
}

// isFile reports whether there is a file. A name that is too long for one is none.
func (r *Root) isFile(name string) (bool, error) {
	if !IsComponent(path.Base(name)) {
		return false, nil
	}
	info, err := r.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return false, nil
	}
	return err == nil && info.Mode().IsRegular(), err
}
