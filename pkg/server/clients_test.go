package server_test

import (
	"bufio"
	"context"
	"crypto/md5"
	"encoding/csv"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// What the scripts in testdata/clients print.
const (
	perlOutput = `greeting +00000 XMail 1.27
login +00000
domainadd +00000
useradd +00000
useradd -00013
userlist +00100
  perl.test,ann,pw,U
usersetmproc +00101
  +00000
usergetmproc +00100
  mailbox
  .dotted
userdel +00000
domaindel +00000
quit +00000
end
`
	phpOutput = `domainadd +00000
useradd +00000
useradd -00013
userlist +00100
  php.test,ann,two words,U
usersetmproc +00101
  +00000
usergetmproc +00100
  mailbox
  redirect,b@x.test
uservars +00100
  RealName,??
  HomePage,??
  MaxMBSize,10000
  SmtpPerms,MR
  ReceiveEnable,1
  PopEnable,1
domaindel +00000
`
)

func TestClientInPerl(t *testing.T) {
	testScript(t, perlOutput, "perl", "../../testdata/clients/session.pl")
}

func TestClientInPHP(t *testing.T) {
	testScript(t, phpOutput, "php", "../../testdata/clients/commands.php")
}

func testScript(t *testing.T, want string, command ...string) {
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Skipf("%s is not installed here; TestClientPerCommand and the exchanges test the same habits in Go", command[0])
	}
	s := servertest.Start(t)
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	var stdout, stderr strings.Builder
	args := append(command[1:len(command):len(command)], host, port, servertest.User, servertest.Password)
	cmd := exec.CommandContext(ctx, command[0], args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if diff := cmp.Diff(want, stdout.String()); diff != "" || err != nil || stderr.Len() > 0 {
		t.Errorf("%s: %v\n%s\noutput (-want +got):\n%s", strings.Join(command, " "), err, stderr.String(), diff)
	}
}

// The habits of the PHP client, in Go: a connection for every command, a bare LF
// at the end of lines, rows read as CSV with tabs.
func TestClientPerCommand(t *testing.T) {
	s := servertest.Start(t)
	var out strings.Builder
	for _, c := range []struct{ command, upload string }{
		{"domainadd\tphp.test", ""},
		{"useradd\t\"php.test\"\t\"ann\"\t\"two words\"\t\"U\"", ""},
		{"useradd\tphp.test\tann\tpw\tU", ""},
		{"userlist\tphp.test\t\t", ""},
		{"usersetmproc\tphp.test\tann", "\"mailbox\"\n\"redirect\"\t\"b@x.test\""},
		{"usergetmproc\tphp.test\tann", ""},
		{"uservars\tphp.test\tann", ""},
		{"domaindel\tphp.test", ""},
	} {
		if err := runOne(&out, s.Addr, c.command, c.upload); err != nil {
			t.Fatalf("%q: %v\nuntil then:\n%s", c.command, err, out.String())
		}
	}
	if diff := cmp.Diff(phpOutput, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func runOne(out io.Writer, addr, command, upload string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	line := func() string {
		text, readErr := r.ReadString('\n')
		if err == nil {
			err = readErr
		}
		return strings.TrimRight(text, "\r\n")
	}
	greeting := strings.Split(line(), " ")
	if len(greeting) < 4 || greeting[0] != "+00000" || greeting[2] != "XMail" || greeting[3] != "1.27" {
		return fmt.Errorf("greeting %q, want the version as its fourth word (%v)", greeting, err)
	}
	fmt.Fprintf(conn, "%s\t#%x\n", servertest.User, md5.Sum([]byte(greeting[1]+servertest.Password)))
	if login := line(); !strings.Contains(login, "OK") {
		return fmt.Errorf("login: %q (%v)", login, err)
	}
	fmt.Fprintf(conn, "%s\n", command)
	answer := line()
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(command, "\t")
	fmt.Fprintf(out, "%s %.6s\n", name, answer)
	switch {
	case strings.HasPrefix(answer, "+00100"):
		rows := csv.NewReader(r)
		rows.Comma, rows.FieldsPerRecord = '\t', -1
		for {
			row, err := rows.Read()
			if err != nil {
				return err
			}
			if row[0] == "." {
				return nil // the reader has read ahead: this connection has done its work
			}
			fmt.Fprintf(out, "  %s\n", strings.Join(row, ","))
		}
	case strings.HasPrefix(answer, "+00101"):
		fmt.Fprintf(conn, "%s\n.\n", upload)
		fmt.Fprintf(out, "  %.6s\n", line())
	}
	fmt.Fprint(conn, "quit\n")
	if bye := line(); !strings.HasPrefix(bye, "+00000") {
		return fmt.Errorf("quit: %q (%v)", bye, err)
	}
	return err
}
