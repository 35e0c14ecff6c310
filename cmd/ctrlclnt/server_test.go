package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

const recorderPassword = "secretpw"

// A recorder is a control server that writes every command to the file
// requests, the arguments quoted as in Go, and every upload to the file upload.
// It answers as the file reply-COMMAND says, with OK where there is none. The
// first line of that file is
//
//	list                the other lines are the list
//	cut                 the same, but the connection ends before the list does
//	refuse CODE TEXT    a refusal
//	upload              an upload is taken
//	upload CODE TEXT    an upload is taken and then refused
type recorder struct {
	dir           string
	plain, native string
	server        *ctrl.Server
	wg            sync.WaitGroup
	cancel        context.CancelFunc
	mu            sync.Mutex
}

func startRecorder(dir string, cert tls.Certificate) (*recorder, error) {
	r := &recorder{dir: dir}
	if err := os.WriteFile(filepath.Join(dir, "requests"), nil, 0o666); err != nil {
		return nil, err
	}
	r.server = &ctrl.Server{
		Handler: r,
		Authenticator: ctrl.AuthenticatorFunc(func(_ context.Context, l ctrl.Login) error {
			how := "md5"
			if !l.MD5 {
				how = "clear"
			}
			if l.TLS != nil {
				how += " tls"
				for _, c := range l.TLS.PeerCertificates {
					how += " " + c.Subject.CommonName
				}
			}
			r.append("logins", l.User+" "+how+"\n")
			if l.User != "admin" || !l.Verify(recorderPassword) {
				return ctrl.ErrLogin
			}
			return nil
		}),
		TLSConfig: func() (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert}, nil
		},
		Limits: ctrl.Limits{FailedLogins: -1, FailureDelay: -1},
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	for _, native := range []bool{false, true} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		serve := r.server.Serve
		if native {
			r.native, serve = l.Addr().String(), r.server.ServeTLS
		} else {
			r.plain = l.Addr().String()
		}
		r.wg.Go(func() { serve(ctx, l) })
	}
	return r, nil
}

func (r *recorder) stop() {
	r.cancel()
	r.wg.Wait()
}

func (r *recorder) append(file, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, err := os.OpenFile(filepath.Join(r.dir, file), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	f.WriteString(line)
}

func (r *recorder) ServeCtrl(_ context.Context, req *ctrl.Request) ctrl.Reply {
	line := req.Command
	for _, a := range req.Args {
		line += " " + strconv.Quote(a)
	}
	r.append("requests", line+"\n")
	content, err := os.ReadFile(filepath.Join(r.dir, "reply-"+req.Command))
	if err != nil {
		return ctrl.OK()
	}
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	word, rest, _ := strings.Cut(lines[0], " ")
	refuse := func() ctrl.Reply {
		code, text, _ := strings.Cut(rest, " ")
		n, _ := strconv.Atoi(code)
		return ctrl.Refuse(ctrl.Code(n), "%s", text)
	}
	switch word {
	case "refuse":
		return refuse()
	case "list", "cut":
		return ctrl.List(func(w *ctrl.ListWriter) error {
			for _, l := range lines[1:] {
				if err := w.Line(l); err != nil {
					return err
				}
			}
			if word == "cut" {
				return errors.New("cut")
			}
			return nil
		})
	case "upload":
		return ctrl.Upload(1<<20, func(_ context.Context, content []byte) ctrl.Reply {
			if rest != "" {
				return refuse()
			}
			if err := os.WriteFile(filepath.Join(r.dir, "upload"), content, 0o666); err != nil {
				panic(err)
			}
			return ctrl.OK()
		})
	}
	panic("unknown reply " + lines[0])
}

// A rawServer plays a script to every client: "> LINE" is sent, "<" reads a
// line, "<<" reads until the client closes, "sync" wakes wait. After the last
// step the connection is closed; the lines that were read are then written to a file, with
// "end" after them where the client had closed, and wait is woken.
type rawServer struct {
	addr string
	log  string
	l    net.Listener
	wg   sync.WaitGroup
	woke chan struct{}
}

func startRawServer(script, log string) (*rawServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &rawServer{addr: l.Addr().String(), log: log, l: l, woke: make(chan struct{}, 16)}
	r.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() { r.play(c, script) })
		}
	})
	return r, nil
}

func (r *rawServer) stop() {
	r.l.Close()
	r.wg.Wait()
}

func (r *rawServer) wait() error {
	select {
	case <-r.woke:
		return nil
	case <-time.After(time.Minute):
		return errors.New("the raw server saw no client come so far")
	}
}

func (r *rawServer) play(c net.Conn, script string) {
	var seen strings.Builder
	defer func() {
		c.Close()
		os.WriteFile(r.log, []byte(seen.String()), 0o666)
		r.woke <- struct{}{}
	}()
	c.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(c)
	for step := range strings.Lines(script) {
		step = strings.TrimSuffix(step, "\n")
		switch {
		case strings.HasPrefix(step, "> "):
			fmt.Fprintf(c, "%s\r\n", step[2:])
		case step == "sync":
			r.woke <- struct{}{}
		case step == "<", step == "<<":
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					seen.WriteString("end\n")
					return
				}
				seen.WriteString(strings.TrimRight(line, "\r\n") + "\n")
				if step == "<" {
					break
				}
			}
		}
	}
}

// certificates are what an authority issued for 127.0.0.1, and for no name.
type certificates struct {
	server      tls.Certificate
	fingerprint string
}

// writeCertificates makes an authority (ca.pem, and alone in the folder
// cadir), a second one that nothing is signed by (other.pem), and a client's
// certificate and key (client.pem, client.key).
func writeCertificates(dir string) (certificates, error) {
	if err := os.MkdirAll(filepath.Join(dir, "cadir"), 0o777); err != nil {
		return certificates{}, err
	}
	ca, caDER, caKey, err := issue("Test Authority", nil, nil)
	if err != nil {
		return certificates{}, err
	}
	_, otherDER, _, err := issue("Other Authority", nil, nil)
	if err != nil {
		return certificates{}, err
	}
	_, serverDER, serverKey, err := issue("test server", ca, caKey)
	if err != nil {
		return certificates{}, err
	}
	_, clientDER, clientKey, err := issue("client one", ca, caKey)
	if err != nil {
		return certificates{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(clientKey)
	if err != nil {
		return certificates{}, err
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem":           {Type: "CERTIFICATE", Bytes: caDER},
		"cadir/1a2b3c4d.0": {Type: "CERTIFICATE", Bytes: caDER},
		"other.pem":        {Type: "CERTIFICATE", Bytes: otherDER},
		"client.pem":       {Type: "CERTIFICATE", Bytes: clientDER},
		"client.key":       {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return certificates{}, err
		}
	}
	sum := sha256.Sum256(serverDER)
	return certificates{
		server:      tls.Certificate{Certificate: [][]byte{serverDER}, PrivateKey: serverKey},
		fingerprint: hex.EncodeToString(sum[:]),
	}, nil
}

// issue makes a certificate; without a parent it is an authority's.
func issue(name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, []byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		BasicConstraintsValid: true,
		IsCA:                  parent == nil,
	}
	if parent == nil {
		parent, parentKey = template, key
		template.KeyUsage = x509.KeyUsageCertSign
	} else {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, der, key, err
}
