package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// A verdict is what became of a row.
type verdict string

const (
	verdictDone    verdict = "done"
	verdictExists  verdict = "exists"  // it was there already, and --skip-existing
	verdictRefused verdict = "refused" // nothing was done
	verdictPartly  verdict = "partly"  // added, and a command after that failed
	verdictInvalid verdict = "invalid" // it cannot be sent
	verdictUnknown verdict = "unknown" // sent, and may have been done
	verdictSent    verdict = "sent"    // about to be sent; stays where the program was killed
	verdictUnsent  verdict = "unsent"  // it was not sent after all
	verdictValid   verdict = "valid"   // of --dry-run
)

var reportHeader = []string{"line", "object", "verdict", "code", "text"}

// A report is a CSV file with what became of each row, from which an interrupted
// import goes on. While the import runs it is appended to, several records for a
// row of which the last one counts; at the end it is replaced by one with a
// record a row, in the order of the file.
type report struct {
	path      string
	f         *os.File
	out       *bufio.Writer
	w         *csv.Writer
	passwords bool // it has a column for those that were made
	err       error
}

// A reportRow is the last record of a row in a report.
type reportRow struct {
	object   string
	verdict  verdict
	code     string
	text     string
	password string
}

// createReport begins a report. A file that is no report, and a report with passwords
// in it, are not overwritten.
func createReport(path string, passwords bool) (*report, error) {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		old, had, err := readReport(path)
		if err != nil {
			return nil, err
		}
		if had && len(old) > 0 {
			return nil, fmt.Errorf("%s has passwords that were made before: go on with --resume, or move it away", path)
		}
	}
	return openReport(path, passwords, os.O_TRUNC)
}

func openReport(path string, passwords bool, flag int) (*report, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|flag, 0o600)
	if err != nil {
		return nil, err
	}
	r := &report{path: path, f: f, out: bufio.NewWriterSize(f, 64<<10), passwords: passwords}
	r.w = csv.NewWriter(r.out)
	if passwords {
		if err := f.Chmod(0o600); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			f.Close()
			return nil, err
		}
	}
	if info, err := f.Stat(); err == nil && info.Size() == 0 {
		r.w.Write(r.header())
		if err := r.flush(true); err != nil {
			f.Close()
			return nil, err
		}
		if dir, err := os.Open(filepath.Dir(path)); err == nil { // so that a crash leaves its name, too
			dir.Sync()
			dir.Close()
		}
	}
	return r, nil
}

// resumeReport goes on with a report. What an import that was killed left in it
// is put in order first.
func resumeReport(path string, passwords bool) (*report, map[int]reportRow, error) {
	old, had, err := readReport(path)
	if errors.Is(err, fs.ErrNotExist) {
		r, err := openReport(path, passwords, 0)
		return r, nil, err
	}
	if err != nil {
		return nil, nil, err
	}
	passwords = passwords || had
	if err := replaceReport(path, old, passwords); err != nil {
		return nil, nil, err
	}
	r, err := openReport(path, passwords, 0)
	return r, old, err
}

func (r *report) header() []string { return headerOf(r.passwords) }

func headerOf(passwords bool) []string {
	if passwords {
		return append(slices.Clip(reportHeader), "password")
	}
	return reportHeader
}

// record returns the record of a row.
func record(line int, row reportRow, passwords bool) []string {
	fields := []string{strconv.Itoa(line), row.object, string(row.verdict), row.code, row.text}
	if passwords {
		fields = append(fields, row.password)
	}
	return fields
}

// put adds a record. It is in the file after flush.
func (r *report) put(line int, row reportRow) {
	if r != nil {
		r.w.Write(record(line, row, r.passwords))
	}
}

// flush writes what was put, and with sync waits until it is on the disk.
func (r *report) flush(sync bool) error {
	if r == nil {
		return nil
	}
	if r.err == nil {
		r.w.Flush()
		r.err = r.w.Error()
	}
	if r.err == nil {
		r.err = r.out.Flush()
	}
	if r.err == nil && sync {
		r.err = r.f.Sync()
	}
	return r.err
}

// finish puts the report in order and closes it.
func (r *report) finish() error {
	if r == nil {
		return nil
	}
	err := r.flush(true)
	if e := r.f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if info, err := os.Lstat(r.path); err != nil || !info.Mode().IsRegular() {
		return nil // a pipe or a device has it all
	}
	rows, _, err := readReport(r.path)
	if err != nil {
		return err
	}
	// Where the folder cannot be written it stays as it is, complete and not in order.
	if err := replaceReport(r.path, rows, r.passwords); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// replaceReport writes a report with a record a row.
func replaceReport(path string, rows map[int]reportRow, passwords bool) error {
	lines := make([]int, 0, len(rows))
	for line, row := range rows {
		if row.verdict != verdictUnsent {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write(headerOf(passwords))
	for _, line := range lines {
		w.Write(record(line, rows[line], passwords))
	}
	w.Flush()
	mode := os.FileMode(0o600)
	if info, err := os.Stat(path); err == nil && !passwords {
		mode = info.Mode().Perm()
	}
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()[:10])
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b.Bytes())
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
	}
	return err
}

// readReport reads a report; of several records of a row the last one counts. A
// last record that was cut short, as by a crash, is left out. passwords reports a
// column for them.
func readReport(path string) (rows map[int]reportRow, passwords bool, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, false, err
	}
	if i := bytes.LastIndexByte(content, '\n'); i >= 0 {
		content = content[:i+1]
	}
	r := csv.NewReader(bytes.NewReader(content))
	r.FieldsPerRecord = -1
	first, err := r.Read()
	if err == io.EOF {
		return map[int]reportRow{}, false, nil
	}
	passwords = len(first) == len(reportHeader)+1
	if err != nil || !slices.Equal(first, headerOf(passwords)) {
		return nil, false, fmt.Errorf("%s is no report of an import", path)
	}
	rows = map[int]reportRow{}
	for {
		fields, err := r.Read()
		if err == io.EOF {
			return rows, passwords, nil
		}
		n := 0
		if err == nil {
			n, err = strconv.Atoi(fields[0])
		}
		switch {
		case (err != nil || len(fields) < len(first)) && r.InputOffset() >= int64(len(content)):
			return rows, passwords, nil // cut short
		case err != nil || len(fields) < len(first):
			return nil, false, fmt.Errorf("%s is no report of an import: it has a record %q", path, fields)
		}
		row := reportRow{object: fields[1], verdict: verdict(fields[2]), code: fields[3], text: fields[4]}
		if passwords {
			row.password = fields[5]
		}
		rows[n] = row
	}
}
