package mailroot

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestEveryVariableOfTheReferenceIsKnown reads the table of
// docs/reference/tables.md 5.1.
func TestEveryVariableOfTheReferenceIsKnown(t *testing.T) {
	text, err := os.ReadFile("../../../docs/reference/tables.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "## 5.1 server.tab")
	if !ok {
		t.Fatal("docs/reference/tables.md has no section 5.1")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	types := map[string][]VarType{
		"flag": {VarFlag}, "int": {VarNumber, VarFlag},
		"str": {VarText, VarDomain, VarAddress, VarPerms, VarTries, VarReply, VarMaps, VarMethods, VarServers, VarSession},
	}
	n := 0
	for _, row := range regexp.MustCompile(`(?m)^\| ([A-Z][^|]*) \| (int|flag|str)\b`).FindAllStringSubmatch(section, -1) {
		for _, name := range regexp.MustCompile(`[A-Za-z][A-Za-z0-9-]*`).FindAllString(row[1], -1) {
			if strings.HasPrefix(name, "SmtpConfig-") {
				name = "SmtpConfig-10.0.0.1"
			}
			if name == "PORT" || name == "IP" {
				continue
			}
			n++
			v, ok := LookupServerVar(name)
			if !ok {
				t.Errorf("variable %s of the reference is not known", name)
				continue
			}
			fits := false
			for _, want := range types[row[2]] {
				fits = fits || v.Type == want
			}
			if !fits {
				t.Errorf("%s is of the type %s, and in the reference %s", name, v.Type, row[2])
			}
		}
	}
	if n < 50 {
		t.Errorf("%d variables found in the reference, want more", n)
	}
}

func TestDefaultsAreOfTheTypeOfTheirVariable(t *testing.T) {
	for _, v := range ServerVariables() {
		for level, value := range v.Default {
			if err := v.CheckNumber(value); err != nil {
				t.Errorf("%s: the default %q at level %d %v", v.Name, value, level, err)
			}
		}
		if got, ok := LookupServerVar(v.Name); !ok || got.Name != v.Name {
			t.Errorf("%s is not found by its name", v.Name)
		}
	}
}
