package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A ServerVar is a variable of the server as it is now.
type ServerVar struct {
	mailroot.ServerVar
	Known   bool   // false: the server knows no such variable, and does not look at it
	Default string // what its absence means now, at the CompatLevel of the server
	Value   string // what server.tab says
	Set     bool   // whether it says anything
}

// ServerVars returns the variables of the server whose names match the pattern,
// by name: all that there are, and what server.tab has besides.
func (s *Service) ServerVars(pattern string) []ServerVar {
	vars := s.root.Vars()
	var all []ServerVar
	seen := make(map[string]bool)
	add := func(name string) {
		if !seen[name] && tabfile.Match(pattern, name) {
			all = append(all, serverVar(vars, name))
		}
		seen[name] = true
	}
	for _, v := range mailroot.ServerVariables() {
		add(v.Name)
	}
	for v := range vars.All() {
		add(v.Name)
	}
	slices.SortFunc(all, func(a, b ServerVar) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// ServerVar returns one variable of the server.
func (s *Service) ServerVar(name string) (ServerVar, error) {
	v := serverVar(s.root.Vars(), name)
	if !v.Known && !v.Set {
		return v, noVariable(name)
	}
	return v, nil
}

func serverVar(vars mailroot.ServerVars, name string) ServerVar {
	known, ok := mailroot.LookupServerVar(name)
	v := ServerVar{ServerVar: known, Known: ok, Default: known.Default[min(max(vars.CompatLevel(), 0), 1)]}
	v.Name = name
	v.Value, v.Set = vars.Lookup(name)
	return v
}

func noVariable(name string) error {
	if right := mailroot.NearestServerVar(name); right != "" {
		return refuse(NoVariable, "there is no variable %s; is %s meant?", quote(name), right)
	}
	return refuse(NoVariable, "there is no variable %s", quote(name))
}

// SetServerVars changes variables of the server, all of them or none. The rest
// of server.tab stays as it is. A variable that is removed may be any that
// stands there, or one that could; another one must be known, and its value of
// its type.
func (s *Service) SetServerVars(ctx context.Context, settings ...Setting) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		if err := requireTable(tx.Tables, mailroot.ServerTab, NoServerTable); err != nil {
			return err
		}
		table := tx.Table(mailroot.ServerTab)
		for _, v := range settings {
			if err := checkServerVar(tx.Tables.Vars(), v); err != nil {
				return err
			}
			if err := setServerVar(table, v); err != nil {
				return err
			}
		}
		return nil
	})
}

// setServerVar is set for server.tab, whose rows may have further columns.
func setServerVar(table *tabfile.TxTable, v Setting) error {
	row, ok := table.First("name", v.Name)
	if !ok || v.Value == RemoveVar {
		return set(table, v)
	}
	fields := row.Fields()
	fields[1] = v.Value
	return table.Replace(row, fields...)
}

func checkServerVar(vars mailroot.ServerVars, v Setting) error {
	known, ok := mailroot.LookupServerVar(v.Name)
	if _, there := vars.Lookup(v.Name); !ok && !(there && v.Value == RemoveVar) {
		return noVariable(v.Name)
	}
	if err := checkSetting(v); err != nil {
		return err
	}
	if v.Value == RemoveVar {
		return nil
	}
	err := known.CheckNumber(v.Value)
	if err == nil {
		err = checkVarText(known, v.Value)
	}
	if err != nil {
		return refuse(Invalid, "%s is of the type %s, which %w, and not %s", v.Name, known.Type, err, quote(v.Value))
	}
	return nil
}

// checkVarText returns why a value is none of the type of a variable that is a
// text.
func checkVarText(v mailroot.ServerVar, value string) error {
	if addr, ok := strings.CutPrefix(v.Name, "SmtpConfig-"); ok {
		if err := checkEndpoint(addr); err != nil {
			return err
		}
	}
	switch v.Type {
	case mailroot.VarDomain:
		if value != "" && !strings.HasPrefix(value, "[") && checkDomainName(value) != nil || checkHostSyntax(cmp.Or(value, "x")) != nil {
			return errors.New("is a domain name, or nothing")
		}
	case mailroot.VarAddress:
		if _, _, err := parseAddress(cmp.Or(value, "x@x")); err != nil {
			return errors.New("is a mail address, or nothing")
		}
	case mailroot.VarPerms:
		if strings.Trim(value, smtpPerms) != "" {
			return fmt.Errorf("has the letters %s", smtpPerms)
		}
	case mailroot.VarReply:
		code, text, _ := strings.Cut(value, " ")
		if n, err := strconv.Atoi(code); err != nil || len(code) != 3 || n < 400 || n > 599 || text == "" {
			return errors.New("is a code from 400 to 599, a blank, and a text")
		}
	case mailroot.VarWord:
		if !slices.Contains(v.Words, value) {
			return fmt.Errorf("is one of %s", strings.Join(v.Words, ", "))
		}
	case mailroot.VarTries, mailroot.VarMaps, mailroot.VarMethods, mailroot.VarServers, mailroot.VarSession, mailroot.VarTimes:
		return checkVarList(v.Type, value)
	}
	return nil
}

// checkVarList is checkVarText for lists with commas, which may be empty.
func checkVarList(t mailroot.VarType, value string) error {
	if value == "" {
		return nil
	}
	for item := range strings.SplitSeq(value, ",") {
		name, rest, _ := strings.Cut(item, ":")
		switch t {
		case mailroot.VarTries:
			if n, err := strconv.Atoi(item); err != nil || n < 1 {
				return errors.New("is numbers of attempts with commas between them")
			}
		case mailroot.VarTimes:
			if d, err := time.ParseDuration(item); err != nil || d < time.Second {
				return errors.New("is durations such as 90s, 5m or 1h30m, each at least a second, with commas between them")
			}
		case mailroot.VarMaps:
			if _, err := strconv.Atoi(rest); err != nil || !strings.HasSuffix(name, ".") || checkDomainName(strings.TrimSuffix(name, ".")) != nil {
				return errors.New("is ROOT.:CODE with commas between them")
			}
		case mailroot.VarMethods:
			if !slices.Contains([]string{"plain", "login", "cram-md5"}, tabfile.Fold(item)) {
				return errors.New("is some of PLAIN, LOGIN, CRAM-MD5 with commas between them")
			}
		case mailroot.VarServers:
			if rest != "tcp" && rest != "udp" || name == "" || checkHostSyntax(name) != nil {
				return errors.New("is HOST:udp or HOST:tcp with commas between them")
			}
		case mailroot.VarSession:
			option := strings.TrimSuffix(strings.TrimSuffix(item, "=0"), "=1")
			if option != "MailAuth" && option != "mail-auth" && option != "WantTLS" {
				return errors.New("is MailAuth or WantTLS, either with =0, with a comma between them")
			}
		}
	}
	return nil
}

// checkEndpoint returns why a text is not IP or IP,PORT.
func checkEndpoint(text string) error {
	addr, port, withPort := strings.Cut(text, ",")
	_, err := netip.ParseAddr(addr)
	if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || withPort && (portErr != nil || n == 0) {
		return errors.New("is for IP or IP,PORT")
	}
	return nil
}
