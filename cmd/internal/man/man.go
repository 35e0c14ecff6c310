// Package man writes manual pages in the man(7) macros of roff.
package man

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// A Page is a manual page that is being written. The first error is kept for Flush.
type Page struct {
	w       *bufio.Writer
	literal bool
}

// New begins the page of a program in a section of the manual ("1", "8").
func New(w io.Writer, name, section, version, summary string) *Page {
	p := &Page{w: bufio.NewWriter(w)}
	fmt.Fprintf(p.w, ".TH %s %s \"\" \"%s\"\n", strings.ToUpper(name), section, escape(name+" "+version))
	p.Section("NAME")
	fmt.Fprintf(p.w, "%s \\- %s\n", escape(name), escape(summary))
	return p
}

// Section begins a section; titles are in capitals.
func (p *Page) Section(title string) { p.macro(".SH", title) }

// Subsection begins a part of a section.
func (p *Page) Subsection(title string) { p.macro(".SS", title) }

func (p *Page) macro(name, title string) {
	p.fill()
	fmt.Fprintf(p.w, "%s \"%s\"\n", name, strings.ReplaceAll(escape(title), `"`, `\(dq`))
}

// Text writes paragraphs, which a blank line separates. Lines that begin with a
// blank are kept as they are.
func (p *Page) Text(text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \n")
		switch {
		case line == "":
			p.fill()
			fmt.Fprint(p.w, ".PP\n")
		case line[0] == ' ':
			if !p.literal {
				p.literal = true
				fmt.Fprint(p.w, ".nf\n")
			}
			p.line(line)
		default:
			p.fill()
			p.line(line)
		}
	}
	p.fill()
}

// Item writes a term and what it means.
func (p *Page) Item(term, meaning string) {
	p.fill()
	fmt.Fprint(p.w, ".TP\n\\fB")
	fmt.Fprintf(p.w, "%s\\fR\n", escape(term))
	p.line(meaning)
}

// Flush ends the page and returns the first error of writing it.
func (p *Page) Flush() error {
	p.fill()
	return p.w.Flush()
}

// fill ends lines that are kept as they are.
func (p *Page) fill() {
	if p.literal {
		p.literal = false
		fmt.Fprint(p.w, ".fi\n")
	}
}

// line writes a line of text, which a dot or a quote at its start must not make a request.
func (p *Page) line(s string) {
	s = escape(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	fmt.Fprintln(p.w, s)
}

// escape makes a text of what roff would read otherwise.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ", "…", "...", "–", `\(en`).Replace(s)
}
