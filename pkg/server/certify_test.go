package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// TestKeyWithoutItsCertificateIsNotLeftBehind makes a certificate that cannot be written:
// half a pair would be taken for the administrator's at the next start.
func TestKeyWithoutItsCertificateIsNotLeftBehind(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "MailRoot")
	err := mailroot.Create(dir, mailroot.NewRoot{Domains: []string{"ours.test"}, Account: "ann", AccountPassword: "x", Admin: "admin", AdminPassword: "x"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Root: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.openRoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.root.Close()
	key := s.path("server.key")
	s.selfSign(filepath.Join(dir, "no folder", "server.cert"), key)
	if !absent(key) {
		t.Error("server.key is there without server.cert")
	}
	s.selfSign(s.path("server.cert"), key)
	if _, err := os.Stat(key); err != nil {
		t.Error(err)
	}
}
