package ctrl

import (
	"fmt"
	"strings"
)

// MaxLine is how many bytes a command line may have without its end, in XMail
// 1.27 and by default in a [Server].
const MaxLine = 4092

// An ArgError says that an argument cannot be put into a command line.
type ArgError struct {
	Index  int    // of the argument, the command being 0; -1 for the whole line
	Name   string // what it is called, where it is no argument: "user name"
	Reason string
}

// Error names the argument by its number, not its content, which may be secret.
func (e *ArgError) Error() string {
	switch {
	case e.Name != "":
		return "the " + e.Name + " " + e.Reason
	case e.Index < 0:
		return "the command line " + e.Reason
	case e.Index == 0:
		return "the command " + e.Reason
	}
	return fmt.Sprintf("argument %d %s", e.Index, e.Reason)
}

// EncodeLine returns the command line, without its end, from which a server reads
// exactly args, the command first. Each is put in double quotes and the quotes in
// it escaped. What ends in a backslash goes unquoted, since inside quotes it could
// not be told from an escape; where it also begins with a quote the protocol has
// no form for it. That, TAB, CR, LF and NUL in an argument, no arguments at all,
// and a line longer than [MaxLine] are errors, each an [*ArgError]. Other bytes
// are taken as they are; XMail 1.27 itself closes the session at any byte above
// 127.
func EncodeLine(args ...string) (string, error) {
	if len(args) == 0 {
		return "", &ArgError{Index: -1, Reason: "is empty"}
	}
	if args[0] == "" {
		return "", &ArgError{Reason: "is empty"}
	}
	line, err := encodeFields(args)
	if err == nil && len(line) > MaxLine {
		return "", &ArgError{Index: -1, Reason: fmt.Sprintf("has %d bytes, more than %d", len(line), MaxLine)}
	}
	return line, err
}

func encodeFields(args []string) (string, error) {
	var b strings.Builder
	for i, arg := range args {
		if i > 0 {
			b.WriteByte('\t')
		}
		if j := strings.IndexAny(arg, "\t\r\n\x00"); j >= 0 {
			return "", &ArgError{Index: i, Reason: "has " + controlNames[arg[j]] + " in it"}
		}
		if strings.HasSuffix(arg, `\`) {
			if arg[0] == '"' {
				return "", &ArgError{Index: i, Reason: `begins with " and ends in \, which a command line cannot express`}
			}
			b.WriteString(arg)
			continue
		}
		b.WriteByte('"')
		b.WriteString(strings.ReplaceAll(arg, `"`, `\"`))
		b.WriteByte('"')
	}
	return b.String(), nil
}

var controlNames = map[byte]string{'\t': "a TAB", '\r': "a CR", '\n': "a line feed", 0: "a NUL"}
