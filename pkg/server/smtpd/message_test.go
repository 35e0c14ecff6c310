package smtpd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/filter"
)

// post sends a message and returns what the queue holds of it.
func post(t *testing.T, r *rig, login bool, text string) string {
	t.Helper()
	before := len(r.messages(t))
	c := r.greet(t)
	if login {
		c.ask(plain("alice@foo.test", "secret"), "235")
	}
	c.begin()
	c.ask("DATA", "354")
	c.send(text + ".\r\n")
	c.want("250")
	all := r.messages(t)
	if len(all) != before+1 {
		t.Fatalf("%d messages, want one more than %d", len(all), before)
	}
	return all[len(all)-1]
}

func TestReceivedInTheReferencesStyles(t *testing.T) {
	const rest = `with (ESMTPA?) \(\[xmaild ESMTP Server\]\)\r\n\tid <S[0-9A-F]+> for <alice@foo\.test> from <x@ext\.test>;\r\n\t[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\r\nSubject: a\r\n`
	const client, server = ` \(\[127\.0\.0\.1\]:\d+\)`, ` \(\[127\.0\.0\.1\]:\d+\)`
	for style, want := range []struct{ anonymous, known string }{
		{`^Received: from client\.test` + client + `\r\n\tby mx\.foo\.test `, `Received: from client\.test` + client + `\r\n\tby mx\.foo\.test `},
		{`^Received: from client\.test` + client + `\r\n\tby mx\.foo\.test` + server + ` `, `Received: from client\.test` + client + `\r\n\tby mx\.foo\.test` + server + ` `},
		{`^Received: from client\.test\r\n\tby mx\.foo\.test `, `Received: from client\.test\r\n\tby mx\.foo\.test `},
		{`^Received: from client\.test` + client + `\r\n\tby mx\.foo\.test `, `Received: from client\.test\r\n\tby mx\.foo\.test `},
		{`^Received: from client\.test` + client + `\r\n\tby mx\.foo\.test` + server + ` `, `Received: from client\.test\r\n\tby mx\.foo\.test` + server + ` `},
	} {
		r := newRig(t, fmt.Sprintf("ReceivedHdrType=%d", style))
		if got := post(t, r, false, "Subject: a\r\n"); !regexp.MustCompile(want.anonymous + rest + `$`).MatchString(got) {
			t.Errorf("style %d: %q", style, got)
		}
		if got := post(t, r, true, "Subject: a\r\n"); !regexp.MustCompile(want.known + rest).MatchString(got) {
			t.Errorf("style %d after a login: %q", style, got)
		}
	}
}

func TestReceivedOfManyDoesNotTellWho(t *testing.T) {
	r := newRig(t)
	c := r.greet(t)
	c.begin()
	steps(c, "RCPT TO:<bob@foo.test> -> 250", "DATA -> 354")
	c.send(".\r\n")
	c.want("250")
	if got := r.messages(t)[0]; strings.Contains(got, "alice") || strings.Contains(got, "bob") || !strings.Contains(got, "> from <x@ext.test>;") {
		t.Errorf("stored %q", got)
	}
}

func TestAuthUserHeader(t *testing.T) {
	for _, test := range []struct {
		variables, user string // of server.tab, of user.tab
		want            bool
	}{
		{"CompatLevel=0", "", true}, {"CompatLevel=1", "", false}, {"DisableEmitAuthUser=1", "", false},
		{"DisableEmitAuthUser=1", "0", true}, {"DisableEmitAuthUser=0", "1", false},
	} {
		r := newRig(t, test.variables)
		if test.user != "" {
			r.stop()
			write(t, r.dir, "domains/foo.test/alice/user.tab", "\"DisableEmitAuthUser\"\t\""+test.user+"\"\n")
			r = &rig{dir: r.dir}
			r.serve(t)
		}
		got := post(t, r, true, "Subject: a\r\n")
		if strings.HasPrefix(got, "X-AuthUser: alice@foo.test\r\nReceived: ") != test.want || strings.Contains(got, "X-AuthUser") != test.want {
			t.Errorf("%+v: %q", test, got)
		}
	}
}

func TestAClientCannotPretendALogin(t *testing.T) {
	r := newRig(t)
	got := post(t, r, false, "X-AuthUser: root\r\n\tmore\r\nSubject: a\r\nx-authuser : root\r\nReceived: by x\r\nX-AuthUser: old\r\n\r\nX-AuthUser: body\r\n")
	if want := "\r\nSubject: a\r\nReceived: by x\r\nX-AuthUser: old\r\n\r\nX-AuthUser: body\r\n"; !strings.HasSuffix(got, want) || strings.Contains(got, "root") || strings.Contains(got, "more") {
		t.Errorf("stored %q", got)
	}
}

func TestSubmissionsGetWhatIsMissing(t *testing.T) {
	const dateField, idField = `Date: [A-Z][a-z]{2}, [^\r]+\r\n`, `Message-ID: <[^ @>]+@mx\.foo\.test>\r\n`
	r := newRig(t)
	for text, want := range map[string]string{
		"Subject: a\r\n\r\nb\r\n":                        `\r\nSubject: a\r\n` + dateField + idField + `\r\nb\r\n$`,
		"Subject: a\r\nDATE : x\r\n\r\nb\r\n":            `\r\nSubject: a\r\nDATE : x\r\n` + idField + `\r\nb\r\n$`,
		"message-id: x\r\nSubject: a\r\n\tDate: x\r\n":   `\r\nmessage-id: x\r\nSubject: a\r\n\tDate: x\r\n` + dateField + `$`,
		"Date: x\r\nMessage-ID: y\r\n\r\nb\r\n":          `\r\nDate: x\r\nMessage-ID: y\r\n\r\nb\r\n$`,
		"\r\nDate: x\r\n":                                `\r\n` + dateField + idField + `\r\nDate: x\r\n$`,
		"no header\r\n\r\nb\r\n":                         `\r\n` + dateField + idField + `\r\nno header\r\n\r\nb\r\n$`,
		"Subject: a\r\nno field: x\r\n":                  `\r\nSubject: a\r\n` + dateField + idField + `\r\nno field: x\r\n$`,
		"":                                               `\r\n` + dateField + idField + `$`,
		strings.Repeat("x", 3000) + ": y\r\nDate: z\r\n": `\r\n` + dateField + idField + `\r\nx{1000}x{1000}x{1000}: y\r\nDate: z\r\n$`,
	} {
		if got := post(t, r, true, text); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%.40q became %q, want %s", text, got, want)
		}
		if got := post(t, r, false, text); !strings.HasSuffix(got, "\r\n"+text) || strings.Count(got, "Message-ID") != strings.Count(text, "Message-ID") {
			t.Errorf("%.40q of a stranger became %q", text, got)
		}
	}
}

// TestLinesOfMailboxFilesEndNoHeader has lines on top as mailbox files have them.
func TestLinesOfMailboxFilesEndNoHeader(t *testing.T) {
	r := newRig(t)
	const header, text = "Subject: a\r\nDate: x\r\nMessage-ID: y\r\n", "\r\nFrom c\r\n"
	want := "\r\nX-Mailbox-Line: From a Sun Nov 22 07:00:00 2026\r\nX-Mailbox-Line: >From b\r\n" + header + text
	for _, login := range []bool{false, true} {
		got := post(t, r, login, "From a Sun Nov 22 07:00:00 2026\r\n>From b\r\nX-AuthUser: root\r\n"+header+text)
		if !strings.HasSuffix(got, want) || strings.Contains(got, "root") {
			t.Errorf("logged in %v: stored %q, want %q at its end", login, got, want)
		}
	}
}

func TestMailThatGoesInCirclesIsRefused(t *testing.T) {
	for n, want := range map[int]string{leastHops: "250", leastHops + 1: "554 5.4.6"} {
		r := newRig(t)
		c := r.greet(t)
		c.begin()
		c.ask("DATA", "354")
		c.send(strings.Repeat("Received: by x\r\n", n) + "\r\nReceived: no header\r\n.\r\n")
		c.want(want)
	}
}

func TestPOPBeforeSMTP(t *testing.T) {
	for variables, want := range map[string]string{"CompatLevel=0": "250", "CompatLevel=1": "550", "EnableAuthSMTP-POP3=0": "550"} {
		r := newRig(t, variables)
		write(t, r.dir, "domains/foo.test/alice/.ipconn", "127.0.0.1\n")
		c := r.greet(t)
		steps(c, "MAIL FROM:<bob@foo.test> -> 250", "RCPT TO:<a@far.test> -> 550", "RSET -> 250",
			"MAIL FROM:<ALICE@foo.test> -> 250", "RCPT TO:<a@far.test> -> "+want, "RCPT TO:<bob@foo.test> -> 250", "DATA -> 354")
		c.send(".\r\n")
		c.want("250")
		if got := r.messages(t)[0]; strings.HasPrefix(got, "X-AuthUser: alice@foo.test\r\n") != (want == "250") {
			t.Errorf("%s: stored %q", variables, got)
		}
	}
}

// A testFilter says what a test wants.
type testFilter struct {
	rcpt, pre, post filter.Verdict
	told            []filter.Message
	body            string
}

func (f *testFilter) Any(string) bool { return true }
func (f *testFilter) PostRcpt(_ context.Context, m filter.Message) filter.Verdict {
	f.told = append(f.told, m)
	return f.rcpt
}
func (f *testFilter) PreData(_ context.Context, m filter.Message) filter.Verdict {
	f.told = append(f.told, m)
	return f.pre
}
func (f *testFilter) PostData(_ context.Context, m filter.Message, body *io.SectionReader) filter.Verdict {
	text, err := io.ReadAll(body)
	f.told, f.body = append(f.told, m), string(text)
	if err != nil {
		f.body = err.Error()
	}
	return f.post
}

func TestFilters(t *testing.T) {
	reject, spoken := filter.Verdict{Reject: true}, filter.Verdict{Reject: true, Reply: "577 5.9.9 not\x00 you"}
	for name, test := range map[string]struct {
		filter               testFilter
		rcpt, data, end, log string
	}{
		"pass":                {testFilter{}, "250", "354", "250", "RECV=OK"},
		"recipient":           {testFilter{rcpt: reject}, "550 5.7.1 Recipient rejected - custom", "503", "", "RCPT=EFILTER"},
		"recipient, its way":  {testFilter{rcpt: spoken}, "577 5.9.9 not? you", "503", "", "RCPT=EFILTER"},
		"recipient, nonsense": {testFilter{rcpt: filter.Verdict{Reject: true, Reply: "250 OK"}}, "550", "503", "", "RCPT=EFILTER"},
		"before":              {testFilter{pre: reject}, "250", "554 5.7.1 Transaction failed\r", "", "PREDATA=EFILTER"},
		"before, later":       {testFilter{pre: filter.Verdict{Defer: true}}, "250", "451", "", "PREDATA=EFILTER"},
		"after":               {testFilter{post: reject}, "250", "354", "554", "POSTDATA=EFILTER"},
		"after, its way":      {testFilter{post: spoken}, "250", "354", "577", "POSTDATA=EFILTER"},
		"after, later":        {testFilter{post: filter.Verdict{Defer: true}}, "250", "354", "451", "POSTDATA=EFILTER"},
		"changed": {testFilter{post: filter.Verdict{NewBody: io.NopCloser(strings.NewReader("X-AuthUser: root\nSubject: new\r\n\na\rb\x00c"))}},
			"250", "354", "250", "RECV=OK"},
	} {
		for _, chunks := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, chunks %v", name, chunks), func(t *testing.T) {
				f := test.filter
				if f.post.NewBody != nil {
					f.post.NewBody = io.NopCloser(strings.NewReader("X-AuthUser: root\nSubject: new\r\n\na\rb\x00c"))
				}
				r := newRigSet(t, func(r *rig) { r.Filters = &f }, "CustomSMTPMessage=custom")
				c := r.greet(t)
				c.ask("MAIL FROM:<x@ext.test>", "250")
				c.ask("RCPT TO:<alice@foo.test>", test.rcpt)
				want := strings.TrimSuffix(test.data, "\r")
				switch {
				case !chunks:
					c.ask("DATA", want)
				case want != "354":
					c.ask("BDAT 12 LAST\r\nSubject: a", want) // whose end ask sends
				}
				if want == "354" {
					if chunks {
						c.send("BDAT 12 LAST\r\nSubject: a\r\n")
					} else {
						c.send("Subject: a\r\n.\r\n")
					}
					c.want(test.end)
				}
				got := r.messages(t)
				if (len(got) == 1) != (test.end == "250") || len(got) > 1 {
					t.Fatalf("messages %q", got)
				}
				if rows := r.records(t); rows[len(rows)-1][9] != test.log {
					t.Errorf("log %q", rows[len(rows)-1])
				}
				if want == "354" && f.body != "Subject: a\r\n" {
					t.Errorf("the filter saw %q", f.body)
				}
				if name == "changed" && (!strings.HasSuffix(got[0], "\r\nSubject: new\r\n\r\na\r\nbc\r\n") || strings.Contains(got[0], "root") || !strings.HasPrefix(got[0], "Received: ")) {
					t.Errorf("stored %q", got[0])
				}
				if name == "before" || name == "after" {
					c.ask("DATA", "503")
					c.ask("RCPT TO:<alice@foo.test>", "503") // the transaction has ended
				}
				first := f.told[0]
				if first.From != "x@ext.test" || first.Recipient != "alice@foo.test" || len(first.Recipients) != 0 || first.Helo != "client.test" || first.ID == "" {
					t.Errorf("filters were told %+v", first)
				}
			})
		}
	}
}

// TestALargeMessageCostsNoMemory sends a message that is much larger than what the
// server may allocate for it.
func TestALargeMessageCostsNoMemory(t *testing.T) {
	const size, most = 16 << 20, 4 << 20
	r := newRig(t)
	block := bytes.Repeat([]byte(strings.Repeat("x", 998)+"\r\n"), 64)
	for _, chunks := range []bool{false, true} {
		c := r.greet(t)
		c.begin()
		if !chunks {
			c.ask("DATA", "354")
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for sent := 0; sent < size; sent += len(block) {
			if chunks {
				fmt.Fprintf(c, "BDAT %d\r\n", len(block))
			}
			if _, err := c.Write(block); err != nil {
				t.Fatal(err)
			}
			if chunks {
				c.want("250")
			}
		}
		runtime.ReadMemStats(&after)
		if chunks {
			c.ask("BDAT 0 LAST", "250")
		} else {
			c.send(".\r\n")
			c.want("250")
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > most {
			t.Errorf("chunks %v: %d bytes were allocated for a message of %d, want less than %d", chunks, got, size, most)
		}
	}
	if err := os.RemoveAll(r.dir + "/spool/live"); err != nil {
		t.Error(err)
	}
}
