package main

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"io"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A chart is one plot: curves over the same numbers.
type chart struct {
	file   string // "cost-by-rows.svg"
	title  string
	xLabel string
	yLabel string
	xs     []int // on a scale of logarithms
	curves []curve
}

// A curve is what is measured at each number of a chart.
type curve struct {
	name string
	run  func(ctx context.Context, e *env, x int) (float64, error)
}

// charts are all that are drawn.
func charts() []chart {
	return []chart{{
		file: "cost-by-rows.svg", title: "A durable change by the size of its table",
		xLabel: "rows in the table", yLabel: "milliseconds a change, one connection",
		xs: []int{1000, 10_000, 100_000, million}, curves: rowCurves(),
	}, {
		file: "throughput-by-sessions.svg", title: "Throughput by sessions at once",
		xLabel: "sessions", yLabel: "durable, per second",
		xs: []int{1, 2, 4, 8, 16, 32}, curves: append(sessionCurves(), mailCurves()...),
	}}
}

// rowCurves are drawn over the rows of a table: milliseconds a change.
func rowCurves() []curve {
	cost := func(rate float64, err error) (float64, error) {
		if err != nil {
			return 0, err
		}
		return 1000 / rate, nil
	}
	return []curve{{"useradd", func(ctx context.Context, e *env, rows int) (float64, error) {
		_, w, err := e.connected(ctx, e.size(rows))
		if err != nil {
			return 0, err
		}
		return cost(w.each(ctx, e, endless, addUser("new")))
	}}, {"aliasadd", func(ctx context.Context, e *env, rows int) (float64, error) {
		d, err := e.seeded(ctx, func(r *root) error { return seedAliases(r, e.size(rows)) })
		if err != nil {
			return 0, err
		}
		w, err := d.wire(ctx, e)
		if err != nil {
			return 0, err
		}
		return cost(w.each(ctx, e, endless, addAlias("new")))
	}}, {"one fsync of the disk", func(ctx context.Context, e *env, _ int) (float64, error) {
		return cost(e.fsyncRate().run(ctx))
	}}}
}

// sessionCurves are drawn over the number of sessions: how many a second.
func sessionCurves() []curve {
	return []curve{{"useradd", func(ctx context.Context, e *env, sessions int) (float64, error) {
		d, err := e.served(ctx, 0)
		if err != nil {
			return 0, err
		}
		wires, err := d.wires(ctx, e, sessions)
		if err != nil {
			return 0, err
		}
		return together(ctx, e, wires, endless, addUser("new"))
	}}}
}

// plot measures and draws all charts.
func (b *bench) plot(ctx context.Context) error {
	for _, c := range charts() {
		values := make([][]float64, len(c.curves))
		for i, line := range c.curves {
			for _, x := range c.xs {
				v, err := b.point(ctx, line, x)
				if err != nil {
					return fmt.Errorf("%s, %s at %d: %w", c.file, line.name, x, err)
				}
				fmt.Fprintf(b.stderr, "%s, %s at %d: %s\n", c.file, line.name, x, number(v))
				values[i] = append(values[i], v)
			}
		}
		if err := c.draw(filepath.Join(b.plots, c.file), values); err != nil {
			return fmt.Errorf("%s: %w", c.file, err)
		}
	}
	return nil
}

// point is the median of some runs.
func (b *bench) point(ctx context.Context, line curve, x int) (float64, error) {
	var all []float64
	for range b.runs {
		var v float64
		_, err := once(ctx, figure{name: line.name, run: func(ctx context.Context, e *env) (m measure, err error) {
			v, err = line.run(ctx, e, x)
			return m, err
		}}, b.progs, b.work, b.scale(), io.Discard)
		if err != nil {
			return 0, err
		}
		all = append(all, v)
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// palette can be told apart by the colour-blind as well (Okabe and Ito).
func palette() []color.Color {
	return []color.Color{
		color.RGBA{0x00, 0x72, 0xb2, 0xff}, color.RGBA{0xd5, 0x5e, 0x00, 0xff},
		color.RGBA{0x00, 0x9e, 0x73, 0xff}, color.RGBA{0xcc, 0x79, 0xa7, 0xff}, color.RGBA{0xe6, 0x9f, 0x00, 0xff},
	}
}

// The size of a plot, and of what is in it.
const (
	plotWidth  = 18 * vg.Centimeter
	plotHeight = 11 * vg.Centimeter
	lineWidth  = vg.Length(2)
	dotRadius  = vg.Length(3.5)
)

// draw writes the chart with the values of its curves, each as long as xs.
func (c chart) draw(name string, values [][]float64) error {
	p, err := c.plot(values)
	if err != nil {
		return err
	}
	canvas := vgsvg.New(plotWidth, plotHeight)
	area := draw.New(canvas)
	area.SetColor(color.White)
	area.Fill(area.Rectangle.Path())
	p.Draw(draw.Crop(area, 8, -12, 8, -8))
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(f)
	return errors.Join(err, f.Close())
}

func (c chart) plot(values [][]float64) (*plot.Plot, error) {
	p := plot.New()
	for _, style := range []*draw.TextStyle{
		&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle,
	} {
		style.Font.Variant = "Sans"
	}
	p.Title.Text = c.title
	p.Title.TextStyle.Font.Size = 14
	p.Title.Padding = 8
	p.X.Label.Text, p.Y.Label.Text = c.xLabel, c.yLabel
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font.Size = 11
		axis.Tick.Label.Font.Size = 10
		axis.Label.Padding = 4
	}
	p.X.Scale = plot.LogScale{}
	ticks := make(plot.ConstantTicks, len(c.xs))
	for i, x := range c.xs {
		ticks[i] = plot.Tick{Value: float64(x), Label: short(x)}
	}
	p.X.Tick.Marker = ticks
	p.Y.Min = 0
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{0xdd}, color.Gray{0xdd}
	p.Add(grid)
	colors := palette()
	for i, line := range c.curves {
		points := make(plotter.XYs, len(c.xs))
		for j, x := range c.xs {
			points[j] = plotter.XY{X: float64(x), Y: values[i][j]}
			p.Y.Max = max(p.Y.Max, values[i][j]*1.35) // room for the legend
		}
		l, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		l.Color, l.Width = colors[i%len(colors)], lineWidth
		dots.GlyphStyle = draw.GlyphStyle{Color: l.Color, Radius: dotRadius, Shape: draw.CircleGlyph{}}
		p.Add(l, dots)
		p.Legend.Add(line.name, l, dots)
	}
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.TextStyle.Font.Size = 11
	p.Legend.Padding = 3
	p.Legend.XOffs, p.Legend.YOffs = 8, -4
	p.X.Padding, p.Y.Padding = 6, 0
	return p, nil
}

// short is a number for an axis: 1k, 1M.
func short(n int) string {
	switch {
	case n >= million && n%million == 0:
		return fmt.Sprintf("%dM", n/million)
	case n >= 1000 && n%1000 == 0:
		return fmt.Sprintf("%dk", n/1000)
	}
	return fmt.Sprint(n)
}
