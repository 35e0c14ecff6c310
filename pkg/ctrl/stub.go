package ctrl

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"iter"
	"net"
	"net/netip"
)

var errStub = errors.New("not there yet")

type (
	sessionCounts struct{}
	failureCounts struct{}
	conn          struct{}
	clientConn    struct{ greeting string }
)

func (l Login) verify(string) bool                                { return false }
func (s *Server) serve(context.Context, net.Listener, bool) error { return errStub }
func (s *Server) shutdown(context.Context) error                  { return errStub }
func (d *Dialer) dial(context.Context, string) (*Client, error)   { return nil, errStub }
func (e *ProtocolError) Error() string                            { return e.Line }
func (e *UploadError) Error() string                              { return e.Err.Error() }
func (c *clientConn) tlsState() *tls.ConnectionState              { return nil }
func (c *clientConn) quit() error                                 { return errStub }
func (c *clientConn) close() error                                { return errStub }
func (c *Client) do(context.Context, []string) (*Response, error) { return nil, errStub }
func (c *Client) listAll(context.Context, []string) ([]string, error) {
	return nil, errStub
}
func (c *Client) uploadAll(context.Context, io.Reader, []string) error { return errStub }
func (r *Response) lines() iter.Seq2[string, error]                    { return nil }
func (r *Response) rows() iter.Seq2[[]string, error]                   { return nil }
func (r *Response) upload(io.Reader) error                             { return errStub }
func splitRow(line string) []string                                    { return split(line) }
func digest(timestamp, password string) string                         { return "" }

var _ netip.Addr
