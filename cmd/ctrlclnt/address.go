package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// An address is a server as it stands after -s.
type address struct {
	host string
	port int // 0: none given
}

// String returns the form that package net dials.
func (a address) String() string { return net.JoinHostPort(a.host, strconv.Itoa(a.port)) }

// parseAddress reads host, host:port, host;port, host|port, [v6], [v6]:port
// and a bare IPv6 literal.
func parseAddress(s string) (address, error) {
	host, port := s, ""
	hasPort := false
	if i := strings.LastIndexAny(s, ";|"); i >= 0 {
		host, port, hasPort = s[:i], s[i+1:], true
	} else if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return address{}, fmt.Errorf("%q has no closing bracket", s)
		}
		host = s[:end+1]
		if rest := s[end+1:]; rest != "" {
			if rest[0] != ':' {
				return address{}, fmt.Errorf("%q: %q after the bracket is no port", s, rest)
			}
			port, hasPort = rest[1:], true
		}
	} else if _, err := netip.ParseAddr(s); err != nil {
		if i := strings.LastIndexByte(s, ':'); i >= 0 {
			host, port, hasPort = s[:i], s[i+1:], true
		}
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if _, err := netip.ParseAddr(inner); !ok || err != nil {
			return address{}, fmt.Errorf("%q is no address in brackets", host)
		}
		host = inner
	}
	if host == "" {
		return address{}, errors.New("the name of the server is empty")
	}
	if strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return address{}, fmt.Errorf("%q is no server name", host)
	}
	a := address{host: host}
	if hasPort {
		n, err := parsePort(port)
		if err != nil {
			return address{}, fmt.Errorf("%q: %w", s, err)
		}
		a.port = n
	}
	return a, nil
}

func parsePort(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return 0, fmt.Errorf("%q is no port from 1 to 65535", s)
	}
	return n, nil
}
