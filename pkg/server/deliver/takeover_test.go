package deliver_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestWhatTheReferenceHasBegunGoesOn(t *testing.T) {
	f := newFixture(t)
	const name = "1700000000001.1.2.%d.host"
	message := func(to string) string {
		return "[192.0.2.7]:1;[127.0.0.1]:25;Tue, 14 Nov 2023 22:13:20 +0100\r\nfoo.test\r\nS1\r\nMAIL FROM:<u9@foo.test>\r\nRCPT TO:<" + to +
			">\r\n<<MAIL-DATA>>\r\nSubject: x\r\n\r\n"
	}
	for i, file := range []struct{ name, text string }{
		{"domains/foo.test/u1/mailproc.tab", "\"mailbox\"\n\"redirect\"\t\"u2@foo.test\"\n"},
		{"custdomains/cust.test.tab", "\"smtp\"\n"},
		{"spool/0/0/rsnd/2", message("u1@foo.test")},
		{"spool/0/0/mprc/2", "# left\r\n\"redirect\"\t\"u3@foo.test\"\r\n"},
		{"spool/0/0/rsnd/4", message("any@cust.test")},
		{"spool/0/0/cust/4", "\"redirect\"\t\"u5@foo.test\"\n"},
		{"spool/0/0/rsnd/6", message("any@cust.test")},
		{"spool/0/0/cust/6", ""}, // what a crash leaves of a file
		{"spool/0/0/rsnd/8", message("any@else.test")},
		{"spool/0/0/cust/8", "\"redirect\"\t\"u6@foo.test\"\n"}, // of a custom domain that is none any more
		{"spool/0/0/rsnd/10", message("@relay.test:routed@else.test")},
	} {
		if dir, base := filepath.Split(file.name); strings.HasPrefix(dir, "spool") {
			number, _ := strconv.Atoi(base)
			file.name = dir + fmt.Sprintf(name, number)
		}
		path := filepath.Join(f.dir, filepath.FromSlash(file.name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(file.text), 0o600)); err != nil {
			t.Fatal(i, err)
		}
	}
	if taken, err := f.queue.TakeOver(t.Context(), nil); err != nil || taken.Messages != 5 {
		t.Fatalf("taken over %+v, %v", taken, err)
	}
	f.run(f.boxes())
	for user, want := range map[string]int{"u1": 0, "u2": 0, "u3": 1, "u5": 1, "u6": 0, "u9": 0} {
		if got := f.mail(user); len(got) != want {
			t.Errorf("%s has %q, want %d messages", user, got, want)
		}
	}
	if want := []string{"any@cust.test", "any@else.test", "routed@else.test"}; !slices.Equal(slices.Sorted(slices.Values(f.net.sent)), want) {
		t.Errorf("sent to %q, want %q", f.net.sent, want)
	}
	for _, dir := range []string{"mprc", "cust"} {
		if left, err := os.ReadDir(filepath.Join(f.dir, "spool/0/0", dir)); err != nil || len(left) != 0 {
			t.Errorf("%s holds %v, %v; want nothing", dir, left, err)
		}
	}
}
