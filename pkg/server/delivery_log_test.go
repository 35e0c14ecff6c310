package server_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// TestOneIDFollowsAMessageThroughTheLog goes from the session by a list and a
// notification to the mailboxes, by the id that the client was told.
func TestOneIDFollowsAMessageThroughTheLog(t *testing.T) {
	s := servertest.Start(t)
	c := s.Dial(t)
	defer c.Close()
	for _, words := range [][]string{
		{"domainadd", "a.test"},
		{"useradd", "a.test", "ann", "pw", "U"},
		{"useradd", "a.test", "bob", "pw", "U"},
		{"useradd", "a.test", "list", "pw", "M"},
		{"mluseradd", "a.test", "list", "bob@a.test", "RW"},
		{"mluseradd", "a.test", "list", "gone@a.test", "RW"},
	} {
		if _, err := c.Do(t.Context(), words...); err != nil {
			t.Fatalf("%s: %v", words, err)
		}
	}
	if err := sendMail(s.SMTP, "ann@a.test", "list@a.test", "Subject: x\r\n\r\nx\r\n"); err != nil {
		t.Fatal(err)
	}
	arrived := func(user string) int {
		found, err := filepath.Glob(filepath.Join(s.Dir, "domains/a.test", user, "Maildir/new/*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	wait(t, "the message and the notification", func() bool { return arrived("bob") == 1 && arrived("ann") == 1 })
	s.Stop(t)
	log := s.Log()
	taken := regexp.MustCompile(`msg="message is taken" session=\d+ address=127\.0\.0\.1 message=(S[0-9A-F]+) from=ann@a\.test login="" recipients=1 size=\d+`).FindStringSubmatch(log)
	if taken == nil {
		t.Fatalf("the session does not tell of the message:\n%s", log)
	}
	id := taken[1]
	notification := regexp.MustCompile(`msg="notification is queued" message=` + id + ` .*notification=(X[0-9A-F]+) about=gone@a\.test to=ann@a\.test action=failed`).FindStringSubmatch(log)
	if notification == nil {
		t.Fatalf("the log does not tell which notification %s has:\n%s", id, log)
	}
	for _, want := range []string{
		"msg=delivered message=" + id + " .*to=list@a.test by=LIST", "msg=delivered message=" + id + " .*to=bob@a.test by=LOCAL",
		`msg="delivery has failed" message=` + id + " .*to=gone@a.test", "msg=delivered message=" + notification[1] + " .*to=ann@a.test by=LOCAL",
	} {
		if !regexp.MustCompile(strings.ReplaceAll(want, ".test", `\.test`)).MatchString(log) {
			t.Errorf("%s is not in the log:\n%s", want, log)
		}
	}
}
