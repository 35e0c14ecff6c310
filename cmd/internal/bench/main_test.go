package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestEveryFigureRuns runs each figure in small on a server of its own.
func TestEveryFigureRuns(t *testing.T) {
	dir := t.TempDir()
	progs, err := buildPrograms(t.Context(), "../../..", dir, false)
	if err != nil {
		t.Fatal(err)
	}
	scale := quickScale
	if testing.Short() {
		scale = 1000
	}
	for _, f := range allFigures() {
		t.Run(f.name, func(t *testing.T) {
			m, err := once(t.Context(), f, progs, t.TempDir(), scale, t.Output())
			if err != nil {
				t.Fatal(err)
			}
			if m.skipped != "" {
				t.Skip(m.skipped)
			}
			t.Logf("%s %s, %s of %s; %s", number(m.value), f.unit, number(m.ratio), m.base, m.note)
			if m.value <= 0 {
				t.Errorf("value %v, want more than 0", m.value)
			}
			if f.goal.ratio != 0 && m.ratio <= 0 {
				t.Errorf("ratio %v, want more than 0", m.ratio)
			}
			if f.goal.text == "" || f.title == "" || f.unit == "" {
				t.Errorf("goal %q, title %q, unit %q: want all three", f.goal.text, f.title, f.unit)
			}
		})
	}
}

func TestRunLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	status := run(t.Context(), []string{"--checkout", "../../..", "--dir", dir, "--quick", "-n", "1", "--json", "useradd"}, &stdout, &stderr)
	if status != 0 {
		t.Fatalf("status %d, want 0\n%s", status, stderr.String())
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, error %v", left, err)
	}
	var r result
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, stdout.String())
	}
	if r.Name != "useradd" || r.Value <= 0 || r.Ratio <= 0 || r.Machine.Cores == 0 || r.Commit == "" || r.Go == "" || r.Date.IsZero() {
		t.Errorf("got %+v, want all of it", r)
	}
}

func TestUnknownFigureIsAnErrorOfUsage(t *testing.T) {
	for _, args := range [][]string{{"nix"}, {"--nix"}, {"-n", "0"}, {"["}} {
		var stdout, stderr bytes.Buffer
		if status := run(t.Context(), args, &stdout, &stderr); status != exitUsage {
			t.Errorf("%q: status %d, want %d", args, status, exitUsage)
		}
		if args[0] == "nix" && !strings.Contains(stderr.String(), "\n  useradd\n") {
			t.Errorf("the names are not listed: %q", stderr.String())
		}
	}
}

func TestFigureNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range allFigures() {
		if seen[f.name] {
			t.Errorf("%s is there twice", f.name)
		}
		seen[f.name] = true
	}
}
