package auth

import (
	"errors"
	"strings"

	"github.com/emersion/go-sasl"
)

// CRAMMD5 is the name of that mechanism; [sasl.Plain] and [sasl.Login] are others.
const CRAMMD5 = "CRAM-MD5"

// ErrSyntax is returned by the servers of mechanisms for an answer that is none: the
// client is told 501, not 535.
var ErrSyntax = errors.New("the answer of the client cannot be read")

// NewLoginServer returns the server's side of LOGIN (draft-murchison-sasl-login): it
// asks for the name, unless an initial response has it, and for the password.
func NewLoginServer(authenticate func(name, password string) error) sasl.Server {
	return &loginServer{authenticate: authenticate}
}

type loginServer struct {
	authenticate func(name, password string) error
	name         string
	step         int
}

func (s *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch s.step {
	case 0:
		s.step = 1
		if len(response) == 0 { // not only absent: some clients send "="
			return []byte("Username:"), false, nil
		}
		fallthrough
	case 1:
		s.step, s.name = 2, string(response)
		if s.name == "" {
			s.step = 3
			return nil, false, ErrSyntax
		}
		return []byte("Password:"), false, nil
	case 2:
		s.step = 3
		if err := s.authenticate(s.name, string(response)); err != nil {
			return nil, false, err
		}
		return nil, true, nil
	}
	return nil, false, sasl.ErrUnexpectedClientResponse
}

// NewCRAMMD5Server returns the server's side of CRAM-MD5 (RFC 2195) with one
// challenge, which should be a fresh one of [Challenge]. An initial response, which
// the mechanism does not have, is not looked at.
func NewCRAMMD5Server(challenge string, authenticate func(name, challenge, digest string) error) sasl.Server {
	return &cramServer{challenge: challenge, authenticate: authenticate}
}

type cramServer struct {
	challenge    string
	authenticate func(name, challenge, digest string) error
	step         int
}

func (s *cramServer) Next(response []byte) (challenge []byte, done bool, err error) {
	s.step++
	switch s.step {
	case 1:
		return []byte(s.challenge), false, nil
	case 2:
		// Names may have blanks; digests have none.
		i := strings.LastIndexByte(string(response), ' ')
		if i <= 0 {
			return nil, false, ErrSyntax
		}
		if err := s.authenticate(string(response[:i]), s.challenge, string(response[i+1:])); err != nil {
			return nil, false, err
		}
		return nil, true, nil
	}
	return nil, false, sasl.ErrUnexpectedClientResponse
}
