// Package sendmail is the program of that name, which cron, PHP and others call to
// send mail: it reads options and a message as sendmail does, and puts the message
// where a server takes it, whether one runs or not (package lmail).
package sendmail

import (
	"fmt"
	"slices"
	"strings"
)

// Exit statuses, as sysexits.h has them.
const (
	OK          = 0
	Usage       = 64 // the command line is wrong
	DataErr     = 65 // an address or the message is
	NoInput     = 66 // a file cannot be read
	Unavailable = 69 // what is asked for is not to be had here
	Software    = 70
	CantCreate  = 73 // the message cannot be put anywhere
	IOErr       = 74
	TempFail    = 75 // the disk is full, say; it may go well later
	NoPerm      = 77
	Config      = 78 // no place for mail is set up
)

// A mode is what the program is to do.
type mode byte

const (
	deliver  mode = iota // send a message
	smtp                 // speak SMTP on standard input and output (-bs)
	nothing              // what has no meaning here, and is no mistake (-bi, -q)
	showList             // list the queue (-bp)
	help
)

// options are what the command line says.
type options struct {
	mode       mode
	toHeader   bool // -t: send to the addresses of the header
	noDot      bool // -i: a line with a dot is a line
	verbose    bool
	sender     *string // -f, -r: nil: who calls
	fullName   string  // -F
	fromHeader string  // -F with an address: the whole From header
	body       string  // -B
	notify     string  // -N
	ret        string  // -R
	envID      string  // -V
	root       string  // --root
	drop       string  // --drop
	input      string  // --input-file
	skipSpool  bool    // --xinput-file: the message begins after <<MAIL-DATA>>
	rcptFile   string
	recipients []string
}

// Letters of options without a value, with one, and with one that may only be
// attached, as sendmail and its kin have them.
const (
	plainLetters    = "tivnmsGUTcaIE"
	valueLetters    = "fFrBNRVOoLXChpAbDM"
	attachedLetters = "dqe"
)

// parse reads the arguments. Options end at "--", after which everything is an address,
// and at the first word that is none. An option behind that is refused, since programs
// put addresses there that strangers gave them.
func parse(args []string) (o options, err error) {
	for len(args) > 0 {
		arg := args[0]
		switch {
		case arg == "--":
			o.recipients = append(o.recipients, args[1:]...)
			return o, nil
		case strings.HasPrefix(arg, "--"):
			args, err = o.long(args)
		case len(arg) > 1 && arg[0] == '-':
			args, err = o.letters(args)
		default:
			for _, word := range args {
				if strings.HasPrefix(word, "-") {
					return o, fmt.Errorf("%q behind an address: options come first, and -- before an address that looks like one", word)
				}
			}
			o.recipients = append(o.recipients, args...)
			return o, nil
		}
		if err != nil {
			return o, err
		}
	}
	return o, nil
}

// long reads an option by name and returns the arguments after it.
func (o *options) long(args []string) ([]string, error) {
	name, value, has := strings.Cut(args[0][2:], "=")
	switch name {
	case "help":
		o.mode = help
		return args[1:], nil
	case "root", "drop", "input-file", "xinput-file", "rcpt-file":
	default:
		return nil, fmt.Errorf("unknown option --%s", name)
	}
	used := 1
	if !has {
		if len(args) < 2 {
			return nil, fmt.Errorf("option --%s needs a value", name)
		}
		value, used = args[1], 2
	}
	switch name {
	case "root":
		o.root = value
	case "drop":
		o.drop = value
	case "input-file":
		o.input, o.skipSpool = value, false
	case "xinput-file":
		o.input, o.skipSpool = value, true
	case "rcpt-file":
		o.rcptFile = value
	}
	return args[used:], nil
}

// letters reads an argument of option letters and returns the arguments after it.
func (o *options) letters(args []string) ([]string, error) {
	arg, args := args[0], args[1:]
	for i := 1; i < len(arg); i++ {
		c, rest := arg[i], arg[i+1:]
		switch {
		case strings.IndexByte(plainLetters, c) >= 0:
			switch c {
			case 't':
				o.toHeader = true
			case 'i':
				o.noDot = true
			case 'v':
				o.verbose = true
			}
			continue
		case strings.IndexByte(attachedLetters, c) >= 0:
			if c == 'q' {
				o.mode = nothing
				// The reference ignores -qG and -q! together with what follows.
				if slices.Contains([]string{"G", "!"}, rest) && len(args) > 0 {
					args = args[1:]
				}
			}
			return args, nil
		case strings.IndexByte(valueLetters, c) < 0:
			return nil, fmt.Errorf("unknown option -%c", c)
		}
		value := rest
		if value == "" {
			if len(args) == 0 {
				return nil, fmt.Errorf("option -%c needs a value", c)
			}
			value, args = args[0], args[1:]
		}
		return args, o.value(c, value)
	}
	return args, nil
}

// value takes the value of an option.
func (o *options) value(c byte, value string) error {
	switch c {
	case 'f', 'r':
		sender := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(value), "<"), ">")
		o.sender = &sender
	case 'F':
		o.from(value)
	case 'o':
		switch {
		case value == "i" || strings.HasPrefix(value, "iTrue"):
			o.noDot = true
		case value == "t":
			o.toHeader = true
		}
	case 'O':
		if name, v, _ := strings.Cut(value, "="); strings.EqualFold(name, "IgnoreDots") {
			o.noDot = strings.HasPrefix(strings.ToLower(v), "t") || v == ""
		}
	case 'B':
		if value = strings.ToUpper(value); value != "7BIT" && value != "8BITMIME" {
			return fmt.Errorf("option -B: %q is neither 7BIT nor 8BITMIME", value)
		}
		o.body = value
	case 'N':
		o.notify = strings.ToUpper(strings.ReplaceAll(value, " ", ""))
		for word := range strings.SplitSeq(o.notify, ",") {
			if !slices.Contains([]string{"SUCCESS", "FAILURE", "DELAY", "NEVER"}, word) || word == "NEVER" && o.notify != word {
				return fmt.Errorf("option -N: %q is neither never nor some of success,failure,delay", value)
			}
		}
	case 'R':
		switch o.ret = strings.ToUpper(value); o.ret {
		case "HDRS", "FULL":
		default:
			return fmt.Errorf("option -R: %q is neither full nor hdrs", value)
		}
	case 'V':
		o.envID = value
	case 'b':
		return o.what(value)
	}
	return nil // the others say nothing that matters here
}

// from takes a name, or as the reference has it the From header, whose address is the
// sender as well.
func (o *options) from(value string) {
	if !strings.Contains(value, "@") {
		o.fullName = value
		return
	}
	address := value
	if _, in, ok := strings.Cut(value, "<"); ok {
		address, _, _ = strings.Cut(in, ">")
	}
	address = strings.TrimSpace(address)
	o.fromHeader, o.sender = value, &address
}

func (o *options) what(value string) error {
	switch value {
	case "m":
		o.mode = deliver
	case "s":
		o.mode = smtp
	case "i":
		o.mode = nothing
	case "p":
		o.mode = showList
	default:
		return fmt.Errorf("option -b%s is not to be had here: the server is xmaild serve", value)
	}
	return nil
}
