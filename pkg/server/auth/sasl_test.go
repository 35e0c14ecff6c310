package auth

import (
	"errors"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
)

// The example of RFC 2195, section 2.
func TestCRAMMD5KnownAnswer(t *testing.T) {
	const challenge, want = "<1896.697170952@postoffice.reston.mci.net>", "b913a602c7eda7a495b4e6e7334d3890"
	if got := CRAM(challenge, "tanstaaftanstaaf"); got != want {
		t.Errorf("CRAM = %s, want %s", got, want)
	}
	p := reversible("tanstaaftanstaaf")
	if !VerifyCRAM(p, challenge, want) || !VerifyCRAM(p, challenge, strings.ToUpper(want)) {
		t.Error("the right digest was refused")
	}
	hashed := NobodyOf(Argon2id).(nobody).like
	if VerifyCRAM(p, challenge+"x", want) || VerifyCRAM(p, "", CRAM("", "tanstaaftanstaaf")) ||
		VerifyCRAM(reversible(""), challenge, CRAM(challenge, "")) || VerifyCRAM(hashed, challenge, CRAM(challenge, "")) {
		t.Error("a digest was accepted that is none")
	}
}

// The example of RFC 1939, section 7.
func TestAPOPKnownAnswer(t *testing.T) {
	const challenge, want = "<1896.697170952@dbc.mtview.ca.us>", "c4c9334bac560ecc979e58001b3e22fb"
	if got := Digest(challenge, "tanstaaf"); got != want {
		t.Errorf("Digest = %s, want %s", got, want)
	}
}

func TestChallengesDiffer(t *testing.T) {
	a, b := Challenge("mx.example.org"), Challenge("mx.example.org")
	if a == b || !strings.HasSuffix(a, "@mx.example.org>") || len(a) < 40 {
		t.Errorf("challenges %s and %s", a, b)
	}
}

var errWrong = errors.New("wrong")

// converse gives a server the answers of a client and returns what it asked, with the
// error at the end. A nil answer is the absent initial response.
func converse(s sasl.Server, answers ...[]byte) (asked []string, done bool, err error) {
	for _, a := range answers {
		var challenge []byte
		if challenge, done, err = s.Next(a); err != nil || done {
			return asked, done, err
		}
		asked = append(asked, string(challenge))
	}
	return asked, done, err
}

func TestLoginServer(t *testing.T) {
	for _, c := range []struct {
		answers []string // "-" is an absent initial response
		asked   string
		done    bool
		err     error
	}{
		{[]string{"-", "ann@example.org", "pw"}, "Username:,Password:", true, nil},
		{[]string{"ann@example.org", "pw"}, "Password:", true, nil},
		{[]string{"", "ann@example.org", "pw"}, "Username:,Password:", true, nil},
		{[]string{"-", "ann@example.org", "no"}, "Username:,Password:", false, errWrong},
		{[]string{"ann@example.org", ""}, "Password:", false, errWrong},
		{[]string{"-", "", "pw"}, "Username:", false, ErrSyntax},
	} {
		s := NewLoginServer(func(name, password string) error {
			if name == "ann@example.org" && password == "pw" {
				return nil
			}
			return errWrong
		})
		var answers [][]byte
		for _, a := range c.answers {
			if a == "-" {
				answers = append(answers, nil)
			} else {
				answers = append(answers, append([]byte{}, a...))
			}
		}
		asked, done, err := converse(s, answers...)
		if strings.Join(asked, ",") != c.asked || done != c.done || !errors.Is(err, c.err) {
			t.Errorf("%q: asked %q, done %v, %v; want %s, %v, %v", c.answers, asked, done, err, c.asked, c.done, c.err)
		}
		if c.done || err != nil {
			if _, _, err := s.Next([]byte("more")); !errors.Is(err, sasl.ErrUnexpectedClientResponse) {
				t.Errorf("%q: what comes after the end is answered %v", c.answers, err)
			}
		}
	}
}

func TestCRAMMD5Server(t *testing.T) {
	var got string
	serve := func(answers ...[]byte) ([]string, bool, error) {
		return converse(NewCRAMMD5Server("<1@x>", func(name, challenge, digest string) error {
			got = name + "|" + challenge + "|" + digest
			if digest != "good" {
				return errWrong
			}
			return nil
		}), answers...)
	}
	for _, first := range [][]byte{nil, []byte("ignored")} {
		asked, done, err := serve(first, []byte("ann smith@example.org good"))
		if strings.Join(asked, ",") != "<1@x>" || !done || err != nil || got != "ann smith@example.org|<1@x>|good" {
			t.Errorf("asked %q, done %v, %v, given %s", asked, done, err, got)
		}
	}
	if _, _, err := serve(nil, []byte("ann bad")); !errors.Is(err, errWrong) {
		t.Errorf("a wrong digest gave %v", err)
	}
	for _, answer := range []string{"", "ann", " digest", "*"} {
		if _, _, err := serve(nil, []byte(answer)); !errors.Is(err, ErrSyntax) {
			t.Errorf("answer %q gave %v, want %v", answer, err, ErrSyntax)
		}
	}
}
