// Package check finds what is wrong in the tables of a MailRoot. It only reads,
// and needs no server: a MailRoot in use may be checked.
package check

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A Finding is one thing that is wrong, or a risk that someone may have taken knowingly.
type Finding struct {
	tabfile.Error
	Risk bool
}

// String is the finding as FILE:LINE: MESSAGE.
func (f Finding) String() string {
	e := f.Error
	if f.Risk {
		e.Msg = "risky: " + e.Msg
	}
	return e.Error()
}

// MailRoot checks the tables of the MailRoot at dir. Findings are in the order
// of files and lines. The error is that of a MailRoot that cannot be read.
func MailRoot(ctx context.Context, dir string) ([]Finding, error) {
	c := &checker{fsys: os.DirFS(dir), tables: map[string][]row{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", dir, err)
	}
	if !c.exists(mailroot.ServerTab) && !c.exists(mailroot.DomainsTab) {
		return nil, fmt.Errorf("check %s: it is no MailRoot: it has neither server.tab nor domains.tab", dir)
	}
	schemas := mailroot.Schemas()
	for _, e := range entries {
		if schema := schemas[e.Name()]; schema != nil {
			if err := c.table(e.Name(), schema); err != nil {
				return nil, fmt.Errorf("check %s: %w", dir, err)
			}
		} else if !e.IsDir() {
			c.fileName(e.Name())
		}
	}
	for _, top := range []string{"cmdaliases", "custdomains", "domains", "userauth"} {
		if err := c.walk(ctx, top); err != nil {
			return nil, fmt.Errorf("check %s: %w", dir, err)
		}
	}
	if err := c.filters(); err != nil {
		return nil, fmt.Errorf("check %s: %w", dir, err)
	}
	c.variables()
	c.links()
	c.rights()
	c.risks()
	c.certificates(time.Now())
	return c.sorted(), nil
}

// Settings checks server.tab and the names of the files beside it, which takes
// next to no time. A server tells of these when it starts; rows of tables that
// cannot be read it finds by itself.
func Settings(dir string) ([]Finding, error) {
	c := &checker{fsys: os.DirFS(dir), tables: map[string][]row{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", dir, err)
	}
	schemas := mailroot.Schemas()
	for _, e := range entries {
		if e.Name() == mailroot.ServerTab {
			if err := c.table(e.Name(), schemas[e.Name()]); err != nil {
				return nil, fmt.Errorf("check %s: %w", dir, err)
			}
		} else if schemas[e.Name()] == nil && !e.IsDir() {
			c.fileName(e.Name())
		}
	}
	c.variables()
	return c.sorted(), nil
}

func (c *checker) sorted() []Finding {
	slices.SortStableFunc(c.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return c.findings
}

// A checker collects what it finds.
type checker struct {
	fsys     fs.FS
	tables   map[string][]row // readable rows of the tables in MailRoot itself
	findings []Finding
}

type row struct {
	line   int
	fields []string
}

func (c *checker) report(file string, line int, format string, args ...any) {
	c.findings = append(c.findings, Finding{Error: tabfile.Error{File: file, Line: line, Msg: fmt.Sprintf(format, args...)}})
}

func (c *checker) risk(file string, line int, format string, args ...any) {
	c.report(file, line, format, args...)
	c.findings[len(c.findings)-1].Risk = true
}

func (c *checker) exists(name string) bool {
	_, err := fs.Stat(c.fsys, name)
	return err == nil
}

// walk checks the tables in a folder and below. Mailboxes have none.
func (c *checker) walk(ctx context.Context, top string) error {
	return fs.WalkDir(c.fsys, top, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil && name == top:
			return nil // MailRoot needs no such folder
		case errors.Is(err, fs.ErrNotExist):
			return nil // it was removed meanwhile
		case err != nil:
			c.report(name, 0, "%v", err)
			return fs.SkipDir
		case ctx.Err() != nil:
			return ctx.Err()
		case e.IsDir() && (e.Name() == "Maildir" || e.Name() == "mailbox"):
			return fs.SkipDir
		case e.IsDir():
			return nil
		}
		if schema := mailroot.SchemaFor(name); schema != nil {
			return c.table(name, schema)
		}
		return nil
	})
}

// table checks each row of a table by itself.
func (c *checker) table(name string, schema *tabfile.Schema) error {
	content, err := fs.ReadFile(c.fsys, name)
	if err != nil {
		if info, statErr := fs.Stat(c.fsys, name); statErr == nil && info.IsDir() {
			c.report(name, 0, "is a folder, not a table")
			return nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			if _, linkErr := fs.Lstat(c.fsys, name); linkErr == nil {
				c.report(name, 0, "is a link that leads nowhere")
			}
			return nil // otherwise it was removed meanwhile
		}
		return err
	}
	if bytes.HasPrefix(content, []byte("\xef\xbb\xbf")) {
		c.report(name, 1, "begins with a byte order mark, which counts as part of the first field; save it without")
	}
	var rows []row
	seen := map[string]int{} // line by key
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		line = tabfile.TrimEnd(line)
		if line == "" || tabfile.IsComment(line) {
			continue
		}
		fields := tabfile.Split(line)
		if len(fields) < schema.Columns {
			c.report(name, number, "%d fields where %d are needed", len(fields), schema.Columns)
			continue
		}
		if schema.Check != nil {
			if err := schema.Check(fields); err != nil {
				c.report(name, number, "%v", err)
				continue
			}
		}
		for _, warning := range warnings(name, fields) {
			c.report(name, number, "%s", warning)
		}
		if oneOfAKind(name) && len(schema.Indexes) > 0 {
			if key, ok := schema.Indexes[0].Key(fields); ok {
				if first, twice := seen[key]; twice {
					c.report(name, number, "says again what line %d says; the first one counts", first)
				} else {
					seen[key] = number
				}
			}
		}
		rows = append(rows, row{number, fields})
	}
	if !strings.Contains(name, "/") {
		c.tables[name] = rows
	}
	return nil
}

// oneOfAKind reports whether a table ought to have one row of a key.
func oneOfAKind(name string) bool {
	switch path.Base(name) {
	case mailroot.ServerTab, mailroot.UserDefTab, mailroot.UserTab, mailroot.AccountsTab, mailroot.DomainsTab,
		mailroot.AliasDomainTab, mailroot.AliasesTab, mailroot.UsersTab, mailroot.RightsTab:
		return true
	}
	return false
}
