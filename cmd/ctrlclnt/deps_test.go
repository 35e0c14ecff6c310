package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestClientDoesNotDependOnTheServer keeps the arrow of docs/design.md: the
// client talks through pkg/ctrl alone.
func TestClientDoesNotDependOnTheServer(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := strings.Fields(string(out))
	seen := false
	for _, dep := range deps {
		seen = seen || dep == "github.com/xmaild/xmaild/pkg/ctrl"
		if strings.HasPrefix(dep, "github.com/xmaild/xmaild/pkg/server") {
			t.Errorf("ctrlclnt imports %s", dep)
		}
	}
	if !seen {
		t.Errorf("go list names %d packages, and pkg/ctrl is not among them", len(deps))
	}
}
