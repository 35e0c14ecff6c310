package smtpd

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRecordedSessions plays the SMTP sessions of testdata/conformance. What they
// change over the control port is written into the tables here.
func TestRecordedSessions(t *testing.T) {
	for _, name := range []string{"20-smtp-session.txt", "21-smtp-auth.txt", "22-smtp-access.txt"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "conformance", "services", name))
			if err != nil {
				t.Fatal(err)
			}
			p := &player{t: t}
			p.fresh()
			for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
				p.line = i + 1
				p.step(line)
			}
			if p.replies == 0 {
				t.Error("no reply was compared")
			}
		})
	}
}

// A player plays one recording.
type player struct {
	t         *testing.T
	line      int
	dir       string
	file      string // that is being written
	server    *rig
	c         *client
	smtp      bool
	challenge string
	body      []string
	replies   int
}

// fresh makes a new MailRoot.
func (p *player) fresh() {
	p.dir, p.c, p.smtp, p.file = filepath.Join(p.t.TempDir(), "MailRoot"), nil, false, ""
	if err := os.CopyFS(p.dir, os.DirFS(filepath.Join("..", "..", "..", "testdata", "conformance", "mailroot"))); err != nil {
		p.t.Fatal(err)
	}
	addUser(p.t, p.dir, "xmailserver.test", "xmailuser", "xmail")
}

func (p *player) step(line string) {
	mark, text, _ := strings.Cut(line, " ")
	text = strings.ReplaceAll(text, `\t`, "\t")
	switch mark {
	case "!":
		p.body = nil
		p.smtp = text == "smtp"
		switch text {
		case "fresh":
			p.fresh()
		case "smtp":
			if p.c != nil {
				p.c.Close()
				p.server.stop()
			}
			p.server = &rig{dir: p.dir}
			p.server.serve(p.t)
			p.c = p.server.dial(p.t)
		}
	case "+":
		p.file = text
		write(p.t, p.dir, text, "")
	case "+|":
		f, err := os.OpenFile(filepath.Join(p.dir, filepath.FromSlash(p.file)), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			p.t.Fatal(err)
		}
		defer f.Close()
		fmt.Fprintln(f, text)
	case ">":
		if p.smtp {
			p.c.send(p.expand(text) + "\r\n")
			return
		}
		p.control(strings.Split(text, "\t"))
	case ">|":
		if strings.HasPrefix(text, ".") {
			text = "." + text
		}
		p.body = append(p.body, text)
	case ">.":
		p.body = append(p.body, ".")
	case "<":
		if p.smtp {
			p.reply(text)
		}
	}
}

// control does what a control command does.
func (p *player) control(f []string) {
	switch f[0] {
	case "domainadd":
		p.add("domains.tab", f[1:])
	case "useradd":
		addUser(p.t, p.dir, f[1], f[2], f[3])
	case "aliasadd":
		p.add("aliases.tab", f[1:])
	}
}

func (p *player) add(table string, fields []string) {
	text, err := os.ReadFile(filepath.Join(p.dir, table))
	if err != nil {
		p.t.Fatal(err)
	}
	write(p.t, p.dir, table, string(text)+`"`+strings.Join(fields, "\"\t\"")+"\"\n")
}

func (p *player) reply(want string) {
	got := p.c.reply()
	last := got[strings.LastIndexByte(got, '|')+1:]
	p.replies++
	if last[:1] != want[:1] {
		p.t.Errorf("line %d: answered %q, want %s", p.line, got, want)
	}
	if strings.HasPrefix(last, "334 ") {
		challenge, err := base64.StdEncoding.DecodeString(last[4:])
		if err != nil {
			p.t.Errorf("line %d: %q: %v", p.line, last, err)
		}
		p.challenge = string(challenge)
	}
	if strings.HasPrefix(last, "354") {
		p.c.send(strings.Join(p.body, "\r\n") + "\r\n")
	}
}

// expand computes the credentials of a command.
func (p *player) expand(text string) string {
	before, rest, ok := strings.Cut(text, "{")
	if !ok {
		return text
	}
	words := strings.Fields(strings.TrimSuffix(rest, "}"))
	var credentials string
	switch words[0] {
	case "plain":
		credentials = "\x00" + words[1] + "\x00" + words[2]
	case "b64":
		credentials = words[1]
	case "cram":
		sum := hmac.New(md5.New, []byte(words[2]))
		sum.Write([]byte(p.challenge))
		credentials = words[1] + " " + hex.EncodeToString(sum.Sum(nil))
	}
	return before + base64.StdEncoding.EncodeToString([]byte(credentials))
}
