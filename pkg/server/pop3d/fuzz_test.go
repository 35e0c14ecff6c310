package pop3d

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// FuzzSession sends arbitrary bytes to a session. It must end by itself, answer in
// lines, and leave the mailbox alone unless it was told to delete.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"USER ann\r\nPASS pass word\r\nSTAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nTOP 2 1\r\nNOOP\r\nLAST\r\nRSET\r\nQUIT\r\n",
		"USER ann\nPASS pass word\nRETR 2\nTOP 1 0\nLIST 2\nUIDL 9\n",
		"CAPA\r\nAUTH\r\nAUTH PLAIN\r\nAGFubgBwYXNzIHdvcmQ=\r\nSTAT\r\nSTLS\r\n",
		"AUTH PLAIN AGFubgBwYXNzIHdvcmQ=\r\nUTF8\r\nDELE 1\r\n",
		"STLS\r\nUSER x\r\n", "APOP ann 0123\r\n", "USER \xff\r\nPASS \x00\r\n", strings.Repeat("x", 9000), "\r\r\r\n\n",
		"AUTH PLAIN =\r\nAUTH PLAIN\r\n*\r\nTOP\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	} {
		f.Add([]byte(seed))
	}
	// No address is blocked, and logins that fail take no time.
	s := newSite(f, vars(1, "LOGIN-MaxFailures", "0", "PasswordScheme", "reversible"), setting(func(p *Server) { p.TLS = nil }))
	s.put("new/one", "Subject: one\r\n\r\n.first\r\n", 1)
	s.put("new/1700000000123.7f01.3e8.1a.host", "Subject: two\n\n..\nno end", 2)
	f.Fuzz(func(t *testing.T, input []byte) {
		if bytes.Contains(bytes.ToUpper(input), []byte("DELE")) && bytes.Contains(bytes.ToUpper(input), []byte("QUIT")) {
			return // it may empty the mailbox of the others
		}
		server, conn := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			defer server.Close()
			s.pop.ServeConn(t.Context(), newConn(server, false))
		}()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			conn.Write(input) // the session may end before it has read all
			conn.Write([]byte("\r\nQUIT\r\nQUIT\r\n"))
		}()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		out, err := io.ReadAll(conn)
		conn.Close()
		<-sent
		<-ended
		if err != nil {
			t.Fatalf("the session did not end: %v", err)
		}
		if !bytes.HasPrefix(out, []byte("+OK ")) || !bytes.HasSuffix(out, []byte("\r\n")) {
			t.Errorf("the session is answered %q", out)
		}
		for _, name := range []string{"new/one", "new/1700000000123.7f01.3e8.1a.host"} {
			if _, err := s.root.Stat("domains/example.test/ann/Maildir/" + name); err != nil {
				t.Fatalf("a message is gone: %v", err)
			}
		}
	})
}
