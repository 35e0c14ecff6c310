package bounce_test

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/server/bounce"
)

const original = "Received: from x\r\n\tby y\r\nMessage-ID: <1@x.test>\r\nSubject: hello\r\n\r\nfirst\r\n.second\r\nthird\r\n"

var at = time.Date(2027, 1, 15, 8, 0, 0, 0, time.UTC)

func notice(message string, all ...bounce.Recipient) bounce.Notice {
	return bounce.Notice{
		ID: "X1B", Time: at, To: "ann@x.test", Domain: "mail.test", Postmaster: "pm@mail.test",
		Name: "5f-0a", MessageID: "S1A", From: "ann@x.test", Arrived: at.Add(-time.Hour),
		Recipients: all, Message: strings.NewReader(message),
	}
}

var nobody = bounce.Recipient{
	Address: "bob@y.test", Action: bounce.Failed, Reply: "550 5.1.1 Nobody\r\n550 5.1.1 of that name", Host: "mx.y.test", IP: "192.0.2.1", Last: at,
}

// A report is a notification as a program reads it.
type report struct {
	mail.Header
	kinds, parts []string
	encodings    []string
}

func write(t *testing.T, n bounce.Notice) (report, string) {
	t.Helper()
	m, err := bounce.New(n)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	written, err := m.WriteTo(&b)
	if err != nil || written != int64(b.Len()) {
		t.Fatalf("wrote %d of %d bytes: %v", written, b.Len(), err)
	}
	r, err := parse(b.String())
	if err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	return r, b.String()
}

func parse(text string) (r report, err error) {
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		return r, err
	}
	r.Header = m.Header
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		return r, errors.Join(err, errors.New("the type is "+m.Header.Get("Content-Type")))
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := parts.NextPart() // it decodes quoted-printable
		if err == io.EOF {
			return r, nil
		}
		if err != nil {
			return r, err
		}
		text, err := io.ReadAll(p)
		if err != nil {
			return r, err
		}
		r.kinds = append(r.kinds, p.Header.Get("Content-Type"))
		r.encodings = append(r.encodings, p.Header.Get("Content-Transfer-Encoding"))
		r.parts = append(r.parts, strings.ReplaceAll(string(text), "\r\n", "\n"))
	}
}

func TestFailureIsTold(t *testing.T) {
	r, text := write(t, notice(original, nobody))
	for name, want := range map[string]string{
		"From": `"mail.test PostMaster" <pm@mail.test>`, "To": "<ann@x.test>", "Date": "Fri, 15 Jan 2027 08:00:00 +0000",
		"Subject": "Error sending message [5f-0a] from [mail.test]", "Auto-Submitted": "auto-replied", "Mime-Version": "1.0",
		"X-Messageid": "<5f-0a>", "X-Smtpmessageid": "<S1A>", "X-Mailererror": "Message = [5f-0a] Server = [mail.test]",
		"X-Mailerserver": "xmaild", "References": "<1@x.test>", "Content-Transfer-Encoding": "",
	} {
		if got := r.Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if id := r.Get("Message-Id"); !strings.HasPrefix(id, "<X1B.") || !strings.HasSuffix(id, "@mail.test>") {
		t.Errorf("Message-ID: %s", id)
	}
	want := []string{`[<00>] XMail bounce: Rcpt=[bob@y.test];Error=[550 5.1.1 Nobody 550 5.1.1 of that name]


[<01>] Error sending message [5f-0a] from [mail.test].

ID:        <S1A>
Mail From: <ann@x.test>
Rcpt To:   <bob@y.test>
Server:    <mx.y.test> [192.0.2.1]


[<02>] The reason of the delivery failure was:

550 5.1.1 Nobody
550 5.1.1 of that name


[<05>] Here is listed the initial part of the message:

`, `Reporting-MTA: dns; mail.test
Arrival-Date: Fri, 15 Jan 2027 07:00:00 +0000

Final-Recipient: rfc822; bob@y.test
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.y.test
Diagnostic-Code: smtp; 550 5.1.1 Nobody 550 5.1.1 of that name
Last-Attempt-Date: Fri, 15 Jan 2027 08:00:00 +0000
`, "Received: from x\n\tby y\nMessage-ID: <1@x.test>\nSubject: hello\n"}
	if diff := cmp.Diff(want, r.parts); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"text/plain; charset=utf-8", "message/delivery-status", "text/rfc822-headers"}, r.kinds); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
	if strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\n") {
		t.Errorf("lines end otherwise than in CRLF:\n%q", text)
	}
}

func TestDelayIsTold(t *testing.T) {
	r, _ := write(t, notice(original, bounce.Recipient{
		Address: "bob@y.test", Action: bounce.Delayed, Reply: "451 4.7.1 later", Host: "mx.y.test", Last: at, Attempt: 3,
		Next: at.Add(time.Hour), Until: at.Add(24 * time.Hour), ORcpt: "rfc822;Bob@z.test",
	}))
	for i, want := range []string{
		"[<03>] Note:\n\n** This is a temporary condition: the message need not be sent again.\n** Last attempt: Fri, 15 Jan 2027 08:00:00 +0000\n" +
			"** Next attempt: Fri, 15 Jan 2027 09:00:00 +0000\n** It is given up: Sat, 16 Jan 2027 08:00:00 +0000\n** Number of attempts: 3\n\n\n\n[<05>]",
		"Original-Recipient: rfc822; Bob@z.test\nFinal-Recipient: rfc822; bob@y.test\nAction: delayed\nStatus: 4.7.1\n",
	} {
		if !strings.Contains(r.parts[i], want) {
			t.Errorf("part %d:\n%s\nwant in it:\n%s", i, r.parts[i], want)
		}
	}
	if want := "Will-Retry-Until: Sat, 16 Jan 2027 08:00:00 +0000\n"; !strings.HasSuffix(r.parts[1], want) {
		t.Errorf("report:\n%s\nwant at its end:\n%s", r.parts[1], want)
	}
	if got := r.Get("Subject"); got != "Delay in sending message [5f-0a] from [mail.test]" {
		t.Errorf("subject %q looks like that of a failure", got)
	}
}

func TestVariablesSayWhatIsShown(t *testing.T) {
	n := notice(original, nobody)
	n.ExtraLines, n.Log = 2, "[PeekTime] 1 : x\n"
	r, _ := write(t, n)
	want := "[<04>] Here is listed the message log file:\n\n[PeekTime] 1 : x\n\n\n[<05>] Here is listed the initial part of the message:\n\n" +
		"Received: from x\n\tby y\nMessage-ID: <1@x.test>\nSubject: hello\n\nfirst\n.second\n"
	if !strings.HasSuffix(r.parts[0], want) {
		t.Errorf("text:\n%s\nwant at its end:\n%s", r.parts[0], want)
	}
	n.Ret = "HDRS"
	if r, text := write(t, n); strings.Contains(text, "first") {
		t.Errorf("the body is shown, and RET=HDRS: %q", r.parts)
	}
}

func TestMessageIsReturnedWhereItIsAskedFor(t *testing.T) {
	long := "Subject: x\r\n\r\n" + strings.Repeat("y", 2000) + "\r\n"
	eightBit := "Subject: x\r\n\r\nä\r\n"
	for _, c := range []struct {
		what, message, ret string
		to                 bounce.Recipient
		most               int64
		kind, encoding     string
		eightBit           bool
	}{
		{"the whole", original, "FULL", nobody, 0, "message/rfc822", "", false},
		{"8 bits", eightBit, "FULL", nobody, 0, "message/rfc822", "8bit", true},
		{"headers beyond ASCII", "Subject: ä\r\n\r\nx\r\n", "FULL", nobody, 0, "message/global", "8bit", true},
		{"headers of those", "Subject: ä\r\n\r\nx\r\n", "", nobody, 0, "message/global-headers", "quoted-printable", false},
		{"headers of no charset", "Subject: \xe4\r\n\r\nx\r\n", "HDRS", nobody, 0, "text/rfc822-headers", "", false},
		{"a delay", original, "FULL", bounce.Recipient{Address: "b@y.test", Action: bounce.Delayed}, 0, "text/rfc822-headers", "", false},
		{"too big", original, "FULL", nobody, 20, "text/rfc822-headers", "", false},
		{"long lines", long, "FULL", nobody, 0, "text/rfc822-headers", "", false},
		{"long header", "X: " + long, "", nobody, 0, "text/rfc822-headers", "", false},
		{"long line of the header", "X: " + strings.Repeat("y", 2000) + "\r\n\r\n", "", nobody, 0, "text/rfc822-headers", "quoted-printable", false},
		{"bare LF", "Subject: x\r\n\r\nx\ny\r\n", "FULL", nobody, 0, "text/rfc822-headers", "", false},
		{"bare CR", "Subject: x\r\n\r\nx\ry\r\n", "FULL", nobody, 0, "text/rfc822-headers", "", false},
		{"NUL", "Subject: x\r\n\r\nx\x00y\r\n", "FULL", nobody, 0, "text/rfc822-headers", "", false},
	} {
		n := notice(c.message, c.to)
		n.Ret, n.MaxReturn = c.ret, c.most
		m, err := bounce.New(n)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if m.EightBit != c.eightBit || m.UTF8 {
			t.Errorf("%s: 8 bits %v, UTF-8 %v, want %v, false", c.what, m.EightBit, m.UTF8, c.eightBit)
		}
		r, text := write(t, n)
		// The reader of parts hides the encoding that it undoes.
		_, last, _ := strings.Cut(text[strings.LastIndex(text, "Content-Type: "):], "\r\n")
		encoding, _, _ := strings.Cut(strings.TrimPrefix(last, "Content-Transfer-Encoding: "), "\r\n")
		if encoding != c.encoding || r.kinds[2] != c.kind {
			t.Errorf("%s: returned as %s, %q, want %s, %q", c.what, r.kinds[2], encoding, c.kind, c.encoding)
		}
		if strings.HasPrefix(c.kind, "message/") && c.encoding != "quoted-printable" {
			if want := strings.ReplaceAll(c.message, "\r\n", "\n"); r.parts[2] != want {
				t.Errorf("%s: returned %q, want %q", c.what, r.parts[2], want)
			}
		}
		if !c.eightBit && !isASCII(text) {
			t.Errorf("%s: there are 8 bits in\n%s", c.what, text)
		}
	}
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

func TestAddressesBeyondASCII(t *testing.T) {
	n := notice(original, bounce.Recipient{Address: "täg@ö.test", Action: bounce.Failed, ORcpt: "utf-8;Täg@ö.test"})
	r, text := write(t, n)
	if r.kinds[1] != "message/global-delivery-status" || !strings.Contains(r.parts[1], "Original-Recipient: utf-8; Täg@ö.test\nFinal-Recipient: utf-8; täg@ö.test\n") {
		t.Errorf("%s:\n%s", r.kinds[1], r.parts[1])
	}
	if !isASCII(text) {
		t.Error("a sender who may not know UTF-8 gets 8 bits")
	}
	n.To = "änn@x.test"
	m, err := bounce.New(n)
	if err != nil || !m.UTF8 {
		t.Errorf("to a sender beyond ASCII: UTF8 %v, %v, want it", m.UTF8, err)
	}
	if r, _ := write(t, n); r.Get("To") != "<änn@x.test>" {
		t.Errorf("To: %s", r.Get("To"))
	}
}

func TestStatusAndRoute(t *testing.T) {
	for _, c := range []struct {
		to   bounce.Recipient
		want string
	}{
		{bounce.Recipient{Action: bounce.Failed, Reply: "550 no"}, "5.0.0"},
		{bounce.Recipient{Action: bounce.Failed, Reply: "550-5.7.1 no"}, "5.7.1"},
		{bounce.Recipient{Action: bounce.Failed, Reply: "550 5.7.1"}, "5.7.1"},
		{bounce.Recipient{Action: bounce.Failed, Reply: "550 2.1.5 nonsense"}, "5.0.0"},
		{bounce.Recipient{Action: bounce.Failed, Reply: "550 5.7.1", Status: "5.2.2"}, "5.2.2"},
		{bounce.Recipient{Action: bounce.Failed, Status: "5.2.2\r\nX: y"}, "5.0.0"},
		{bounce.Recipient{Action: bounce.Failed, Reason: bounce.ReasonExpired, Reply: "451 later"}, "4.4.7"},
		{bounce.Recipient{Action: bounce.Delayed, Reply: "550 5.7.1"}, "4.0.0"},
		{bounce.Recipient{Action: bounce.Relayed, Notify: "SUCCESS", Reply: "250 ok"}, "2.0.0"},
	} {
		c.to.Address = "@r.test,@s.test:bob@y.test"
		r, _ := write(t, notice(original, c.to))
		if !strings.Contains(r.parts[1], "\nStatus: "+c.want+"\n") || !strings.Contains(r.parts[1], "Final-Recipient: rfc822; bob@y.test\n") {
			t.Errorf("%+v is told as\n%s\nwant the status %s", c.to, r.parts[1], c.want)
		}
		if !strings.Contains(r.parts[0], "Rcpt=[@r.test,@s.test:bob@y.test]") {
			t.Errorf("the text does not show the route:\n%s", r.parts[0])
		}
	}
}

func TestNoticesThatAreNotToBe(t *testing.T) {
	with := func(change func(*bounce.Notice)) bounce.Notice {
		n := notice(original, nobody)
		change(&n)
		return n
	}
	message := func(header string, a bounce.Action) func(*bounce.Notice) {
		return func(n *bounce.Notice) {
			n.Message = strings.NewReader(header + "\r\n" + original)
			n.Recipients = []bounce.Recipient{{Address: "b@y.test", Action: a}}
		}
	}
	notify := func(notify string, a bounce.Action) func(*bounce.Notice) {
		return func(n *bounce.Notice) {
			n.Recipients = []bounce.Recipient{{Address: "b@y.test", Action: a, Notify: notify}}
		}
	}
	_, ours := write(t, notice(original, nobody))
	for what, c := range map[string]struct {
		change func(*bounce.Notice)
		want   error
	}{
		"null sender":                {func(n *bounce.Notice) { n.To = "" }, bounce.ErrNobody},
		"our own":                    {func(n *bounce.Notice) { n.Message = strings.NewReader(ours) }, bounce.ErrLoop},
		"our own, to an admin":       {func(n *bounce.Notice) { n.Message, n.Admin = strings.NewReader(ours), true }, bounce.ErrLoop},
		"that of another":            {func(n *bounce.Notice) { n.Message, n.Domain = strings.NewReader(ours), "mail2.test" }, bounce.ErrLoop},
		"that of another, to admin":  {func(n *bounce.Notice) { n.Message, n.Domain, n.Admin = strings.NewReader(ours), "mail2.test", true }, bounce.ErrLoop},
		"that of another program":    {message("Content-Type: multipart/report; boundary=x;\r\n\treport-type=delivery-status", bounce.Failed), bounce.ErrLoop},
		"another report":             {message("Content-Type: multipart/report; boundary=x;\r\n\treport-type=feedback-report", bounce.Failed), nil},
		"reference's, case":          {message("x-mailererror: Message = [x] Server = [Mail.Test]", bounce.Failed), bounce.ErrLoop},
		"answer of a program":        {message("Auto-Submitted: auto-replied (vacation)", bounce.Failed), bounce.ErrUnwanted},
		"mail of a program":          {message("Auto-Submitted: auto-generated", bounce.Failed), nil},
		"late mail of a program":     {message("Auto-Submitted: auto-generated", bounce.Delayed), bounce.ErrUnwanted},
		"late mail of a person":      {message("Auto-Submitted: no", bounce.Delayed), nil},
		"mail of a list":             {message("Precedence: list", bounce.Failed), nil},
		"late mail of a list":        {message("Precedence: list", bounce.Delayed), bounce.ErrUnwanted},
		"NEVER":                      {notify("NEVER", bounce.Failed), bounce.ErrUnwanted},
		"failure, FAILURE":           {notify("DELAY,FAILURE", bounce.Failed), nil},
		"failure, DELAY":             {notify("DELAY", bounce.Failed), bounce.ErrUnwanted},
		"delay, FAILURE":             {notify("FAILURE", bounce.Delayed), bounce.ErrUnwanted},
		"delay, DELAY":               {notify("delay", bounce.Delayed), nil},
		"success, nothing":           {notify("", bounce.Delivered), bounce.ErrUnwanted},
		"success, SUCCESS":           {notify("FAILURE,SUCCESS", bounce.Expanded), nil},
		"NEVER, to an administrator": {func(n *bounce.Notice) { notify("NEVER", bounce.Failed)(n); n.Admin = true }, nil},
	} {
		if _, err := bounce.New(with(c.change)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	n := notice(original, nobody, bounce.Recipient{Address: "quiet@y.test", Action: bounce.Failed, Notify: "NEVER"})
	if _, text := write(t, n); strings.Contains(text, "quiet") {
		t.Errorf("a recipient with NOTIFY=NEVER is told of:\n%s", text)
	}
}

func TestMessageThatCannotBeReadIsAnError(t *testing.T) {
	n := notice(original, nobody)
	n.Message = broken{}
	if err := bounce.Write(io.Discard, n); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v, want %v", err, io.ErrClosedPipe)
	}
	if err := bounce.Write(full{}, notice(original, nobody)); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("error %v, want %v", err, io.ErrShortWrite)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error)       { return 0, io.ErrClosedPipe }
func (broken) Seek(int64, int) (int64, error) { return 0, nil }

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// FuzzNotices puts what strangers say wherever it may come to stand.
func FuzzNotices(f *testing.F) {
	f.Add("bob@y.test", "550 no", "mx.test", original, "FULL", 3)
	f.Add("b\r\nX: y@z", "550 \x1b[31m\r\n\r\n--b", "a\nb", "Subject: \xff\x00\r\n\r\n\r.\n", "", 1)
	f.Add("ö@ö", "550 ö\u2028\u0085", "", "\r\n\r\nx", "HDRS", 0)
	f.Fuzz(func(t *testing.T, address, reply, host, message, ret string, extra int) {
		n := notice(message, bounce.Recipient{Address: address, ORcpt: host + ";" + address, Action: bounce.Failed, Reply: reply, Reason: host, Host: host, Status: reply})
		n.Ret, n.ExtraLines, n.Log, n.EnvID, n.MessageID, n.Name = ret, extra, reply, host, host, address
		m, err := bounce.New(n)
		if errors.Is(err, bounce.ErrLoop) || errors.Is(err, bounce.ErrUnwanted) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := m.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		r, err := parse(text)
		if err != nil || len(r.parts) != 3 || len(r.Header) < 12 || len(r.Header) > 14 {
			t.Fatalf("%v, %d parts, %d fields in\n%q", err, len(r.parts), len(r.Header), text)
		}
		for line := range strings.Lines(text) {
			line, ended := strings.CutSuffix(line, "\r\n")
			if !ended || len(line) > 998 || strings.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("bad line %q in\n%q", line, text)
			}
		}
		if !m.EightBit && !isASCII(text) {
			t.Fatalf("8 bits are not told of in\n%q", text)
		}
		for i, part := range r.parts[:2] {
			if strings.ContainsFunc(part, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 }) {
				t.Fatalf("control characters in part %d: %q", i, part)
			}
		}
	})
}

func TestTryMatches(t *testing.T) {
	for pattern, want := range map[string]bool{"": false, "4": true, "1,4,8": true, "14,40": false, " 4 ,x": true, "x,": false} {
		if got := bounce.TryMatches(pattern, 4); got != want {
			t.Errorf("attempt 4 and the pattern %q: %v, want %v", pattern, got, want)
		}
	}
}
