package ctrld

import (
	"testing"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
	"github.com/xmaild/xmaild/pkg/server/admin"
)

func TestEveryKindOfErrorHasACodeOfItsOwn(t *testing.T) {
	seen := make(map[ctrl.Code]admin.Kind)
	for _, kind := range admin.Kinds() {
		code, ok := codes[kind]
		if !ok {
			t.Errorf("kind %d has no code", kind)
		}
		if other, ok := seen[code]; ok {
			t.Errorf("kinds %d and %d are both %v", other, kind, code)
		}
		seen[code] = kind
	}
	if len(codes) != len(admin.Kinds()) {
		t.Errorf("%d codes for %d kinds", len(codes), len(admin.Kinds()))
	}
}

func TestEveryCommandIsAnswered(t *testing.T) {
	for _, c := range commands.All() {
		if table(c.Name) == nil {
			t.Errorf("%s is in the table of commands, and not answered", c.Name)
		}
	}
	for _, group := range groups {
		for name := range group {
			if _, ok := commands.Lookup(name); !ok {
				t.Errorf("%s is answered, and not in the table of commands", name)
			}
		}
	}
}
