package mailroot

import (
	"fmt"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// TestMatchFindsWhatAScanFinds compares the look-up by the index with asking every
// row.
func TestMatchFindsWhatAScanFinds(t *testing.T) {
	patterns := []string{"sales@shop.test", "*@rude.test", "*@*.rude.test", "spam?@x.test", "*[0-9]@y.test", "SALES@shop.test", "*sal*", "a\\*@z.test", "*.biz", "b@late.test", "*@late.test"}
	for i := range 50 {
		patterns = append(patterns, fmt.Sprintf("u%d@many.test", i), fmt.Sprintf("*%d@many.test", i))
	}
	n := tables(t, map[string]string{SpamAddressTab: strings.Join(patterns, "\n") + "\n"}).Named(SpamAddressTab)
	for _, s := range []string{
		"sales@shop.test", "Sales@SHOP.test", "x@rude.test", "x@a.RUDE.test", "x@rude.test.org", "spam1@x.test", "spam12@x.test", "q7@y.test", "q@y.test",
		"a*@z.test", "ab@z.test", "", "x@x.biz", "b@late.test", "c@late.test", "u7@many.test", "x49@many.test", "universal@x.test",
	} {
		want := ""
		for row := range n.All() {
			if tabfile.Match(row.Name, s) {
				want = row.Name
				break
			}
		}
		if got, ok := n.Match(s); got.Name != want || ok != (want != "") {
			t.Errorf("Match(%s) = %q, %v, want %q", s, got.Name, ok, want)
		}
	}
}
