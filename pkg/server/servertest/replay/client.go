package replay

import (
	"bufio"
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// patience is how long a server may take for one line.
const patience = 20 * time.Second

// client speaks the control protocol with as little knowledge of it as the job
// allows.
type client struct {
	conn   net.Conn
	r      *bufio.Reader
	token  string // of the greeting, brackets and all
	queued []string
	closed bool // by us, or the server is known to close
}

// dial connects and reads the greeting. A refusing greeting is left to be read
// as the first reply.
func dial(ctx context.Context, addr string) (*client, error) {
	d := net.Dialer{Timeout: patience}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, r: bufio.NewReader(conn)}
	greeting, err := c.readLine()
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("reading the greeting: %w", err)
	}
	if strings.HasPrefix(greeting, "-") {
		c.queued = append(c.queued, greeting)
		return c, nil
	}
	open, end := strings.Index(greeting, "<"), strings.Index(greeting, ">")
	if !strings.HasPrefix(greeting, "+00000 ") || open < 0 || end < open {
		conn.Close()
		return nil, fmt.Errorf("greeting %q has no timestamp", greeting)
	}
	c.token = greeting[open : end+1]
	return c, nil
}

func (c *client) close() {
	c.closed = true
	c.conn.Close()
}

func (c *client) readLine() (string, error) {
	if len(c.queued) > 0 {
		line := c.queued[0]
		c.queued = c.queued[1:]
		return line, nil
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	line, err := c.r.ReadString('\n')
	if err != nil {
		if line != "" {
			return "", fmt.Errorf("%w after %q", err, line)
		}
		return "", err
	}
	body, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		return "", fmt.Errorf("line %q does not end in CR LF", line)
	}
	return body, nil
}

func (c *client) writeLine(line string) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := c.conn.Write([]byte(line + "\r\n"))
	return err
}

// startTLS does the handshake; no certificate is checked, as in the reference's
// client.
func (c *client) startTLS(ctx context.Context) error {
	if c.r.Buffered() > 0 {
		return errors.New("clear text follows the go-ahead for TLS")
	}
	t := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	c.conn, c.r = t, bufio.NewReader(t)
	return nil
}

func (c *client) login(conn Conn) error {
	pass := conn.Pass
	if !conn.Plain {
		sum := md5.Sum([]byte(c.token + conn.Pass))
		pass = "#" + hex.EncodeToString(sum[:])
	}
	return c.writeLine(`"` + conn.User + "\"\t\"" + pass + `"`)
}

// readList reads the lines of a list and takes the stuffed dots away.
func (c *client) readList() ([]string, error) {
	var rows []string
	for {
		line, err := c.readLine()
		if err != nil {
			return rows, fmt.Errorf("in a list: %w", err)
		}
		if line == "." {
			return rows, nil
		}
		rows = append(rows, strings.TrimPrefix(line, "."))
	}
}
