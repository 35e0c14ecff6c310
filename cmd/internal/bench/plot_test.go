package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestChartsAreDrawn(t *testing.T) {
	for _, c := range charts() {
		name := filepath.Join(t.TempDir(), c.file)
		var values [][]float64
		for i := range c.curves {
			var line []float64
			for j := range c.xs {
				line = append(line, float64(100*(i+1)+j*7))
			}
			values = append(values, line)
		}
		if err := c.draw(name, values); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{c.title, c.xLabel, c.yLabel, c.curves[0].name, short(c.xs[len(c.xs)-1])} {
			if !bytes.Contains(text, []byte(">"+want+"<")) {
				t.Errorf("%s has no text %q", c.file, want)
			}
		}
		d := xml.NewDecoder(bytes.NewReader(text))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", c.file, err)
			}
		}
	}
}

func TestEveryCurveRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("the figures measure the same")
	}
	dir := t.TempDir()
	progs, err := buildPrograms(t.Context(), "../../..", dir, false)
	if err != nil {
		t.Fatal(err)
	}
	o := &options{runs: 1, quick: true, stderr: t.Output()}
	b := &bench{options: o, progs: progs, work: dir}
	for _, c := range charts() {
		for _, line := range c.curves {
			if v, err := b.point(t.Context(), line, c.xs[1]); err != nil || v <= 0 {
				t.Errorf("%s, %s: %v, %v; want more than 0", c.file, line.name, v, err)
			}
		}
	}
}
