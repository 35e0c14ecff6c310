package route_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/route"
)

// BenchmarkFind measures where addresses lead, with few accounts and with many.
func BenchmarkFind(b *testing.B) {
	for _, accounts := range []int{10, 100_000} {
		dir := filepath.Join(b.TempDir(), "MailRoot")
		if err := mailroot.Create(dir, mailroot.NewRoot{Domains: []string{"foo.test"}, Account: "ann", AccountPassword: "a", Admin: "x", AdminPassword: "x"}); err != nil {
			b.Fatal(err)
		}
		var users, aliases strings.Builder
		for i := range accounts {
			fmt.Fprintf(&users, "\"foo.test\"\t\"user%d\"\t\"04\"\t%d\t\"user%d\"\t\"U\"\n", i, i+1, i)
			fmt.Fprintf(&aliases, "\"foo.test\"\t\"alias%d\"\t\"user%d\"\n", i, i)
		}
		aliases.WriteString("\"foo.test\"\t\"help*\"\t\"user1\"\n")
		for name, text := range map[string]string{"mailusers.tab": users.String(), "aliases.tab": aliases.String()} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				b.Fatal(err)
			}
		}
		root, err := mailroot.Open(b.Context(), dir, mailroot.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := root.Close(); err != nil {
				b.Error(err)
			}
		})
		for _, to := range []struct {
			kind, name, domain string
			want               route.Kind
		}{
			{"user", "user7", "foo.test", route.User}, {"alias", "alias7", "foo.test", route.User}, {"pattern", "helpdesk", "foo.test", route.User},
			{"nobody", "nobody", "foo.test", route.NoUser}, {"remote", "user7", "far.test", route.Remote},
		} {
			b.Run(fmt.Sprintf("accounts=%d/to=%s", accounts, to.kind), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if r, err := route.Find(root, to.name, to.domain); err != nil || r.Kind != to.want {
						b.Fatalf("%v, %v, want %v", r.Kind, err, to.want)
					}
				}
			})
		}
	}
}
