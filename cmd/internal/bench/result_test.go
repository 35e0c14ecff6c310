package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNumbersAreForReaders(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 0.7149: "0.71", 12.34: "12.3", 123.4: "123", 5432: "5,432", 1234567: "1,235,000", -4321: "-4,321"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestGoals(t *testing.T) {
	for _, test := range []struct {
		name string
		goal goal
		m    measure
		want bool
	}{
		{"ratio", goal{ratio: 0.7}, measure{value: 1, ratio: 0.7}, true},
		{"ratio too small", goal{ratio: 0.7}, measure{value: 1, ratio: 0.69}, false},
		{"at most", goal{ratio: 2, most: true}, measure{ratio: 2.1}, false},
		{"value", goal{value: 300}, measure{value: 299, ratio: 5}, false},
		{"value at most", goal{value: 5, most: true}, measure{value: 4}, true},
		{"the second is enough", goal{ratio: 4, or: 0.6}, measure{ratio: 1, second: 0.6}, true},
		{"neither", goal{ratio: 4, or: 0.6}, measure{ratio: 1, second: 0.5}, false},
	} {
		if got := test.goal.reached(test.m); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestMedianRunCounts(t *testing.T) {
	f := figure{name: "x", goal: goal{ratio: 0.5}}
	r := summarize(f, []measure{{value: 10, ratio: 0.9}, {value: 30, ratio: 0.2}, {value: 20, ratio: 0.6}})
	if r.Value != 20 || r.Ratio != 0.6 || !r.Reached {
		t.Errorf("value %v, ratio %v, reached %v; want 20, 0.6, true", r.Value, r.Ratio, r.Reached)
	}
	if d := cmp.Diff([]float64{10, 30, 20}, r.Values); d != "" {
		t.Errorf("values (-want +got):\n%s", d)
	}
}

func TestResultsAreReadBack(t *testing.T) {
	want := []result{{Name: "useradd", Title: "a <b>", Value: 1.5, Unit: "1/s"}, {Name: "other", Skipped: "why"}}
	var b bytes.Buffer
	if err := writeJSON(&b, want); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "results")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readJSON(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("results (-want +got):\n%s", d)
	}
	merged := merge(got, []result{{Name: "useradd", Value: 2}})
	if len(merged) != 2 || merged[1].Name != "useradd" || merged[1].Value != 2 {
		t.Errorf("merged: %+v, want the newer useradd among them", merged)
	}
}

func TestReadmeKeepsWhatIsAroundThePage(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "README.md")
	results := []result{{Name: "useradd", Title: "durable", Value: 10, Unit: "1/s", Ratio: 0.35, Base: "floor, 30 1/s", Goal: "20", Note: "the disk is slow"},
		{Name: "smtp-8", Title: "mail", Value: 10, Ratio: 0.2, Unit: "1/s", Goal: "0.4"}, {Name: "smtp-32", Value: 1, Reached: true}, {Name: "cpu", Skipped: "no Postfix"}}
	if err := os.WriteFile(name, []byte("a\n"+readmeBegin+"\nbefore\n"+readmeEnd+"\nz\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time on its own output
		page, err := openReadme(dir)
		if err == nil {
			err = page.write(results)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a\n" + readmeBegin + "\n|", "| durable (`useradd`) | 20 | 10.0 1/s | 0.35 (floor, 30 1/s) | no |", "* `useradd`: 0.35, wanted 0.70 at least (50 %); the disk is slow.", "* `smtp-8`: 0.20, wanted 0.40 at least (50 %); " + reasons()["smtp-8"],
		"* `cpu` was left out: no Postfix.", "Not measured: `useradd-hashed`,", "](docs/plots/cost-by-rows.svg)", readmeEnd + "\nz\n"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(string(got), "before") || strings.Contains(string(got), "`smtp-32`:") {
		t.Errorf("the old page, or a reason for a figure that is reached, is there:\n%s", got)
	}
	if err := os.WriteFile(name, []byte("no markers\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openReadme(dir); err == nil {
		t.Error("no error where there are no markers")
	}
}

func TestQuickResultsMakeNoPage(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "README.md")
	const text = readmeBegin + "\n" + readmeEnd + "\n"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	page, err := openReadme(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := page.write([]result{{Name: "useradd", Quick: true}}); err == nil || !strings.Contains(err.Error(), "quick") {
		t.Errorf("error %v, want one about the quick run", err)
	}
	if got, err := os.ReadFile(name); string(got) != text || err != nil {
		t.Errorf("got %q, %v; want it as it was", got, err)
	}
}

func TestReasonsAreForFiguresThatAreThere(t *testing.T) {
	for name := range reasons() {
		if _, err := chosen(allFigures(), []string{name}); err != nil {
			t.Error(err)
		}
	}
}

func TestResultsAreReplacedAsAWhole(t *testing.T) {
	name := filepath.Join(t.TempDir(), "results")
	for _, want := range []string{"a", "b"} {
		if err := errors.Join(writable(name), writeOut(name, []result{{Name: want}})); err != nil {
			t.Fatal(err)
		}
		got, err := readJSON(name)
		if err != nil || len(got) != 1 || got[0].Name != want {
			t.Errorf("got %+v, %v; want %s alone", got, err, want)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(name)); err != nil || len(left) != 1 {
		t.Errorf("%v, %v; want one file", left, err)
	}
	for _, bad := range []string{filepath.Dir(name), filepath.Join(name, "below"), filepath.Join(filepath.Dir(name), "absent", "file")} {
		if err := writable(bad); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}
