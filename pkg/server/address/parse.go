package address

import (
	"errors"
	"strings"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// Why a path is none. The texts repeat nothing of it, and may be sent.
var (
	ErrNoPath  = errors.New("an address in angle brackets is needed")
	ErrOpen    = errors.New("the closing angle bracket is missing")
	ErrTrailer = errors.New("a blank is needed after the closing angle bracket")
	ErrLocal   = errors.New("the part before the @ is malformed")
	ErrDomain  = errors.New("the domain is malformed")
	ErrNoAt    = errors.New("the address has no domain")
	ErrRoute   = errors.New("the source route is malformed")
	ErrLong    = errors.New("the address is too long")
)

// postmaster is the name that needs no domain (RFC 5321 4.1.1.3).
const postmaster = "postmaster"

// ParsePath reads what follows MAIL FROM: or RCPT TO:, a path in angle brackets,
// and returns the parameters after it without the blanks before them. Blanks
// before the path are let pass. The error is one of this package.
func ParsePath(s string) (p Path, rest string, err error) {
	s = strings.TrimLeft(s, " ")
	if !strings.HasPrefix(s, "<") {
		return Path{}, "", ErrNoPath
	}
	end := closing(s)
	if end < 0 {
		return Path{}, "", ErrOpen
	}
	rest = s[end+1:]
	if rest != "" && rest[0] != ' ' {
		return Path{}, "", ErrTrailer
	}
	p, err = parseInner(s[1:end])
	if err != nil {
		return Path{}, "", err
	}
	return p, strings.TrimLeft(rest, " "), nil
}

// Parse reads an address without brackets: local@domain, and nothing else. The
// error is one of this package.
func Parse(s string) (Path, error) {
	switch {
	case len(s) > MaxPath:
		return Path{}, ErrLong
	case strings.HasPrefix(s, "@"):
		return Path{}, ErrLocal
	}
	return parseAddress(s)
}

// closing returns where the path ends that s begins with, which is not within
// quotes; -1 if nowhere.
func closing(s string) int {
	quoted := false
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && c == '>':
			return i
		}
	}
	return -1
}

func parseInner(s string) (Path, error) {
	switch {
	case s == "":
		return Path{}, nil
	case len(s) > MaxPath:
		return Path{}, ErrLong
	case tabfile.EqualFold(s, postmaster):
		return Path{Local: s}, nil
	}
	route, s, err := cutRoute(s)
	if err != nil {
		return Path{}, err
	}
	p, err := parseAddress(s)
	p.Route = route
	return p, err
}

// cutRoute takes the hosts of @a,@b:user@c off.
func cutRoute(s string) (route []string, rest string, err error) {
	if s[0] != '@' {
		return nil, s, nil
	}
	for strings.HasPrefix(s, "@") {
		// A literal of IPv6 has colons of its own.
		end := strings.IndexAny(s, ",:")
		if strings.HasPrefix(s, "@[") {
			end = strings.IndexByte(s, ']') + 1
		}
		if end <= 0 || end >= len(s) || !IsHost(s[1:end]) {
			return nil, "", ErrRoute
		}
		route = append(route, s[1:end])
		last := s[end] == ':'
		if !last && s[end] != ',' {
			return nil, "", ErrRoute
		}
		s = s[end+1:]
		if last {
			return route, s, nil
		}
	}
	return nil, "", ErrRoute
}

// parseAddress reads local@domain.
func parseAddress(s string) (Path, error) {
	var p Path
	if strings.HasPrefix(s, `"`) {
		local, rest, err := unquote(s)
		if err != nil {
			return Path{}, err
		}
		if rest == "" {
			return Path{}, ErrNoAt
		}
		if rest[0] != '@' {
			return Path{}, ErrLocal
		}
		p = Path{Local: local, Domain: rest[1:]}
	} else {
		local, domain, ok := strings.Cut(s, "@")
		switch {
		case !isDotAtom(local):
			return Path{}, ErrLocal
		case !ok:
			return Path{}, ErrNoAt
		}
		p = Path{Local: local, Domain: domain}
	}
	switch {
	case len(p.Local) > MaxLocal || len(p.Domain) > MaxDomain:
		return Path{}, ErrLong
	case !IsHost(p.Domain):
		return Path{}, ErrDomain
	}
	return p, nil
}

// unquote reads the quoted string that s begins with.
func unquote(s string) (local, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"':
			if !isText(b.String()) {
				return "", "", ErrLocal
			}
			return b.String(), s[i+1:], nil
		case c == '\\' && i+1 < len(s):
			i++
			c = s[i]
		}
		b.WriteByte(c)
	}
	return "", "", ErrLocal
}
