package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A result is a figure that was measured: one line of JSON.
type result struct {
	Name    string  `json:"name"`
	Title   string  `json:"title"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	Ratio   float64 `json:"ratio,omitempty"`
	Base    string  `json:"base,omitempty"`
	Second  float64 `json:"second,omitempty"` // the ratio of the second half of a goal with an "or"
	Goal    string  `json:"goal"`
	Reached bool    `json:"reached"`
	Note    string  `json:"note,omitempty"`
	Skipped string  `json:"skipped,omitempty"`

	Values []float64 `json:"values,omitempty"` // of all runs
	Quick  bool      `json:"quick,omitempty"`  // sizes were too small for the values to say anything

	Machine machine   `json:"machine"`
	Date    time.Time `json:"date"`
	Commit  string    `json:"commit"`
	Go      string    `json:"go"`
}

// A machine is what a figure was measured on.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory string `json:"memory"`
	OS     string `json:"os"`
	FS     string `json:"fs"`
}

func newMachine() machine {
	return machine{CPU: "unknown", Cores: runtime.NumCPU(), Memory: "unknown", OS: runtime.GOOS, FS: "unknown"}
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores, %s, %s, %s", m.CPU, m.Cores, m.Memory, m.OS, m.FS)
}

// summarize makes a result of the runs of a figure. The median counts, by the ratio
// where there is one.
func summarize(f figure, runs []measure) result {
	by := slices.Clone(runs)
	slices.SortStableFunc(by, func(a, b measure) int {
		return cmp.Or(cmp.Compare(a.ratio, b.ratio), cmp.Compare(a.value, b.value))
	})
	m := by[len(by)/2]
	r := result{
		Name: f.name, Title: f.title, Unit: f.unit, Goal: f.goal.text,
		Value: rounded(m.value), Ratio: rounded(m.ratio), Base: m.base, Second: rounded(m.second), Note: m.note, Skipped: m.skipped,
		Reached: m.skipped == "" && f.goal.reached(m),
	}
	for _, run := range runs {
		r.Values = append(r.Values, rounded(run.value))
	}
	return r
}

// rounded has four digits that count.
func rounded(v float64) float64 {
	if v == 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-3)
	if unit < 1 { // so that what is left is a short decimal
		return math.Round(v/unit) / math.Round(1/unit)
	}
	return math.Round(v/unit) * unit
}

// number is v for a reader: "5,432", "0.71".
func number(v float64) string {
	v = rounded(v)
	switch a := math.Abs(v); {
	case a >= 1000:
		text := fmt.Sprintf("%.0f", v)
		for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// writeJSON writes results, a line each.
func writeJSON(w interface{ Write([]byte) (int, error) }, results []result) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, r := range results {
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// writable reports why a file cannot be written, without changing it.
func writable(name string) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return fmt.Errorf("%s is a folder", name)
		}
		return nil // a pipe or the like shows it when it is written to
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// writeOut writes results to a file, which is replaced as a whole or stays as it was.
func writeOut(name string, results []result) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(writeJSON(f, results), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	err = errors.Join(writeJSON(f, results), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// readJSON reads what writeJSON wrote.
func readJSON(name string) ([]result, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []result
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for number := 1; s.Scan(); number++ {
		var r result
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, number, err)
		}
		all = append(all, r)
	}
	return all, s.Err()
}

// merge puts newer results in the places of older ones of the same name, and orders them
// as the table is.
func merge(older, newer []result) []result {
	all := slices.Clone(newer)
	for _, r := range older {
		if !slices.ContainsFunc(newer, func(n result) bool { return n.Name == r.Name }) {
			all = append(all, r)
		}
	}
	place := map[string]int{}
	for i, f := range allFigures() {
		place[f.name] = i + 1
	}
	slices.SortStableFunc(all, func(a, b result) int { return cmp.Compare(place[a.Name], place[b.Name]) })
	return all
}

// commitOf is the commit of a checkout, with "-dirty" where files differ from it.
func commitOf(checkout string) string {
	// The sources may be somebody else's, whom git does not trust otherwise.
	c := exec.Command("git", "-c", "safe.directory=*", "describe", "--always", "--dirty")
	c.Dir = checkout
	out, err := c.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
