package main

import (
	"context"
	"errors"
)

// A chart is one plot: curves over the same numbers.
type chart struct {
	file   string // "useradd-rows.svg"
	title  string
	xLabel string
	yLabel string
	logX   bool // the numbers grow by factors
	xs     []int
	curves []curve
}

// A curve is what is measured at each number of a chart.
type curve struct {
	name string
	run  func(ctx context.Context, e *env, x int) (float64, error)
}

// plot measures and draws all charts.
func (b *bench) plot(context.Context) error { return errors.New("no plots yet") }
