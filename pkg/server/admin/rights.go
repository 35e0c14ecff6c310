package admin

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// Rights returns the rights of a control account as they are now; a name that is no
// account has none.
func (s *Service) Rights(name string) mailroot.Rights { return s.tables().RightsOf(name) }

// SetRights gives a control account rights (docs/rights.md). Domains must be handled
// here. That somebody keeps all rights is seen to.
func (s *Service) SetRights(ctx context.Context, name, rights string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		if err := requireTable(tx.Tables, mailroot.AccountsTab, NoAccountsTable); err != nil {
			return err
		}
		account, ok := tx.Account(name)
		if !ok {
			return refuse(NoRecord, "there is no control account %s", quote(name))
		}
		if err := checkValues("the rights", rights); err != nil {
			return err
		}
		r, err := mailroot.ParseRights(rights)
		if err != nil {
			return refuse(Invalid, "%w", err)
		}
		for _, domain := range r.Domains {
			if !tx.IsDomain(domain) {
				return refuse(NoDomain, "domain %s is not handled here", quote(domain))
			}
		}
		return setRights(tx, account.Name, r)
	})
}

// setRights changes the first row of a name, the one that counts, or adds one. The
// table comes with its first row.
func setRights(tx *mailroot.Tx, name string, r mailroot.Rights) error {
	table := tx.Table(mailroot.RightsTab)
	rows := tx.RightsRows(name)
	if len(rows) > 0 && table.Exists() {
		return table.Replace(rows[0], rows[0].Field(0), r.String())
	}
	err := table.Append(name, r.String())
	if errors.Is(err, fs.ErrNotExist) {
		row, err := tabfile.JoinCells(name, r.String())
		if err != nil {
			return err
		}
		return writeFile(tx, mailroot.RightsTab, []byte(row+"\n"))
	}
	return err
}

// removeRights removes what ctrlrights.tab has on a control account.
func removeRights(tx *mailroot.Tx, name string) error {
	return deleteRows(tx, mailroot.RightsTab, tx.RightsRows(name))
}

// An Administrator is a control account and its rights.
type Administrator struct {
	Name   string
	Rights mailroot.Rights
}

// Administrators returns the control accounts with their rights.
func (s *Service) Administrators() iter.Seq[Administrator] {
	t := s.tables()
	return func(yield func(Administrator) bool) {
		for a := range t.Accounts() {
			if !yield(Administrator{a.Name, t.RightsOf(a.Name)}) {
				return
			}
		}
	}
}

// forbidden is the refusal of what reaches beyond the domains of an administrator.
func forbidden(format string, args ...any) error { return refuse(Forbidden, format, args...) }

// checkRemote refuses domains that are handled here and not the administrator's, as
// where mail goes to, or as that of an external alias, from which it seems to come.
func (s *Service) checkRemote(t mailroot.Tables, domain string) error {
	if s.owns != nil && !s.owns(domain) && t.Handled(domain) {
		return forbidden("domain %s is not yours", quote(domain))
	}
	return nil
}

// checkLocal refuses external aliases of accounts of other domains.
func (s *Service) checkLocal(aliases []mailroot.ExtAlias) error {
	for _, a := range aliases {
		if s.owns != nil && !s.owns(a.LocalDomain) {
			return forbidden("the external alias is not of one of your domains")
		}
	}
	return nil
}

// programs are the commands of a mail processing file that run programs.
var programs = []string{"external", "filter"}

// Commands of a mail processing file that an administrator of domains may write.
var delegated = []string{"mailbox", "redirect", "lredirect"}

// checkMailProc refuses rows of a mail processing file that an administrator of
// domains may not write. Rows that stand there already may stay, and those that run
// programs have to.
func (s *Service) checkMailProc(tx *mailroot.Tx, file string, content []byte) error {
	if s.owns == nil {
		return nil
	}
	old, err := tx.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	before, after := mailProcRows(old), mailProcRows(content)
	for _, row := range after {
		if slices.Contains(before, row) {
			continue
		}
		if !slices.Contains(delegated, row.command) {
			return forbidden("a row %q needs all rights", row.command)
		}
		for _, target := range tabfile.Split(row.text)[1:] {
			if err := s.checkTarget(tx.Tables, target); err != nil {
				return err
			}
		}
	}
	runs := func(rows []mailProcRow) []mailProcRow {
		return slices.DeleteFunc(slices.Clone(rows), func(r mailProcRow) bool { return !slices.Contains(programs, r.command) })
	}
	if !slices.Equal(runs(before), runs(after)) {
		return forbidden("rows that run programs have to stay as they are")
	}
	return nil
}

// checkTarget refuses to redirect mail to another domain that is handled here.
func (s *Service) checkTarget(t mailroot.Tables, target string) error {
	at := strings.LastIndexByte(target, '@')
	local, domain := target[:max(at, 0)], target[at+1:]
	if strings.Contains(target, "$(") || strings.HasPrefix(target, "@@") {
		return forbidden("a redirection to %s, which has a macro, needs all rights", quote(target))
	}
	// Whatever else might be read as an address of another domain: <a@b>, a@b,c@d, a@b. and so on.
	if checkDomainName(domain) != nil || strings.ContainsAny(local, "@<>()[],:;\" \t") {
		return forbidden("a redirection to %s, which is neither a plain address nor a domain, needs all rights", quote(target))
	}
	return s.checkRemote(t, domain)
}

// A mailProcRow is a row of a mail processing file, with its command in lower case.
type mailProcRow struct{ command, text string }

func mailProcRows(content []byte) []mailProcRow {
	var rows []mailProcRow
	for line := range strings.Lines(string(content)) {
		line = tabfile.TrimEnd(line)
		fields := tabfile.Split(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		rows = append(rows, mailProcRow{tabfile.Fold(fields[0]), line})
	}
	return rows
}
