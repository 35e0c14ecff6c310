package admin

import (
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// Names and values in Shift_JIS, some of which have a backslash for a second
// byte.
const (
	soft    = "\x83\x5c\x83\x74\x83\x67"                             // ソフト
	hyouji  = "\x95\x5c\x8e\xa6"                                     // 表示
	sales   = "\x89\x63\x8b\xc6*"                                    // 営業*
	endsIn  = "\x94\x5c\x97\xcd\x83\x5c"                             // 能力ソ, its last byte is a backslash
	realTab = "domains/example.jp/tanaka/user.tab"                   // in testdata
	address = "\"Address\"\t\"\x93\x8c\x8b\x9e\x93s\x90\xe7\x91\xe3" // how its untouched row begins
)

// TestUntouchedRowsKeepTheirBytes works on a MailRoot in Shift_JIS with CRLF in
// one of its tables.
func TestUntouchedRowsKeepTheirBytes(t *testing.T) {
	f := &fixture{t: t, dir: t.TempDir()}
	if err := os.CopyFS(f.dir, os.DirFS("../mailroot/testdata/shiftjis")); err != nil {
		t.Fatal(err)
	}
	root, err := mailroot.Open(t.Context(), f.dir, mailroot.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	f.Service = New(root, Options{})
	t.Cleanup(f.stop)
	before := f.tree()
	ctx := t.Context()

	f.ok(f.UserAuth(ctx, "example.jp", soft, "\x95\x5c"))
	f.ok(f.UserPasswd(ctx, "example.jp", soft, endsIn))
	f.ok(f.UserAuth(ctx, "EXAMPLE.JP", soft, endsIn))
	f.ok(f.UserDel(ctx, "example.jp", hyouji))
	f.ok(f.UserAdd(ctx, "example.jp", "suzuki", "pw", "U"))
	f.ok(f.AliasAdd(ctx, "example.jp", "new", soft))
	f.ok(f.AliasDel(ctx, "example.jp", sales))
	f.ok(f.SetUserVars(ctx, "example.jp", "tanaka", Setting{"RealName", endsIn}, Setting{"New", "1"}))

	after := f.tree()
	for _, c := range []struct {
		file         string
		gone, come   int // rows
		crlf         bool
		stays, comes string
	}{
		{"mailusers.tab", 2, 2, true, "# \x97\x98\x97p", "suzuki"},
		{"aliases.tab", 1, 1, false, "\"postmaster\"", "\"new\""},
		{realTab, 1, 2, false, address, "\"RealName\"\t" + endsIn},
	} {
		old, now := strings.SplitAfter(before[c.file], "\n"), strings.SplitAfter(after[c.file], "\n")
		var gone, come []string
		for _, line := range old {
			if !slices.Contains(now, line) {
				gone = append(gone, line)
			}
		}
		for _, line := range now {
			if !slices.Contains(old, line) {
				come = append(come, line)
			}
			if line != "" && strings.HasSuffix(line, "\r\n") != c.crlf {
				t.Errorf("%s: line end of %q", c.file, line)
			}
		}
		if len(gone) != c.gone || len(come) != c.come {
			t.Errorf("%s: gone %q, come %q, want %d and %d lines", c.file, gone, come, c.gone, c.come)
		}
		if !strings.Contains(after[c.file], c.stays) || !strings.Contains(after[c.file], c.comes) {
			t.Errorf("%s: want %q and %q in it:\n%q", c.file, c.stays, c.comes, after[c.file])
		}
	}
	vars, err := f.UserVars(ctx, "example.jp", "tanaka")
	f.ok(err)
	for v := range vars {
		if v.Name == "RealName" && v.Value != endsIn {
			t.Errorf("RealName is %q, want %q", v.Value, endsIn)
		}
	}
	f.wantKind(f.UserAdd(ctx, "example.jp", soft, "pw", "U"), BadName)
	f.wantKind(f.UserAdd(ctx, "example.jp", hyouji, "pw", "U"), BadName)
}
