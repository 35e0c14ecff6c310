package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A batchLine is a command of a batch.
type batchLine struct {
	n       int // from 1
	args    []string
	command commands.Command
	known   bool
	err     error // why it cannot be sent; nil: it can
}

// readInput reads a file, or standard input where it is called "-". name is
// what messages call it.
func (p *program) readInput(path string) (name string, content []byte, err error) {
	o := &options{file: path}
	if name = path; path == "-" {
		o.file, name = "", "standard input"
	}
	if o.file != "" {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return "", nil, &localError{code: codeOpenFile, info: path + " is a folder"}
		}
	}
	content, err = p.readUpload(o)
	return name, content, err
}

// parseBatch returns the commands of a batch; blank lines and comments are none.
func parseBatch(content string, noCheck bool) []batchLine {
	var lines []batchLine
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(content, "\ufeff")) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if text := strings.TrimLeft(line, " \t"); text == "" || text[0] == '#' {
			continue
		}
		l := batchLine{n: n}
		if l.args, l.err = splitLine(line); l.err == nil {
			l.err = l.check(noCheck)
		}
		lines = append(lines, l)
	}
	return lines
}

// check looks a command up and returns why it cannot be part of a batch.
func (l *batchLine) check(noCheck bool) error {
	if len(l.args) == 0 || l.args[0] == "" {
		return errors.New("no command")
	}
	l.command, l.known = commands.Lookup(l.args[0])
	if commandOf(l.args) == "quit" {
		return errors.New("quit would end the session: the batch ends where the file does")
	}
	if l.known && !noCheck {
		if err := l.command.CheckArgs(l.args[1:]); err != nil {
			return err
		}
	}
	if l.known && l.command.Kind == commands.Upload {
		return fmt.Errorf("%s needs an upload, which a batch has no place for: run it alone", l.command.Name)
	}
	_, err := ctrl.EncodeLine(l.args...)
	return err
}

// splitLine takes a command line apart. One with a TAB in it is as it is on the
// wire: fields with TABs between them, those in quotes with \" for a quote. In any
// other the words are separated by blanks, and a word that begins with a
// quote goes on to the next quote; in it \" is a quote, and nothing else is special.
func splitLine(line string) ([]string, error) {
	if strings.Contains(line, "\t") {
		return tabfile.Split(line), nil
	}
	var words []string
	for line = strings.TrimLeft(line, " "); line != ""; line = strings.TrimLeft(line, " ") {
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			words, line = append(words, word), rest
			continue
		}
		end := 1
		for {
			i := strings.IndexByte(line[end:], '"')
			if i < 0 {
				return nil, fmt.Errorf("word %d has no closing quote", len(words)+1)
			}
			if end += i + 1; line[end-2] != '\\' {
				break
			}
		}
		word := strings.ReplaceAll(line[1:end-1], `\"`, `"`)
		line = line[end:]
		if line != "" && line[0] != ' ' {
			return nil, fmt.Errorf("word %d goes on after its closing quote", len(words)+1)
		}
		words = append(words, word)
	}
	return words, nil
}

// lineRanges writes numbers of lines, which ascend, as "3, 5-8".
func lineRanges(numbers []int) string {
	var b strings.Builder
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, numbers[i])
		if j > i {
			fmt.Fprintf(&b, "-%d", numbers[j])
		}
		i = j + 1
	}
	return b.String()
}
