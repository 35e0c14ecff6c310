package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// RemoveVar as a value removes the variable.
const RemoveVar = ".|rm"

// A Setting is a variable and its new value.
type Setting struct{ Name, Value string }

// UserVars returns the variables of an account in the order of its table. A
// name that stands there twice comes twice, with the value that counts.
func (s *Service) UserVars(_ context.Context, domain, name string) (iter.Seq[Setting], error) {
	u, err := requireAccount(s.tables(), domain, name)
	if err != nil {
		return nil, err
	}
	vars, err := s.root.UserVars(u)
	if err != nil {
		return nil, refuse(CannotRead, "variables of %s@%s: %w", u.Name, u.Domain, err)
	}
	return func(yield func(Setting) bool) {
		for v := range vars.All() {
			value, _ := vars.Lookup(v.Name)
			if !yield(Setting{v.Name, value}) {
				return
			}
		}
	}, nil
}

// SetUserVars changes variables of an account, all of them or none. The rest of
// its table stays as it is, comments too. Removing what is not there is no error.
func (s *Service) SetUserVars(ctx context.Context, domain, name string, settings ...Setting) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		u, err := requireAccount(tx.Tables, domain, name)
		if err != nil {
			return err
		}
		for _, v := range settings {
			if err := checkSetting(v); err != nil {
				return err
			}
		}
		return setUserVars(tx, u, settings)
	})
}

func setUserVars(tx *mailroot.Tx, u mailroot.User, settings []Setting) error {
	table, err := tx.ChangeUserVars(u)
	if err != nil {
		return err
	}
	if !table.Exists() {
		return newUserTab(tx, u, table, settings)
	}
	for _, v := range settings {
		if err := set(table, v); err != nil {
			return err
		}
	}
	return nil
}

func checkSetting(v Setting) error {
	if v.Name == "" {
		return refuse(Invalid, "a variable needs a name")
	}
	if len(v.Name)+len(v.Value) > maxLine {
		return refuse(Invalid, "a variable and its value have at most %d bytes", maxLine)
	}
	return checkValues("variable "+quote(v.Name), v.Name, v.Value)
}

// set changes one variable where it stands, or appends it.
func set(table *tabfile.TxTable, v Setting) error {
	var rows []tabfile.Row
	for row := range table.All("name", v.Name) {
		rows = append(rows, row)
	}
	switch {
	case v.Value == RemoveVar:
		return table.Delete(rows...)
	case len(rows) == 0:
		return table.Append(v.Name, v.Value)
	}
	return table.Replace(rows[0], v.Name, v.Value)
}

// newUserTab makes the table of an account whose file is not there: with the
// rows that stay in force where it vanished under the server.
func newUserTab(tx *mailroot.Tx, u mailroot.User, table *tabfile.TxTable, settings []Setting) error {
	var before []Setting
	for row := range table.Rows() {
		before = append(before, Setting{row.Field(0), row.Field(1)})
	}
	settings = append(before, settings...)
	var names []string
	values := make(map[string]string)
	for _, v := range settings {
		if _, ok := values[v.Name]; !ok {
			names = append(names, v.Name)
		}
		values[v.Name] = v.Value
	}
	text := ""
	for _, name := range names {
		if values[name] == RemoveVar {
			continue
		}
		row, err := tabfile.JoinCells(name, values[name])
		if err != nil {
			return err
		}
		text += row + "\n"
	}
	if text == "" {
		return nil
	}
	dir, err := u.Path()
	if err != nil {
		return refuse(CannotCreate, "%w", err)
	}
	return writeFile(tx, path.Join(dir, mailroot.UserTab), []byte(text))
}

// writeFile makes content the whole of a file, and removes the file where there
// is no content, as uploads of the control protocol do.
func writeFile(tx *mailroot.Tx, name string, content []byte) error {
	if len(content) == 0 {
		return translateFile(name, tx.RemoveFile(name))
	}
	return translateFile(name, tx.WriteFile(name, content))
}

// translateFile says which file cannot be made, and why.
func translateFile(name string, err error) error {
	var table *tabfile.Error
	var pathErr *fs.PathError
	switch {
	case err == nil, errors.As(err, &table):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return refuse(CannotCreate, "folder %s is missing", path.Dir(name))
	case errors.As(err, &pathErr):
		return refuse(CannotCreate, "%s: %w", name, pathErr.Err)
	}
	return fmt.Errorf("%s: %w", name, err)
}
