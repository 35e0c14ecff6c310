package program

import (
	"slices"
	"testing"
)

func TestExpand(t *testing.T) {
	vars := map[string]string{"USER": "bob", "PASSWD": "a$(USER) b"}
	for _, c := range []struct{ field, want string }{
		{"plain", "plain"},
		{"$(USER)", "bob"},
		{"u=$(USER);p=$(PASSWD)", "u=bob;p=a$(USER) b"},
		{"@@PASSWD", "a$(USER) b"},
		{"x@@USER", "x@@USER"},
		{`\$(USER)`, "$(USER)"},
		{"$USER $ $(", "$USER $ $("},
		{"$(NONE)", ""},
		{"@@NONE", ""},
	} {
		if got := Expand([]string{c.field}, vars); !slices.Equal(got, []string{c.want}) {
			t.Errorf("Expand(%q) = %q, want %q", c.field, got, c.want)
		}
	}
}
