package explain_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/server/explain"
	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/policy"
	"github.com/xmaild/xmaild/pkg/server/resolve"
	"github.com/xmaild/xmaild/pkg/server/resolve/resolvetest"
)

// tables are the files of the MailRoot, in whose texts a | stands for a TAB.
var tables = map[string]string{
	"server.tab": "RootDomain|foo.test\nSmtpServerDomain|mail.foo.test\nPostMaster|ann@foo.test\nMaxMTAOps|3\nCompatLevel|1\n",
	"mailusers.tab": "foo.test|ann|04|1|ann|U\nfoo.test|bob|04|2|bob|U\nfoo.test|off|04|3|off|U\nfoo.test|full|04|4|full|U\n" +
		"foo.test|list|04|5|list|M\nfoo.test|closed|04|6|closed|M\nfoo.test|ping|04|7|ping|U\nfoo.test|pong|04|8|pong|U\n" +
		"foo.test|empty|04|9|empty|U\nfoo.test|odd|04|10|odd|U\nfoo.test|many|04|11|many|U\n" +
		"foo.test|c1|04|12|c1|U\nfoo.test|r1|04|13|r1|U\nfoo.test|r2|04|14|r2|U\nfoo.test|r3|04|15|r3|U\n",
	"aliases.tab":                         "foo.test|info|ann\n",
	"aliasdomain.tab":                     "alias.test|foo.test\n",
	"smtpgw.tab":                          "gw.test|@relay.test\n",
	"smtpfwd.tab":                         "hole.test|\"\"\n",
	"smtp.ipmap.tab":                      "",
	"smtprelay.tab":                       "10.0.0.0|255.0.0.0\n",
	"spammers.tab":                        "192.0.2.66|255.255.255.255\n",
	"cmdaliases/foo.test/robot.tab":       "external|0|0|/bin/true\nsmtprelay|hub.test:2525\n",
	"custdomains/cust.test.tab":           "smtp\n",
	"domains/foo.test/bob/mailproc.tab":   "mailbox\nredirect|ann|who@mx.test\nlredirect|x@mx.test\n",
	"domains/foo.test/ping/mailproc.tab":  "redirect|pong@foo.test\n",
	"domains/foo.test/pong/mailproc.tab":  "redirect|ping@foo.test\n",
	"domains/foo.test/r1/mailproc.tab":    "redirect|r2@foo.test\n", // more often than MaxMTAOps
	"domains/foo.test/r2/mailproc.tab":    "redirect|r3@foo.test\n",
	"domains/foo.test/r3/mailproc.tab":    "redirect|ann@foo.test\n",
	"domains/foo.test/empty/mailproc.tab": "",
	"domains/foo.test/odd/mailproc.tab":   "nonsense|x\n",
	"domains/foo.test/off/user.tab":       "ReceiveEnable|0\nDisabled|left\nDisabledBefore|PopEnable,ReceiveEnable\n",
	"domains/foo.test/closed/user.tab":    "ClosedML|1\n",
	"domains/foo.test/closed/mlusers.tab": "writer@ext.test|RW\nreader@ext.test|R\nmute@ext.test|W\n",
	"domains/foo.test/list/mlusers.tab":   "writer@ext.test|RW\n",
}

// zones are what the DNS says.
var zones = resolvetest.Zones{
	"mx.test.":   {MX: []net.MX{{Host: "b.mx.test.", Pref: 20}, {Host: "a.mx.test.", Pref: 10}}},
	"null.test.": {MX: []net.MX{{Host: ".", Pref: 0}}},
	"host.test.": {A: []string{"192.0.2.9"}},
	"fail.test.": {Err: errors.New("broken")},
}

// boxes are full for the account full, and cannot be counted for the account c1.
type boxes struct{}

func (boxes) Full(_ context.Context, u mailroot.User, _ int64) (bool, error) {
	if u.Name == "c1" {
		return false, errors.New("it cannot be counted")
	}
	return u.Name == "full", nil
}

// filters look at mail to ann when it comes in, and at all mail that goes out.
type filters struct{}

func (filters) Files(kind string, m filter.Queued) []string {
	if kind == filter.Out || strings.HasPrefix(m.To.Address, "ann@") {
		return []string{kind + ".test"}
	}
	return nil
}

func open(t *testing.T) explain.Parts {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "MailRoot")
	err := mailroot.Create(dir, mailroot.NewRoot{Domains: []string{"foo.test"}, Account: "ann", AccountPassword: "a", Admin: "x", AdminPassword: "x"})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for name, text := range tables {
		all[name] = text
	}
	var many []string // more than are followed
	for i := range 40 {
		many = append(many, fmt.Sprintf("m%d@foo.test", i))
	}
	all["domains/foo.test/many/mailproc.tab"] = "redirect|" + strings.Join(many, "|") + "\n"
	for name, text := range all {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "|", "\t")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	root, err := mailroot.Open(t.Context(), dir, mailroot.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	})
	dns := resolvetest.Start(t, zones).Resolver(resolve.Options{})
	return explain.Parts{
		Root: root, Boxes: boxes{}, Filters: filters{},
		Policy: policy.New(root, dns, boxes{}, policy.Options{Log: log}),
		Sender: outbound.New(root, dns, outbound.Options{Log: log, Family: outbound.IPv4, Own: func(netip.Addr) bool { return false }}),
	}
}

// lines are the steps as texts.
func lines(steps []explain.Step) []string {
	all := []string{}
	for _, s := range steps {
		all = append(all, s.Name+" "+s.Result+": "+s.Detail)
	}
	return all
}

func TestWhatHappensToAMail(t *testing.T) {
	p := open(t)
	for _, c := range []struct {
		question explain.Question
		want     []string
	}{
		{explain.Question{To: "ann@foo.test"}, []string{
			"address user: ann@foo.test",
			"account enabled: ann@foo.test",
			"filters in: filters/in.test",
			"command mailbox: ",
			"end mailbox: it is put into the mailbox",
		}},
		{explain.Question{To: "<info@alias.test>"}, []string{
			"address user: info@alias.test, alias.test is an alias domain of foo.test, an alias of ann@foo.test",
			"account enabled: ann@foo.test",
			"command mailbox: ",
			"end mailbox: it is put into the mailbox",
		}},
		{explain.Question{To: "nobody@foo.test"}, []string{
			"address no user: nobody@foo.test",
			"end bounced: there is nobody of that name at this server",
		}},
		{explain.Question{To: "full@foo.test"}, []string{
			"address user: full@foo.test",
			"account enabled: full@foo.test",
			"command mailbox: ",
			"quota full: the mailbox of full@foo.test",
			"end waits: the mailbox is full",
		}},
		{explain.Question{To: "off@foo.test"}, []string{
			"address user: off@foo.test",
			"account disabled, gets no mail by SMTP: off@foo.test",
			"end bounced: the account takes no mail",
		}},
		{explain.Question{To: "c1@foo.test"}, []string{
			"address user: c1@foo.test",
			"account enabled: c1@foo.test",
			"command mailbox: ",
			"quota unknown: it cannot be counted",
			"end mailbox: it is put into the mailbox",
		}},
		{explain.Question{To: "bob@foo.test", From: "x@ext.test"}, []string{
			"address user: bob@foo.test",
			"account enabled: bob@foo.test",
			"command mailbox: ",
			"end mailbox: it is put into the mailbox",
			"command redirect: ann who@mx.test",
			"command lredirect: x@mx.test",
			"copy redirect: bob@ann",
			"address remote: bob@ann",
			"filters out: filters/out.test",
			"end bounced: 5.1.2 Recipient domain \"ann\" does not exist (or it has a misconfigured DNS)",
			"copy redirect: who@mx.test",
			"address remote: who@mx.test",
			"filters out: filters/out.test",
			"branch MX: MX records",
			"host a.mx.test: port 25, rank 10",
			"host b.mx.test: port 25, rank 20",
			"copy lredirect: x@mx.test",
			"address remote: x@mx.test",
			"filters out: filters/out.test",
			"branch MX: MX records",
			"host a.mx.test: port 25, rank 10",
			"host b.mx.test: port 25, rank 20",
		}},
		{explain.Question{To: "ping@foo.test"}, []string{
			"address user: ping@foo.test",
			"account enabled: ping@foo.test",
			"command redirect: pong@foo.test",
			"copy redirect: pong@foo.test",
			"address user: pong@foo.test",
			"account enabled: pong@foo.test",
			"command redirect: ping@foo.test",
			"copy redirect: ping@foo.test",
			"address user: ping@foo.test",
			"account enabled: ping@foo.test",
			"command redirect: pong@foo.test",
			"end bounced: it has been here before: a mail loop",
		}},
		{explain.Question{To: "empty@foo.test"}, []string{
			"address user: empty@foo.test",
			"account enabled: empty@foo.test",
			"end discarded: the file has no commands",
		}},
		{explain.Question{To: "odd@foo.test"}, []string{
			"address user: odd@foo.test",
			"account enabled: odd@foo.test",
			"command wrong: domains/foo.test/odd/mailproc.tab: row 1: there is no command \"nonsense\" here; the row is skipped",
			"end waits: none of the rows can be carried out",
		}},
		{explain.Question{To: "list@foo.test"}, []string{
			"address list: list@foo.test",
			"list members: 1 of the 1 members of list@foo.test get its mail",
			"end list: a copy goes to each of them",
		}},
		{explain.Question{To: "closed@foo.test", From: "reader@ext.test"}, []string{
			"address list: closed@foo.test",
			"end bounced: the list is closed, and <reader@ext.test> may not write to it",
		}},
		{explain.Question{To: "closed@foo.test", From: "writer@ext.test"}, []string{
			"address list: closed@foo.test",
			"list members: 2 of the 3 members of closed@foo.test get its mail",
			"end list: a copy goes to each of them",
		}},
		{explain.Question{To: "robot@foo.test"}, []string{
			"address command alias: robot@foo.test",
			"file read: cmdaliases/foo.test/robot.tab",
			"command external: 0 0 /bin/true",
			"filters out: filters/out.test",
			"command smtprelay: hub.test:2525",
			"branch RLYS: the command smtprelay",
			"host hub.test: port 2525, rank 0",
		}},
		{explain.Question{To: "x@cust.test"}, []string{
			"address custom domain: x@cust.test",
			"file read: custdomains/cust.test.tab",
			"filters out: filters/out.test",
			"command smtp: ",
			"end bounced: 5.1.2 Recipient domain \"cust.test\" does not exist (or it has a misconfigured DNS)",
		}},
		{explain.Question{To: "x@gw.test"}, []string{
			"address gateway: x@gw.test: smtpgw.tab has its domain",
			"filters out: filters/out.test",
			"branch CMX: smtpgw.tab",
			"host relay.test: port 25, rank 0",
		}},
		{explain.Question{To: "x@hole.test"}, []string{
			"address remote: x@hole.test",
			"filters out: filters/out.test",
			"end waits: the tables name no host for hole.test",
		}},
		{explain.Question{To: "x@mx.test"}, []string{
			"address remote: x@mx.test",
			"filters out: filters/out.test",
			"branch MX: MX records",
			"host a.mx.test: port 25, rank 10",
			"host b.mx.test: port 25, rank 20",
		}},
		{explain.Question{To: "x@null.test"}, []string{
			"address remote: x@null.test",
			"filters out: filters/out.test",
			"end bounced: 5.1.10 the domain null.test takes no mail (null MX)",
		}},
		{explain.Question{To: "x@host.test"}, []string{
			"address remote: x@host.test",
			"filters out: filters/out.test",
			"branch FF: no MX record: the domain is the host",
			"host host.test: port 25, rank 0",
		}},
		{explain.Question{To: "x@[192.0.2.1]"}, []string{
			"address remote: x@[192.0.2.1]",
			"filters out: filters/out.test",
			"branch IP: the domain is an address",
			"host 192.0.2.1: port 25, rank 0",
		}},
		{explain.Question{To: "r1@foo.test"}, []string{
			"address user: r1@foo.test",
			"account enabled: r1@foo.test",
			"command redirect: r2@foo.test",
			"copy redirect: r2@foo.test",
			"address user: r2@foo.test",
			"account enabled: r2@foo.test",
			"command redirect: r3@foo.test",
			"copy redirect: r3@foo.test",
			"address user: r3@foo.test",
			"account enabled: r3@foo.test",
			"command redirect: ann@foo.test",
			"copy redirect: ann@foo.test",
			"end bounced: it has been redirected too often: a mail loop",
		}},
		{explain.Question{To: "postmaster"}, []string{
			"address postmaster: ann@foo.test, by the variable PostMaster",
			"address user: ann@foo.test",
			"account enabled: ann@foo.test",
			"filters in: filters/in.test",
			"command mailbox: ",
			"end mailbox: it is put into the mailbox",
		}},
		{explain.Question{To: "ann@foo.test", IP: netip.MustParseAddr("192.0.2.66")}, []string{
			"client refused: 192.0.2.66: 421 Service not available, closing transmission channel",
		}},
		{explain.Question{To: "ann@foo.test", From: "x@ext.test", IP: netip.MustParseAddr("192.0.2.1")}, []string{
			"client taken: 192.0.2.1, nothing is against it",
			"sender taken: x@ext.test",
			"recipient taken: ann@foo.test, ann@foo.test",
			"address user: ann@foo.test",
			"account enabled: ann@foo.test",
			"filters in: filters/in.test",
			"command mailbox: ",
			"end mailbox: it is put into the mailbox",
		}},
		{explain.Question{To: "x@mx.test", IP: netip.MustParseAddr("192.0.2.1")}, []string{
			"client taken: 192.0.2.1, nothing is against it",
			"sender taken: ",
			"recipient refused: x@mx.test: 550 5.7.1 Relay denied",
		}},
		{explain.Question{To: "x@mx.test", IP: netip.MustParseAddr("10.0.0.1")}, []string{
			"client taken: 10.0.0.1, nothing is against it",
			"sender taken: ",
			"recipient taken: x@mx.test",
			"address remote: x@mx.test",
			"filters out: filters/out.test",
			"branch MX: MX records",
			"host a.mx.test: port 25, rank 10",
			"host b.mx.test: port 25, rank 20",
		}},
		{explain.Question{To: "postmaster", IP: netip.MustParseAddr("192.0.2.1")}, []string{
			"client taken: 192.0.2.1, nothing is against it",
			"sender taken: ",
			"recipient taken: postmaster, ann@foo.test",
			"address user: ann@foo.test",
			"account enabled: ann@foo.test",
			"filters in: filters/in.test",
			"command mailbox: ",
			"end mailbox: it is put into the mailbox",
		}},
		{explain.Question{To: "full@foo.test", IP: netip.MustParseAddr("192.0.2.1")}, []string{
			"client taken: 192.0.2.1, nothing is against it",
			"sender taken: ",
			"recipient refused: full@foo.test: 552 5.2.2 Mailbox full <full@foo.test>",
		}},
	} {
		steps, err := p.Explain(t.Context(), c.question)
		if err != nil {
			t.Errorf("%+v: %v", c.question, err)
		}
		if diff := cmp.Diff(c.want, lines(steps)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.question, diff)
		}
	}
}

// TestWhatTheDNSDoesNotAnswerWaits does not look at the text of the error.
func TestWhatTheDNSDoesNotAnswerWaits(t *testing.T) {
	steps, err := open(t).Explain(t.Context(), explain.Question{To: "x@fail.test"})
	last := steps[len(steps)-1]
	if err != nil || last.Name != "end" || last.Result != "waits" || !strings.HasPrefix(last.Detail, "4.4.3 ") {
		t.Errorf("the last step is %+v (%v), want one that waits, with 4.4.3", last, err)
	}
}

// TestCopiesAreFollowedSoFar redirects to more than are followed, who are nobody.
func TestCopiesAreFollowedSoFar(t *testing.T) {
	steps, err := open(t).Explain(t.Context(), explain.Question{To: "many@foo.test"})
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, s := range steps {
		count[s.Name+" "+s.Result]++
	}
	want := map[string]int{
		"address user": 1, "account enabled": 1, "command redirect": 1,
		"copy redirect": 32, "address no user": 32, "end bounced": 32, "copy not followed": 8,
	}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestQuestionsWithoutAnAnswer(t *testing.T) {
	p := open(t)
	for _, q := range []explain.Question{
		{To: ""}, {To: "<>"}, {To: "a b"}, {To: "ann"}, {To: "<ann@foo.test> x"}, {To: "ann@foo.test", From: "a b"},
	} {
		if steps, err := p.Explain(t.Context(), q); !errors.Is(err, explain.ErrAddress) {
			t.Errorf("%+v: %v, %v, want ErrAddress", q, lines(steps), err)
		}
	}
}
