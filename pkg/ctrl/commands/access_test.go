package commands

import (
	"slices"
	"testing"
)

func TestEveryCommandSaysWhoMaySendIt(t *testing.T) {
	for _, c := range All() {
		e, ok := accesses[c.Name]
		if !ok {
			t.Errorf("%s: nothing in access.go says who may send it", c.Name)
			continue
		}
		if e.domain != "" && c.arg(e.domain) < 0 {
			t.Errorf("%s: its access is by the argument %s, which it does not have", c.Name, e.domain)
		}
		if e.column != "" && !slices.Contains(c.Rows, e.column) {
			t.Errorf("%s: its access is by the column %s, which it does not have", c.Name, e.column)
		}
		a := c.Access()
		if (a.Need == Read || a.Need == Own) && c.Changes && c.Name != "commit" {
			t.Errorf("%s changes something, and needs the right %q only", c.Name, a.Need)
		}
		if a.Column >= 0 && c.Kind != List {
			t.Errorf("%s is shown by rows and is no list", c.Name)
		}
	}
}

func TestCommandWithoutAnAccessIsForFullAdministrators(t *testing.T) {
	a := Command{Name: "nosuch"}.Access()
	if a.Need != Admin || a.Domains() {
		t.Errorf("access %+v, want that of full administrators", a)
	}
}

func TestAccessOfACommand(t *testing.T) {
	for name, want := range map[string]Access{
		"noop":         {Need: Own, DomainArg: -1, Column: -1},
		"useradd":      {Need: Change, DomainArg: 0, Column: -1},
		"poplnkenable": {Need: Change, DomainArg: 1, Column: -1},
		"exaliasadd":   {Need: Change, DomainArg: 0, Address: true, Column: -1},
		"exaliaslist":  {Need: Read, DomainArg: -1, Column: 2},
		"userlist":     {Need: Read, DomainArg: -1, Column: 0},
		"frozlist":     {Need: Read, DomainArg: -1, Column: -1},
		"cfgfileset":   {Need: Admin, DomainArg: -1, Column: -1},
	} {
		c, _ := Lookup(name)
		if got := c.Access(); got != want {
			t.Errorf("access of %s is %+v, want %+v", name, got, want)
		}
	}
}

func TestOnlyPlainChangesOfTablesAreCollected(t *testing.T) {
	for name, want := range map[string]bool{
		"useradd": true, "uservarsset": true, "userauth": false, "userlist": false, "usersetmproc": false,
		"frozdel": false, "etrn": false, "noop": false, "try": false, "sync": false,
	} {
		c, _ := Lookup(name)
		if c.Collectable() != want {
			t.Errorf("%s may stand between begin and commit: %v, want %v", name, !want, want)
		}
	}
}
