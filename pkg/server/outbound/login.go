package outbound

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-sasl"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// loginDir has a table for each host, or for all hosts whose names end so, with the
// login there: method, user, password in clear (docs/reference/tables.md 3.12).
const loginDir = "userauth/smtp/"

// A login is what a table of userauth/smtp says.
type login struct {
	file           string
	method         string // PLAIN, LOGIN or CRAM-MD5
	user, password string
}

// findLogin returns the login at a host: that of the file with its name, or with the
// longest end of it. Nil: there is none.
func (s *Sender) findLogin(h Host) (*login, error) {
	for _, name := range loginNames(h) {
		file := loginDir + name + ".tab"
		if !mailroot.IsComponent(name + ".tab") {
			continue // too long for a file
		}
		view, err := s.root.Store.File(file, mailroot.SchemaFor(file))
		if err != nil {
			return nil, temporary("4.3.5", "the login at %s cannot be read from %s", h.Name, file)
		}
		if !view.Exists() {
			continue
		}
		for row := range view.Rows() {
			f := row.Fields()
			l := &login{file: file, method: strings.ToUpper(f[0]), user: f[1], password: f[2]}
			switch l.method {
			case sasl.Plain, sasl.Login, cramMD5:
				return l, nil
			}
			return nil, temporary("4.3.5", "%s: the method %q is none of PLAIN, LOGIN and CRAM-MD5", file, f[0])
		}
		return nil, temporary("4.3.5", "%s has no login: method, user and password are needed", file)
	}
	return nil, nil
}

// loginNames returns the names of the files for a host, the first of which counts.
func loginNames(h Host) []string {
	host := tabfile.Fold(h.Name)
	if h.Addr.IsValid() {
		return []string{strings.ReplaceAll(host, ":", "_"), host} // some file systems have no colons
	}
	if !address.IsDomain(host) {
		return nil
	}
	names := []string{host}
	for {
		_, rest, ok := strings.Cut(names[len(names)-1], ".")
		if !ok {
			return names
		}
		names = append(names, rest)
	}
}

// key tells logins apart, and does not give them away.
func (l *login) key() string {
	if l == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(l.file + "\x00" + l.method + "\x00" + l.user + "\x00" + l.password))
	return hex.EncodeToString(sum[:])
}

// logIn logs in, if there is a login for the host.
func (s *Sender) logIn(c *conn, t target, l *login, fellBack bool) error {
	if l == nil {
		return nil
	}
	if !c.hello.has("AUTH") {
		return temporary("4.7.0", "host %s does not offer AUTH, which %s asks for", t.Name, l.file)
	}
	if offered := strings.Fields(strings.ToUpper(c.hello["AUTH"])); !contains(offered, l.method) {
		return temporary("4.7.0", "host %s does not offer AUTH %s, which %s asks for, but %s", t.Name, l.method, l.file, strings.Join(offered, " "))
	}
	// A password in clear goes to a host that never had TLS, where level 0 or NeedTLS=0
	// let it; never where somebody may have broken the TLS.
	if l.method != cramMD5 && c.tls == "" && !t.addr.Addr().IsLoopback() {
		if fellBack || t.TLS != TLSNever && (c.hello.has("STARTTLS") || s.root.Vars().CompatLevel() >= 1) {
			return temporary("4.7.11", "the password of %s is not sent to host %s without TLS", l.file, t.Name)
		}
	}
	c.step()
	if err := c.client.Auth(l.client()); err != nil {
		f := judge(err)
		f.text = fmt.Sprintf("host %s refuses the login of %s: %s", t.Name, l.file, l.redact(f.text))
		return f
	}
	return nil
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}

// redact takes the password out of a reply, should the host repeat it.
func (l *login) redact(text string) string {
	plain := "\x00" + l.user + "\x00" + l.password
	for _, secret := range []string{base64.StdEncoding.EncodeToString([]byte(plain)), base64.StdEncoding.EncodeToString([]byte(l.password)), l.password} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "*")
		}
	}
	return text
}

const cramMD5 = "CRAM-MD5"

func (l *login) client() sasl.Client {
	switch l.method {
	case cramMD5:
		return &steps{method: cramMD5, answers: []func(string) string{
			func(challenge string) string { return l.user + " " + auth.CRAM(challenge, l.password) },
		}}
	case sasl.Login:
		// Not all servers take the name with the command, or ask in the same words.
		return &steps{method: sasl.Login, answers: []func(string) string{
			func(string) string { return l.user }, func(string) string { return l.password },
		}}
	}
	return sasl.NewPlainClient("", l.user, l.password)
}

// steps answers one challenge after the other.
type steps struct {
	method  string
	answers []func(challenge string) string
}

func (s *steps) Start() (string, []byte, error) { return s.method, nil, nil }

func (s *steps) Next(challenge []byte) ([]byte, error) {
	if len(s.answers) == 0 {
		return nil, errors.New("the host asks for more than the method has")
	}
	answer := s.answers[0]
	s.answers = s.answers[1:]
	return []byte(answer(string(challenge))), nil
}
