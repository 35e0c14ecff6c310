package sendmail

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/xmaild/xmaild/pkg/server/lmail"
)

// speak speaks SMTP on standard input and output, for programs that send so (-bs).
func (j *job) speak() error {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	server := gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) {
		return &session{job: j}, nil
	}))
	server.Domain, server.EnableDSN, server.EnableSMTPUTF8 = host, true, true
	server.MaxRecipients, server.MaxMessageBytes = lmail.MaxRecipients, j.place.Limit()
	l := &once{conn: newStdio(j.Stdin, j.Stdout, j.Getenv("DEFAULT_DOMAIN"))}
	if err := server.Serve(l); err != nil && !errors.Is(err, net.ErrClosed) {
		return failure{IOErr, err}
	}
	return nil
}

// A session is an SMTP session of somebody of this machine.
type session struct {
	*job
	head lmail.Head
}

func (s *session) Reset()        { s.head = lmail.Head{} }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, opts *gosmtp.MailOptions) error {
	s.head = lmail.Head{Body: string(opts.Body), UTF8: opts.UTF8, Ret: string(opts.Return), EnvID: opts.EnvelopeID}
	if from == "" {
		return nil
	}
	var err error
	s.head.From, err = s.checked(bare(from))
	return reply(err)
}

func (s *session) Rcpt(to string, opts *gosmtp.RcptOptions) error {
	to, err := s.checked(bare(to))
	if err != nil {
		return reply(err)
	}
	notify := ""
	for i, n := range opts.Notify {
		if i > 0 {
			notify += ","
		}
		notify += string(n)
	}
	s.head.Recipients = append(s.head.Recipients, lmail.Recipient{Address: to, Notify: notify})
	return nil
}

func (s *session) Data(r io.Reader) error {
	return reply(s.put(s.head, func(w io.Writer) error {
		text := lmail.NewText(w)
		if _, err := io.Copy(text, r); err != nil {
			return err
		}
		return text.Close()
	}))
}

// reply is what SMTP says of an error.
func reply(err error) error {
	var f failure
	switch {
	case err == nil:
		return nil
	case errors.Is(err, lmail.ErrTooBig), errors.Is(err, gosmtp.ErrDataTooLarge):
		return &gosmtp.SMTPError{Code: 552, EnhancedCode: gosmtp.EnhancedCode{5, 3, 4}, Message: "The message is too big"}
	case errors.As(err, &f) && f.status == DataErr:
		return &gosmtp.SMTPError{Code: 553, EnhancedCode: gosmtp.EnhancedCode{5, 1, 3}, Message: "That is no address"}
	case errors.As(err, &f) && f.status == NoPerm:
		return &gosmtp.SMTPError{Code: 554, EnhancedCode: gosmtp.EnhancedCode{5, 3, 0}, Message: "You may not put mail there"}
	}
	return &gosmtp.SMTPError{Code: 451, EnhancedCode: gosmtp.EnhancedCode{4, 3, 0}, Message: "The message is not queued; try again later"}
}

// once is a listener that has one connection, and ends with it.
type once struct {
	conn *stdio
	mu   sync.Mutex
	used bool
}

func (l *once) Accept() (net.Conn, error) {
	l.mu.Lock()
	used := l.used
	l.used = true
	l.mu.Unlock()
	if !used {
		return l.conn, nil
	}
	<-l.conn.closed
	return nil, net.ErrClosed
}

func (l *once) Close() error   { return l.conn.Close() }
func (l *once) Addr() net.Addr { return local{} }
