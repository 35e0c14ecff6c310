package selfcert

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"
)

func TestCertificateIsTrustedForItsHosts(t *testing.T) {
	now := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	certPEM, keyPEM, err := New([]string{"localhost", "127.0.0.1", "::1"}, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatalf("certificate and key do not belong together: %v", err)
	}
	block, _ := pem.Decode(certPEM)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	for _, test := range []struct {
		host  string
		at    time.Time
		valid bool
	}{
		{"localhost", now, true},
		{"127.0.0.1", now, true},
		{"::1", now.Add(Life - time.Hour), true},
		{"example.org", now, false},
		{"localhost", now.Add(Life + time.Hour), false},
	} {
		_, err := cert.Verify(x509.VerifyOptions{DNSName: test.host, Roots: roots, CurrentTime: test.at})
		if (err == nil) != test.valid {
			t.Errorf("verifying for %s at %v: %v, want valid %v", test.host, test.at, err, test.valid)
		}
	}
}

func TestFingerprint(t *testing.T) {
	certPEM, keyPEM, err := New([]string{"localhost"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	got, err := Fingerprint(append(keyPEM, certPEM...))
	if err != nil {
		t.Fatal(err)
	}
	if pairs := strings.Split(got, ":"); len(pairs) != 32 || len(pairs[0]) != 2 {
		t.Errorf("fingerprint %q, want 32 pairs of digits", got)
	}
	if _, err := Fingerprint(keyPEM); err == nil {
		t.Error("a key alone has a fingerprint")
	}
}
