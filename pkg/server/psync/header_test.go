package psync

import (
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/server/address"
)

func parse(t *testing.T, text string) header {
	t.Helper()
	h, err := readHeader(iotest.HalfReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHeaderLosesWhatItsLastDeliveryPutOnIt(t *testing.T) {
	for text, want := range map[string]string{
		"Return-Path: <a@b.test>\r\nDelivered-To: x@y.test\r\nReceived: one\r\n two\r\nDelivered-To: z@y.test\r\n\r\nReturn-Path: text\r\n": "Received: one\r\n two\r\nDelivered-To: z@y.test\r\n\r\nReturn-Path: text\r\n",
		"Subject: x\r\nReturn-Path:\r\n <>\r\n\r\n": "Subject: x\r\n\r\n",
		"From eve Sun Nov 22 07:00:00 2026\r\n>From mail\r\nReturn-Path: <a@b.test>\r\nSubject: x\r\n\r\nFrom here\r\n": "X-Mailbox-Line: From eve Sun Nov 22 07:00:00 2026\r\nX-Mailbox-Line: >From mail\r\nSubject: x\r\n\r\nFrom here\r\n",
		"\r\nonly text\r\n":    "\r\nonly text\r\n",
		"Subject: no text\r\n": "Subject: no text\r\n",
		"":                     "",
	} {
		var got strings.Builder
		if err := parse(t, text).write(&got); err != nil || got.String() != want {
			t.Errorf("%q became %q (%v), want %q", text, got.String(), err, want)
		}
	}
}

func TestHeaderThatNeverEndsIsBounded(t *testing.T) {
	h, err := readHeader(strings.NewReader(strings.Repeat("X: y\r\n", maxHeader)))
	if err != nil || len(h.rest) > 8192 || len(h.fields) > maxHeader/6+1000 {
		t.Errorf("%d fields, %d bytes besides, %v", len(h.fields), len(h.rest), err)
	}
}

func TestSender(t *testing.T) {
	for text, want := range map[string]string{
		"Return-Path: <a@b.test>\r\nFrom: c@d.test\r\n\r\n":                "a@b.test",
		"Return-Path: a@b.test\r\n\r\n":                                    "a@b.test",
		"Return-Path: <>\r\nFrom: c@d.test\r\n\r\n":                        "",
		"Return-Path: <@x.test:a@b.test>\r\n\r\n":                          "a@b.test",
		"From: \"x@y.test\" <c@d.test>\r\n\r\n":                            "c@d.test",
		"From: =?utf-8?q?M=C3=BCller?= <c@d.test>, e@f.test\r\n\r\n":       "c@d.test",
		"From: bad \"quotes <c@d.test>\r\n\r\n":                            "c@d.test",
		"Subject: nobody\r\n\r\n":                                          "",
		"Return-Path: <a@b.test>\r\n (and more)\r\nFrom: c@d.test\r\n\r\n": "a@b.test",
		"Return-Path: <<>>\r\nFrom: c@d.test\r\n\r\n":                      "",
	} {
		if got := parse(t, text).sender().String(); got != want {
			t.Errorf("sender of %q is %q, want %q", text, got, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for value, want := range map[string][]string{
		"from x by y for <bob@example.test>; Mon": {"bob@example.test"},
		"Bob <bob@a.test>, jim.bob@b.test.":       {"bob@a.test", "jim.bob@b.test"},
		"a@b@c.test, @, x@, @y":                   {"b@c.test"},
		"(mail to:ann@a.test)":                    {"ann@a.test"},
		"":                                        nil,
	} {
		var got []string
		for _, p := range addresses(value) {
			got = append(got, p.String())
		}
		// Parts of what is no address are let be, as long as the addresses are there.
		for _, w := range want {
			if !strings.Contains(strings.Join(got, " ")+" ", w+" ") {
				t.Errorf("addresses in %q are %q, want %q among them", value, got, w)
			}
		}
		if len(want) == 0 && len(got) > 0 {
			t.Errorf("addresses in %q are %q, want none", value, got)
		}
	}
}

func TestRecipientsFollowTheTags(t *testing.T) {
	text := "Received: from x by y; id 1@relay.test\r\nReceived: from y (helo@in.test)\r\n\tfor <deep@in.test> from <sender@in.test>; for good@in.test\r\nX-Deliver-To: top@in.test\r\n" +
		"To: bob@in.test, jimbob@in.test,\r\n BOB@IN.test\r\nCc: bob@in.test, other@out.test\r\nX-Word: for any@in.test\r\n\r\n"
	for tags, want := range map[string][]string{
		"":                              {"top@in.test"},
		"+Received,To":                  {"deep@in.test"},
		"To,Cc":                         {"bob@in.test", "jimbob@in.test"},
		"jimbob,Cc,To":                  {"bob@in.test", "jimbob@in.test"},
		"+X-Missing, +cc:, To":          {"bob@in.test"},
		"X-Missing":                     nil,
		"X-Word":                        {"any@in.test"},
		"X-Deliver-To,+Received,To":     {"top@in.test", "deep@in.test"},
		"+X-Deliver-To,+Received,To,Cc": {"top@in.test"},
	} {
		got, err := parse(t, text).recipients(tags, func(p address.Path) (string, error) {
			if !strings.EqualFold(p.Domain, "in.test") {
				return "", nil
			}
			return p.String(), nil
		})
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("tags %q (-want +got): %v\n%s", tags, err, d)
		}
	}
}

func TestHostsOfLinks(t *testing.T) {
	for text, want := range map[string]string{
		"pop.test": "pop.test 110", "pop.test.": "pop.test 110", "pop.test:1110": "pop.test 1110", "pop.test|1": "pop.test 1", "pop.test;2": "pop.test 2",
		"[::1]:3": "::1 3", "::1": "::1 110", "[::1]": "::1 110", "192.0.2.1:4": "192.0.2.1 4", "192.0.2.1": "192.0.2.1 110",
		"pop.test:0": "error", "pop.test:x": "error", "": "error", "a b": "error", "pop.test:99999": "error", "[::1": "error",
	} {
		h, err := parseHost(text, 110)
		got := h.name + " " + strconv.Itoa(int(h.port))
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("host %q is %q (%v), want %q", text, got, err, want)
		}
	}
}

func TestTimestampsOfGreetings(t *testing.T) {
	for text, want := range map[string]string{
		"POP3 ready <1.2@h.test>": "<1.2@h.test>", "<a@b> more <c@d>": "<a@b>", "ready": "", "<>": "", "<no at>": "", "<a b@c>": "",
		"<a\x80@b>": "", "<open@b": "", "> <a@b>": "<a@b>",
	} {
		if got := timestamp(text); got != want {
			t.Errorf("timestamp of %q is %q, want %q", text, got, want)
		}
	}
}

func FuzzHeader(f *testing.F) {
	for _, seed := range []string{"", "\r\n", "Return-Path: <a@b.test>\r\n\r\n", "To: a@b.test,\r\n c@d.test\r\nFrom: <@>\r\n", ": x\r\n @\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := readHeader(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := h.write(&out); err != nil || len(out.String()) > len(text) {
			t.Errorf("%q became %q (%v)", text, out.String(), err)
		}
		if from := h.sender(); !from.IsNull() {
			if _, err := address.Parse(from.String()); err != nil {
				t.Errorf("the sender of %q is %q: %v", text, from, err)
			}
		}
		all, err := h.recipients("To,Cc,+Received", func(p address.Path) (string, error) { return p.String(), nil })
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range all {
			if _, err := address.Parse(to); err != nil {
				t.Errorf("a recipient of %q is %q: %v", text, to, err)
			}
		}
	})
}
