package ctrld_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// generationOf returns the generation and the content of a file.
func generationOf(t *testing.T, c *ctrl.Client, name string) (generation, content string) {
	t.Helper()
	_, rows := do(t, c, "cfgfilestat", name)
	if len(rows) != 3 {
		t.Fatalf("cfgfilestat of %s: %q", name, rows)
	}
	_, lines := do(t, c, "cfgfileget", name)
	return ctrl.SplitRow(rows[2])[1], strings.Join(lines, "\n") + "\n"
}

func TestSecondOfTwoAdministratorsIsTold(t *testing.T) {
	s := servertest.Start(t)
	first, second := s.Dial(t), s.Dial(t)
	g1, content := generationOf(t, first, "aliases.tab")
	g2, _ := generationOf(t, second, "aliases.tab")
	if g1 != g2 {
		t.Fatalf("generations %s and %s of one file", g1, g2)
	}
	if got := upload(t, first, content+"\"xmailserver.test\"\t\"one\"\t\"xmailuser\"\n", "cfgfileset", "aliases.tab", g1); got != "+00000" {
		t.Fatalf("first upload was answered %s", got)
	}
	if got := upload(t, second, content, "cfgfileset", "aliases.tab", g2); got != "-00251" {
		t.Errorf("second upload was answered %s, want -00251", got)
	}
	// Between the answer that asks for the upload and its end.
	g2, content = generationOf(t, second, "aliases.tab")
	slow := &slowReader{Reader: strings.NewReader(content), before: func() { want(t, first, "+00000", "aliasadd", "xmailserver.test", "two", "xmailuser") }}
	err := second.Upload(t.Context(), slow, "cfgfileset", "aliases.tab", g2)
	if refused := (*ctrl.Error)(nil); !errors.As(err, &refused) || refused.Code != ctrl.CodeConflict {
		t.Errorf("upload of a file that changed meanwhile: %v, want %v", err, ctrl.CodeConflict)
	}
	for _, alias := range []string{"one", "two"} {
		want(t, first, "+00000", "aliasdel", "xmailserver.test", alias)
	}
}

// A slowReader does something before it gives its text.
type slowReader struct {
	io.Reader
	before func()
}

func (r *slowReader) Read(b []byte) (int, error) {
	if r.before != nil {
		r.before()
		r.before = nil
	}
	return r.Reader.Read(b)
}

// TestNoChangeIsLost has two administrators who upload one table again and again,
// and a third one who adds rows to it.
func TestNoChangeIsLost(t *testing.T) {
	s := servertest.Start(t)
	const each = 15
	done := make(chan error)
	for who := range 2 {
		c := s.Dial(t)
		go func() {
			done <- appendByUpload(t, c, fmt.Sprintf("upload%d", who), each)
		}()
	}
	adder := s.Dial(t)
	go func() {
		for i := range each {
			if _, err := adder.Do(t.Context(), "aliasadd", "xmailserver.test", fmt.Sprintf("row.%d", i), "xmailuser"); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 3 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	_, content := generationOf(t, s.Dial(t), "aliases.tab")
	for _, who := range []string{"upload0", "upload1", "row"} {
		for i := range each {
			if alias := fmt.Sprintf("\"%s.%d\"", who, i); !strings.Contains(content, alias) {
				t.Errorf("alias %s is lost", alias)
			}
		}
	}
}

// appendByUpload adds n aliases, each by an upload of the whole table, which is
// done again where somebody was faster.
func appendByUpload(t *testing.T, c *ctrl.Client, who string, n int) error {
	for i := 0; i < n; {
		r, err := c.Do(t.Context(), "cfgfilestat", "aliases.tab")
		if err != nil {
			return err
		}
		generation := ""
		for line, err := range r.Lines() {
			if err != nil {
				return err
			}
			generation = ctrl.SplitRow(line)[1] // the last row
		}
		if r, err = c.Do(t.Context(), "cfgfileget", "aliases.tab"); err != nil {
			return err
		}
		var content strings.Builder
		for line, err := range r.Lines() {
			if err != nil {
				return err
			}
			content.WriteString(line + "\n")
		}
		fmt.Fprintf(&content, "\"xmailserver.test\"\t\"%s.%d\"\t\"xmailuser\"\n", who, i)
		err = c.Upload(t.Context(), strings.NewReader(content.String()), "cfgfileset", "aliases.tab", generation)
		refused := (*ctrl.Error)(nil)
		switch {
		case err == nil:
			i++
		case !errors.As(err, &refused) || refused.Code != ctrl.CodeConflict:
			return err
		}
	}
	return nil
}
