package admin

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A waitingQueue has recipients that wait, and tells which of them were tried again.
type waitingQueue struct {
	idle
	recipients []string
	tried      []string
}

func (q *waitingQueue) Retry(match func(string) bool) int {
	for _, r := range q.recipients {
		if match(r) {
			q.tried = append(q.tried, r)
		}
	}
	return len(q.tried)
}

func TestFlushGoesByTheDomainOrTheWholeAddress(t *testing.T) {
	all := []string{"ann@x.test", `"a@y"@x.test`, "@relay.test:bob@x.test", "ann@y.test"}
	for pattern, want := range map[string][]string{
		"x.test":          all[:3],
		"X.*":             all[:3],
		"y":               nil,
		"ann@*":           {all[0], all[3]},
		"*@x.test":        all[:3],
		"relay.test":      nil,
		"@relay.test:*@*": {all[2]},
	} {
		f := start(t, nil)
		q := &waitingQueue{recipients: all}
		f.stop()
		f.open(Options{Queue: q})
		if err := f.Flush(t.Context(), pattern); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(q.tried, want) {
			t.Errorf("%s: tried %q, want %q", pattern, q.tried, want)
		}
	}
}

// spoolFile is a frozen message as the reference has it.
func spoolFile(from, to string) string {
	return "[192.0.2.7]:1;[127.0.0.1]:25;Tue, 14 Nov 2023 22:13:20 +0100\r\nx.test\r\nS1\r\nMAIL FROM:<" + from + ">\r\nRCPT TO:<" + to +
		">\r\n<<MAIL-DATA>>\r\nSubject: x\r\n\r\n"
}

func TestFrozenMessagesAreFiltered(t *testing.T) {
	f := start(t, nil)
	now := time.Now()
	peek := func(ago time.Duration) string {
		return fmt.Sprintf("[PeekTime] %d : x\n", now.Add(-ago).Unix())
	}
	f.put("spool/0/0/froz/old", spoolFile("ann@x.test", "bob@y.test"))
	f.put("spool/0/0/slog/old", "Login = \"ann\"\nAccount = \"ann@own.test\"\n"+peek(48*time.Hour))
	f.put("spool/0/1/froz/new", spoolFile("", "eve@z.test"))
	f.put("spool/0/1/slog/new", peek(time.Minute))
	f.put("spool/0/2/froz/nolog", spoolFile("ann@x.test", "eve@Z.test"))
	f.put("spool/0/2/froz/garbage", "x")
	for _, c := range []struct{ filter, want string }{
		{"", "old new nolog"},
		{"what ever", "old new nolog"}, // as the reference, which ignores what follows
		{"sender=ann@*", "old nolog"},
		{"sender=", "new"},
		{"sender=<ann@*>", "old nolog"},
		{"domain=z.test", "new nolog"},
		{"recipient=<eve@*> sender=", "new"},
		{"file=o* file=n*", "old new nolog"},
		{"user=ann@own.test", "old"},
		{"user=ANN", "old"},
		{"user=", "new nolog"},
		{"older=1d", "old"},
		{"newer=1d", "new nolog"},
		{"older=1d newer=1d", ""},
	} {
		filter, err := f.ParseFrozenFilter(strings.Fields(c.filter)...)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for m, err := range f.Frozen(t.Context(), filter) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.File)
		}
		if list := strings.Join(got, " "); list != c.want {
			t.Errorf("%s: listed %q, want %q", c.filter, list, c.want)
		}
	}
	for _, bad := range []string{"older=soon", "newer=", "sendr=x", "=x"} {
		var refused *Error
		if _, err := f.ParseFrozenFilter(bad); !errors.As(err, &refused) || refused.Kind != Invalid {
			t.Errorf("%s: %v, want a refusal", bad, err)
		}
	}
	if log := f.log.String(); !strings.Contains(log, "garbage") {
		t.Errorf("the log does not name the file that is no message: %s", log)
	}
}
