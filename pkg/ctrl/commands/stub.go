package commands

import "strings"

var (
	table       []Command
	helpColumns []string
)

func lookup(name string) (Command, bool) {
	for _, c := range table {
		if strings.EqualFold(c.Name, name) {
			return c, true
		}
	}
	return Command{}, false
}
func (c Command) usage() string                  { return c.Name }
func (c Command) checkArgs([]string) error       { return nil }
func (c Command) secret(int) bool                { return false }
func mask(name string, args []string) []string   { return nil }
func (c Command) helpRow() []string              { return nil }
func parseHelpRow(row []string) (Command, error) { return Command{}, nil }
func (c Command) detailRows() [][]string         { return nil }
func markdown() string                           { return "" }
