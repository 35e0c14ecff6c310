package ctrld_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// randomCommands are commands on a few names, so that many depend on those before them.
func randomCommands(rng *rand.Rand, count int) [][]string {
	const domain = "xmailserver.test"
	all := make([][]string, count)
	for i := range all {
		user, alias := fmt.Sprint("u", rng.IntN(6)), fmt.Sprint("a", rng.IntN(6))
		address := fmt.Sprint("10.1.0.", rng.IntN(6))
		choices := [][]string{
			{"useradd", domain, user, "first", "U"}, {"useradd", domain, user, "first", "U"}, {"userdel", domain, user},
			{"userpasswd", domain, user, "second"}, {"userauth", domain, user, "second"}, {"useradd", domain, alias, "first", "U"},
			{"aliasadd", domain, alias, user}, {"aliasdel", domain, alias}, {"aliasadd", domain, user, user},
			{"relayadd", address}, {"relaydel", address}, {"spammeradd", address}, {"spammerdel", address},
			{"useradd", "none.test", user, "first", "U"}, {"useradd", domain, "bad/name", "first", "U"}, {"useradd", domain},
			{"userlist", domain, user}, {"noop"},
		}
		all[i] = choices[rng.IntN(len(choices))]
	}
	return all
}

// TestPipelinedCommandsDoWhatTheyDoOneByOne sends the same commands to two servers, to
// one without waiting for the replies.
func TestPipelinedCommandsDoWhatTheyDoOneByOne(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for _, scheme := range []string{"reversible", "bcrypt"} {
		count := 1000
		if scheme == "bcrypt" {
			count = 60
		}
		all := randomCommands(rand.New(rand.NewPCG(seed, 1)), count)
		one, many := servertest.Start(t, servertest.Var("PasswordScheme", scheme)), servertest.Start(t, servertest.Var("PasswordScheme", scheme))
		c := one.Dial(t)
		var wanted []string
		for _, args := range all {
			code, lines := do(t, c, args...)
			if code == ctrl.StatusList.String() {
				code = strings.Join(append([]string{code}, lines...), " ")
			}
			wanted = append(wanted, code)
		}
		got := pipelined(t, many.Dial(t), all)
		for i := range all {
			if wanted[i] != got[i] {
				t.Fatalf("%s: command %d, %q, was answered %s where it was sent alone, and %s among others", scheme, i, all[i], wanted[i], got[i])
			}
		}
		for _, list := range []string{"userlist", "aliaslist", "relaylist", "spammerlist"} {
			_, a := do(t, c, list)
			_, b := do(t, many.Dial(t), list)
			if d := cmp.Diff(a, b); d != "" {
				t.Errorf("%s: %s after commands one by one (-) and pipelined (+):\n%s", scheme, list, d)
			}
		}
	}
}

// pipelined sends commands without waiting for the replies, and returns those.
func pipelined(t *testing.T, c *ctrl.Client, all [][]string) []string {
	t.Helper()
	p := c.Pipeline(t.Context())
	defer p.Stop()
	var got []string
	receive := func() {
		r, err := p.Receive()
		if refused := (*ctrl.Error)(nil); errors.As(err, &refused) {
			got = append(got, refused.Code.String())
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", all[len(got)], err)
		}
		answer := r.Status.String()
		if r.Status == ctrl.StatusList {
			for line, err := range r.Lines() {
				if err != nil {
					t.Fatal(err)
				}
				answer += " " + line
			}
		}
		got = append(got, answer)
	}
	for _, args := range all {
		for p.Full() {
			receive()
		}
		if err := p.Send(args...); err != nil {
			t.Fatal(err)
		}
	}
	for p.Len() > 0 {
		receive()
	}
	return got
}
