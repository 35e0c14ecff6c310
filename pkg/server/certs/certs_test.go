package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/selfcert"
)

// An identity is a certificate with its key, to sign others or to show.
type identity struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate signed by parent, or by itself where parent is nil.
func issue(t *testing.T, name string, authority bool, parent *identity) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
		IsCA:                  authority,
	}
	if authority {
		template.KeyUsage = x509.KeyUsageCertSign
	} else {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	signer, signKey := template, key
	if parent != nil {
		signer, signKey = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, signKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &identity{cert, key}
}

func (i *identity) show(chain ...*identity) *tls.Certificate {
	c := &tls.Certificate{Certificate: [][]byte{i.cert.Raw}, PrivateKey: i.key}
	for _, up := range chain {
		c.Certificate = append(c.Certificate, up.cert.Raw)
	}
	return c
}

func (i *identity) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})
}

func writeFile(t *testing.T, content []byte, elem ...string) {
	t.Helper()
	name := filepath.Join(elem...)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func newServerCert(t *testing.T, root string) { newCert(t, root, "server", time.Now(), "localhost") }

// newCert makes a pair for hosts, made at that time.
func newCert(t *testing.T, root, stem string, at time.Time, hosts ...string) {
	t.Helper()
	cert, key, err := selfcert.New(hosts, at)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, cert, root, stem+".cert")
	writeFile(t, key, root, stem+".key")
}

// handshake shakes hands over a pipe and returns what each side made of it.
func handshake(t *testing.T, config *tls.Config, show *tls.Certificate, version uint16) (state tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	go func() {
		s := tls.Server(a, config)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		done <- err
		a.Close()
	}()
	c := &tls.Config{InsecureSkipVerify: true, MaxVersion: version}
	if show != nil {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return show, nil }
	}
	client := tls.Client(b, c)
	_, clientErr = client.Read(make([]byte, 1))
	b.Close()
	return client.ConnectionState(), <-done, clientErr
}

func TestClientCertificates(t *testing.T) {
	root := t.TempDir()
	newServerCert(t, root)
	ca := issue(t, "authority", true, nil)
	middle := issue(t, "middle", true, ca)
	stranger := issue(t, "stranger", true, nil)
	writeFile(t, ca.pem(), root, "certs.pem")
	writeFile(t, ca.pem(), root, "certs", "0a1b2c3d.0")
	if err := os.Symlink("gone", filepath.Join(root, "certs", "dangling.0")); err != nil {
		t.Fatal(err)
	}

	short := issue(t, "short", false, ca).show()
	long := issue(t, "long", false, middle).show(middle)
	own := issue(t, "own", false, nil).show()
	unknown := issue(t, "unknown", false, stranger).show()
	unknownWithRoot := issue(t, "unknown", false, stranger).show(stranger)

	for _, test := range []struct {
		name   string
		policy Policy
		show   *tls.Certificate
		want   bool
	}{
		{"nothing wanted, none shown", Policy{}, nil, true},
		{"nothing wanted, a stranger's shown", Policy{}, unknown, true},
		{"checked, none shown", Policy{WantVerify: true, UseCertsFile: true}, nil, true},
		{"wanted, none shown", Policy{WantCert: true, UseCertsFile: true}, nil, false},
		{"checked, good", Policy{WantVerify: true, UseCertsFile: true}, short, true},
		{"checked, good by the folder", Policy{WantVerify: true, UseCertsDir: true}, short, true},
		{"checked, not of the system's authorities", Policy{WantVerify: true}, short, false},
		{"wanted, good", Policy{WantCert: true, UseCertsFile: true}, long, true},
		{"checked, a stranger's", Policy{WantVerify: true, UseCertsFile: true}, unknown, false},
		{"checked, signed by itself", Policy{WantVerify: true, UseCertsFile: true}, own, false},
		{"signed by itself is allowed", Policy{WantVerify: true, UseCertsFile: true, AllowSelfSigned: true}, own, true},
		{"a stranger's is not, though", Policy{WantVerify: true, UseCertsFile: true, AllowSelfSigned: true}, unknown, false},
		{"a self-signed authority in the chain is", Policy{WantVerify: true, UseCertsFile: true, AllowSelfSigned: true}, unknownWithRoot, true},
		{"as deep as allowed", Policy{WantVerify: true, UseCertsFile: true, MaxDepth: 2}, long, true},
		{"deeper than allowed", Policy{WantVerify: true, UseCertsFile: true, MaxDepth: 1}, long, false},
	} {
		config, err := New(root, nil, nil).Config(test.policy)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		_, serverErr, clientErr := handshake(t, config, test.show, 0)
		if (serverErr == nil) != test.want || (clientErr == nil) != test.want {
			t.Errorf("%s: server says %v, client %v, want success %v", test.name, serverErr, clientErr, test.want)
		}
	}
}

func TestAbsentAuthoritiesDoNotCount(t *testing.T) {
	root := t.TempDir()
	newServerCert(t, root)
	ca := issue(t, "authority", true, nil)
	shown := issue(t, "client", false, ca).show()
	both := Policy{WantVerify: true, UseCertsFile: true, UseCertsDir: true}
	for _, test := range []struct {
		name      string
		file      []string // with the authority of the client
		show      *tls.Certificate
		want      bool
		otherwise string
	}{
		{"neither is there, none shown", nil, nil, true, "TLS as before"},
		{"neither is there", nil, shown, false, "the authorities of the system to count"},
		{"the file alone", []string{"certs.pem"}, shown, true, "the authorities of the file to count"},
	} {
		if test.file != nil {
			writeFile(t, ca.pem(), append([]string{root}, test.file...)...)
		}
		config, err := New(root, nil, nil).Config(both)
		if err != nil {
			t.Errorf("%s: %v, want %s", test.name, err, test.otherwise)
			continue
		}
		if _, serverErr, _ := handshake(t, config, test.show, 0); (serverErr == nil) != test.want {
			t.Errorf("%s: server says %v, want %s", test.name, serverErr, test.otherwise)
		}
	}
}

// TestAuthoritiesThatChangeInPlaceAreReadAgain writes another authority into a file, which
// does not change its folder.
func TestAuthoritiesThatChangeInPlaceAreReadAgain(t *testing.T) {
	root := t.TempDir()
	newServerCert(t, root)
	s := New(root, nil, nil)
	policy := Policy{WantVerify: true, UseCertsDir: true}
	for n := range 2 {
		ca := issue(t, "authority", true, nil)
		writeFile(t, ca.pem(), root, "certs", "ca.pem")
		at := time.Now().Add(time.Duration(n) * time.Minute)
		if err := os.Chtimes(filepath.Join(root, "certs", "ca.pem"), at, at); err != nil {
			t.Fatal(err)
		}
		config, err := s.Config(policy)
		if err != nil {
			t.Fatal(err)
		}
		if _, err, _ := handshake(t, config, issue(t, "client", false, ca).show(), 0); err != nil {
			t.Errorf("client of authority %d: %v, want it let in", n, err)
		}
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	root := t.TempDir()
	newServerCert(t, root)
	config, err := New(root, nil, nil).Config(Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if _, serverErr, _ := handshake(t, config, nil, tls.VersionTLS11); serverErr == nil {
		t.Error("TLS 1.1 was spoken, want it refused")
	}
	if _, serverErr, clientErr := handshake(t, config, nil, tls.VersionTLS12); serverErr != nil || clientErr != nil {
		t.Errorf("TLS 1.2: server %v, client %v, want it spoken", serverErr, clientErr)
	}
}

func TestReplacedCertificateIsUsed(t *testing.T) {
	root := t.TempDir()
	newServerCert(t, root)
	c := New(root, nil, nil)
	c.rest = 0
	serial := func() *big.Int {
		t.Helper()
		config, err := c.Config(Policy{})
		if err != nil {
			t.Fatal(err)
		}
		state, serverErr, clientErr := handshake(t, config, nil, 0)
		if serverErr != nil || clientErr != nil {
			t.Fatalf("handshake: server %v, client %v", serverErr, clientErr)
		}
		return state.PeerCertificates[0].SerialNumber
	}
	first := serial()
	if again := serial(); again.Cmp(first) != 0 {
		t.Errorf("serial number %v, then %v, want the same", first, again)
	}
	later := time.Now().Add(time.Minute)
	newServerCert(t, root)
	for _, name := range []string{"server.cert", "server.key"} {
		if err := os.Chtimes(filepath.Join(root, name), later, later); err != nil {
			t.Fatal(err)
		}
	}
	second := serial()
	if second.Cmp(first) == 0 {
		t.Error("the old certificate is still shown after both files were replaced")
	}
	// Half of the way to a third one the second serves on.
	writeFile(t, []byte("rubbish"), root, "server.key")
	if got := serial(); got.Cmp(second) != 0 {
		t.Errorf("serial number %v with a broken key, want the last good one %v", got, second)
	}
}

func TestMissingOrBrokenCertificateIsAnError(t *testing.T) {
	root := t.TempDir()
	if _, err := New(root, nil, nil).Config(Policy{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without files: %v, want that one does not exist", err)
	}
	writeFile(t, []byte("rubbish"), root, "server.cert")
	writeFile(t, []byte("rubbish"), root, "server.key")
	if _, err := New(root, nil, nil).Config(Policy{}); err == nil {
		t.Error("with rubbish: no error")
	}
}
