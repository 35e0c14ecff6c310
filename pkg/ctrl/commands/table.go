package commands

import (
	"fmt"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

// An entry is a row of the table: a Command as it is easiest to read and to change.
type entry struct {
	name, args string // args in the grammar of grammar.go
	flags      string // words: list, upload, changes, ignores (more arguments than args has), ours
	rows       string // columns of its list
	codes      []ctrl.Code
	meaning    string
}

// secrets are the names of arguments that are secret wherever they occur.
var secrets = []string{"password"}

// values are the arguments with few and fixed values, by command and name.
var values = map[string][]string{
	"useradd stored":        {"stored"},
	"userpasswd stored":     {"stored"},
	"useradd type":          {"U", "M"},
	"usergetmproc flags":    {"U", "D", "DU"},
	"usersetmproc which":    {"U", "D"},
	"poplnkenable enable":   {"1", "0"},
	"userdisable receive":   {"receive"},
	"userrename keep-alias": {"keep-alias"},
	"mluseradd perms":       {"R", "W", "RW", "RA", "RWA"},
	"commit check":          {"check"},
	"ipmapadd service":      {"ctrl", "smtp", "pop3", "finger", "pop3:user@domain"},
	"ipmapadd permission":   {"ALLOW", "DENY"},
	"ipmapdel service":      {"ctrl", "smtp", "pop3", "finger", "pop3:user@domain"},
	"ipcheck service":       {"ctrl", "smtp", "pop3", "finger", "pop3:user@domain"},
	"poplnkadd authtype":    {"CLR", "APOP", "FAPOP", "STLS", "FSTLS", "POP3S"},
}

// tables are the parts of the table, a file each.
var tables = [][]entry{table, accountTable, securityTable, rightsTable, sessionTable}

// build returns the commands of the tables. It panics where the table is wrong, which
// the tests would find.
func build() []Command {
	var commands []Command
	for _, e := range slices.Concat(tables...) {
		commands = append(commands, e.command())
	}
	slices.SortFunc(commands, func(a, b Command) int { return strings.Compare(a.Name, b.Name) })
	return commands
}

func (e entry) command() Command {
	args, least, most, err := parseArgs(e.args)
	if err != nil {
		panic(fmt.Sprintf("command table: %s: %v", e.name, err))
	}
	c := Command{
		Name: e.name, Args: args, Min: least, Max: most, Kind: Plain, Rows: words(e.rows),
		Codes: slices.Clone(e.codes), Meaning: e.meaning,
	}
	for i, a := range args {
		args[i].Secret = slices.Contains(secrets, a.Name)
		args[i].Values = values[e.name+" "+a.Name]
	}
	for flag := range strings.FieldsSeq(e.flags) {
		switch flag {
		case "list", "upload":
			c.Kind = Kind(flag)
		case "changes":
			c.Changes = true
			c.Codes = append(c.Codes, ctrl.CodeWriteFile)
		case "ignores":
			c.Max = -1
		case "ours":
			c.Ours = true
		}
	}
	slices.Sort(c.Codes)
	c.Codes = slices.Compact(c.Codes)
	return c
}
