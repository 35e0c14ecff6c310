package mailbox

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// newRoot returns a fresh MailRoot with the account ann@example.test, which has a
// Maildir, or a "mailbox" folder.
func newRoot(t testing.TB, plain bool) *mailroot.Root {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "root")
	err := mailroot.Create(dir, mailroot.NewRoot{
		Domains: []string{"example.test"}, Account: "ann", AccountPassword: "secret of ann",
		Admin: "admin", AdminPassword: "secret of admin", Plain: plain, Cert: []byte("-"), Key: []byte("-"),
	})
	if err != nil {
		t.Fatal(err)
	}
	root, err := mailroot.Open(t.Context(), dir, mailroot.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	})
	return root
}

func ann(t testing.TB, root *mailroot.Root) mailroot.User {
	t.Helper()
	u, ok := root.User("example.test", "ann")
	if !ok {
		t.Fatal("there is no ann@example.test")
	}
	return u
}

// annDir is the folder of ann's account.
func annDir(root *mailroot.Root) string { return root.Path("domains/example.test/ann") }

// message is a small one that is delivered to ann.
func message(name, body string) Message {
	return Message{Name: name, ReturnPath: "x@ext.test", DeliveredTo: "ann@example.test",
		Body: strings.NewReader(body), Size: int64(len(body))}
}

// stored is what a message of [message] looks like in the mailbox.
func stored(body string) string {
	return "Return-Path: <x@ext.test>\r\nDelivered-To: ann@example.test\r\n" + body
}

func write(t testing.TB, name, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o700)
	if err == nil {
		err = os.WriteFile(name, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// setVars replaces the variables of ann.
func setVars(t testing.TB, root *mailroot.Root, lines ...string) {
	t.Helper()
	write(t, filepath.Join(annDir(root), "user.tab"), strings.Join(lines, "\n")+"\n")
	if _, err := root.Store.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// files returns the files in a folder, by their names, with what they hold.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(text)
	}
	return all
}
