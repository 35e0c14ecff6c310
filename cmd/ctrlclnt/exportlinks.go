package main

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// links writes the POP3 links. Where the list has no passwords, as at CompatLevel 1,
// they are taken from the table, which takes the right to read secrets.
func (e *exporter) links(ctx context.Context) error {
	var rows [][]string
	hidden := false
	err := e.list(ctx, []string{"poplnklist"}, func(fields []string) error { // its arguments are exact names: put matches
		if len(fields) < e.width {
			return &ctrl.ProtocolError{Line: strings.Join(fields, "\t")}
		}
		hidden = hidden || fields[4] == ""
		rows = append(rows, fields)
		return nil
	})
	if err != nil {
		return err
	}
	var passwords map[string]string
	if hidden && !e.original() {
		if passwords, err = e.linkPasswords(ctx); err != nil {
			return err
		}
	}
	for _, fields := range rows {
		if fields[4] == "" {
			fields[4] = passwords[linkKey(fields)]
		}
		if err := e.put(fields); err != nil {
			return err
		}
	}
	return nil
}

// linkKey is by what a link is known.
func linkKey(fields []string) string {
	return tabfile.Fold(strings.Join(fields[:3], "\t")) + "\t" + fields[3]
}

// linkPasswords returns what the table of POP3 links has, and nothing where the server
// does not give it out.
func (e *exporter) linkPasswords(ctx context.Context) (map[string]string, error) {
	lines, err := e.client.List(ctx, "cfgfileget", "pop3links.tab")
	var refused *ctrl.Error
	if errors.As(err, &refused) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	passwords := map[string]string{}
	for _, line := range lines {
		fields := tabfile.Split(line)
		if len(fields) < 6 || strings.HasPrefix(line, "#") {
			continue
		}
		key := linkKey(fields)
		if _, ok := passwords[key]; !ok { // the first one counts
			passwords[key] = reveal(fields[4])
		}
	}
	return passwords, nil
}

// reveal returns the password of its reversible form (docs/reference/tables.md 4), or ""
// where it is of another form.
func reveal(stored string) string {
	clear, err := hex.DecodeString(stored)
	if err != nil {
		return ""
	}
	for i := range clear {
		clear[i] ^= 0x65
	}
	return string(clear)
}
