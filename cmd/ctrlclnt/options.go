package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// tlsMode says whether and how the connection is encrypted.
type tlsMode int

const (
	tlsNone    tlsMode = iota
	tlsUpgrade         // -S: #!TLS on the plain port
	tlsNative          // -L: from the first byte
)

const (
	defaultPort    = 6017 // also with -L, as in the reference
	defaultTimeout = 90 * time.Second
)

// options is a parsed command line with the environment folded in.
type options struct {
	server       address
	port         int // of -n; 0 when absent
	user         string
	password     string
	hasPassword  bool // -p was given
	passwordFile string
	timeout      time.Duration
	file         string
	tls          tlsMode
	keyFile      string
	certFile     string
	caFile       string
	caDir        string
	fingerprint  [][]byte
	insecure     bool
	clearText    bool
	format       format
	formatSet    bool
	status       bool
	existsOK     bool
	missingOK    bool
	noCheck      bool
	quiet        bool
	retry        int // how often to try again to connect
	profile      string
	profileFile  string

	help    bool
	version bool
	raw     bool     // "--" stood before the command: it is for the server whatever it is called
	words   []string // the command and its arguments, untouched
	verb    *verb    // the command of this program that words begin with; nil: none
	bulk    bulkOptions
}

// An option is one row of the option table, from which the parser, the help
// and the shell completion are made.
type option struct {
	letter byte   // 0: long form only
	name   string // the long form, without dashes
	value  string // what the value is called in the help; empty: takes none
	usage  string
	set    func(o *options, value string) error
}

// optionTable returns the options in the order of the help.
func optionTable() []option {
	text := func(p func(*options) *string) func(*options, string) error {
		return func(o *options, v string) error {
			if v == "" {
				return errEmptyValue
			}
			*p(o) = v
			return nil
		}
	}
	flag := func(p func(*options) *bool) func(*options, string) error {
		return func(o *options, _ string) error { *p(o) = true; return nil }
	}
	return []option{
		{'s', "server", "host[:port]", "the server; $CTRL_SERVER where absent", setServer},
		{'n', "port", "port", "its port (default 6017)", setPort},
		{'u', "user", "name", "the control account; $CTRL_USER where absent", text(func(o *options) *string { return &o.user })},
		{'p', "password", "word", "its password; better in $CTRL_PASSWORD or a file", func(o *options, v string) error {
			if v == "" {
				return errEmptyValue
			}
			o.password, o.hasPassword = v, true
			return nil
		}},
		{0, "password-file", "file", "a file whose first line is the password; $CTRL_PASSWORD_FILE", text(func(o *options) *string { return &o.passwordFile })},
		{'t', "timeout", "seconds", "how long to wait for the network each time (default 90)", setTimeout},
		{'f', "file", "file", "write a list to this file, or upload it, instead of standard output and input", text(func(o *options) *string { return &o.file })},
		{'S', "tls", "", "upgrade the connection to TLS (#!TLS)", func(o *options, _ string) error { o.tls = tlsUpgrade; return nil }},
		{'L', "native-tls", "", "TLS from the first byte (give its port, usually 6018)", func(o *options, _ string) error { o.tls = tlsNative; return nil }},
		{'c', "clear-text", "", "send the password as it is instead of an MD5 digest", flag(func(o *options) *bool { return &o.clearText })},
		{'K', "key", "file", "private key of the client certificate; $CTRL_KEY_FILE", text(func(o *options) *string { return &o.keyFile })},
		{'C', "cert", "file", "client certificate chain; $CTRL_CERT_FILE", text(func(o *options) *string { return &o.certFile })},
		{'X', "ca-file", "file", "trust the authorities of this file instead of the system's; $CTRL_CA_FILE", text(func(o *options) *string { return &o.caFile })},
		{'H', "ca-path", "dir", "trust the authorities in this folder instead of the system's; $CTRL_CA_PATH", text(func(o *options) *string { return &o.caDir })},
		{0, "fingerprint", "sha256", "trust exactly the server certificate with this fingerprint; $CTRL_FINGERPRINT", setFingerprint},
		{0, "insecure", "", "do not verify the server's certificate; $CTRL_INSECURE=1", flag(func(o *options) *bool { return &o.insecure })},
		{'D', "debug", "", "accepted for old scripts, without effect", flag(func(o *options) *bool { return new(bool) })},
		{'o', "output", "format", "lists as raw (default), table, tsv or json", setFormat},
		{0, "status", "", "distinct exit statuses, see below", flag(func(o *options) *bool { return &o.status })},
		{0, "exists-ok", "", "adding what exists already is a success", flag(func(o *options) *bool { return &o.existsOK })},
		{0, "missing-ok", "", "removing what does not exist is a success", flag(func(o *options) *bool { return &o.missingOK })},
		{0, "retry", "times", "where the server cannot be reached, try again so often; a command is never sent twice", setRetry},
		{0, "profile", "name", "server, user and options of this name in the profile file; $CTRL_PROFILE", text(func(o *options) *string { return &o.profile })},
		{0, "profile-file", "file", "the profile file (default ~/.config/ctrlclnt/profiles); $CTRL_PROFILE_FILE", text(func(o *options) *string { return &o.profileFile })},
		{'q', "quiet", "", "no summary and no progress, failures only", flag(func(o *options) *bool { return &o.quiet })},
		{0, "no-check", "", "do not check the arguments of the command before connecting", flag(func(o *options) *bool { return &o.noCheck })},
		{0, "version", "", "print the version", flag(func(o *options) *bool { return &o.version })},
		{'h', "help", "", "print this help", flag(func(o *options) *bool { return &o.help })},
	}
}

// usageError is a command line that cannot be run; it exits with status 3.
type usageError struct {
	msg     string
	command string // grammar of the control command it is about; empty: the program's own
}

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error {
	return &usageError{msg: fmt.Sprintf(format, args...)}
}

// parseOptions reads the command line as the reference does: options come
// first, the first word that does not begin with a dash is the command, and
// everything from there on is left alone. Of a word with one dash only the
// second character counts, and a value is always the next word. Long options
// and "--" are ours. lookup reads the environment.
func parseOptions(args []string, lookup func(string) (string, bool)) (*options, error) {
	o := &options{timeout: defaultTimeout}
	if err := o.read(args); err != nil {
		return nil, err
	}
	if o.help || o.version {
		return o, nil
	}
	if o.profile == "" {
		o.profile, _ = lookup("CTRL_PROFILE")
	}
	if o.profile != "" {
		var err error
		if o, err = o.withProfile(args, lookup); err != nil {
			return nil, err
		}
	}
	if err := o.environment(lookup); err != nil {
		return nil, err
	}
	return o, nil
}

// read reads a command line without the environment.
func (o *options) read(args []string) error {
	table := optionTable()
	rest, dashes, err := o.readOptions(table, args)
	if err != nil {
		return err
	}
	o.words, o.raw = rest, dashes
	if len(rest) == 0 || dashes {
		return nil
	}
	if o.verb = findVerb(rest[0]); o.verb == nil {
		return nil
	}
	// What follows a command of this program is not for the server: options may stand anywhere.
	table = append(table, o.verb.options...)
	o.words = rest[:1:1]
	for rest = rest[1:]; len(rest) > 0; {
		if rest, dashes, err = o.readOptions(table, rest); err != nil {
			return err
		}
		if dashes {
			o.words = append(o.words, rest...)
			break
		}
		if len(rest) > 0 {
			o.words, rest = append(o.words, rest[0]), rest[1:]
		}
	}
	return nil
}

// readOptions reads the options that args begin with and returns the rest.
// dashes reports that it begins after "--". A dash alone is a word after a
// command of this program, where it means standard input.
func (o *options) readOptions(table []option, args []string) (rest []string, dashes bool, err error) {
	for i := 0; i < len(args); i++ {
		word := args[i]
		switch {
		case word == "--":
			return args[i+1:], true, nil
		case !strings.HasPrefix(word, "-"), word == "-" && o.verb != nil:
			return args[i:], false, nil
		}
		opt, shown, value, inline, err := findOption(table, word)
		if err != nil {
			return nil, false, err
		}
		if opt.value != "" && !inline {
			i++
			if i == len(args) {
				return nil, false, usagef("option %s needs a value", shown)
			}
			value = args[i]
		}
		if err := opt.set(o, value); err != nil {
			return nil, false, usagef("option %s: %v", shown, err)
		}
	}
	return nil, false, nil
}

// findOption looks an option word up. value is the part after "=" of a long
// option, where inline is set.
func findOption(table []option, word string) (opt option, shown, value string, inline bool, err error) {
	if name, ok := strings.CutPrefix(word, "--"); ok {
		name, value, inline = strings.Cut(name, "=")
		shown = "--" + name
		for _, opt := range table {
			if opt.name != name {
				continue
			}
			if inline && opt.value == "" {
				return opt, shown, "", false, usagef("option %s takes no value", shown)
			}
			return opt, shown, value, inline, nil
		}
		return option{}, shown, "", false, usagef("unknown option %q", shown)
	}
	for _, opt := range table {
		if len(word) < 2 || opt.letter == 0 || opt.letter != word[1] {
			continue
		}
		shown = word[:2]
		// The reference would ignore the rest, and -cS would be a clear text login without TLS.
		if opt.value == "" && len(word) > 2 {
			return opt, shown, "", false, usagef("option %q: write one option a word, %s", word, separate(word))
		}
		return opt, shown, "", false, nil
	}
	return option{}, word, "", false, usagef("unknown option %q", word)
}

// separate writes "-cS" as "-c -S".
func separate(word string) string {
	var b strings.Builder
	for _, r := range word[1:] {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteByte('-')
		b.WriteRune(r)
	}
	return b.String()
}

// environment fills in what the command line left open.
func (o *options) environment(lookup func(string) (string, bool)) error {
	get := func(name string) string { v, _ := lookup(name); return v }
	if o.server.host == "" {
		if v := get("CTRL_SERVER"); v != "" {
			a, err := parseAddress(v)
			if err != nil {
				return usagef("CTRL_SERVER: %v", err)
			}
			o.server.host = a.host
			if o.port == 0 { // -n wins over the port of the environment, and loses to that of -s
				o.port = a.port
			}
		}
	}
	if o.server.port == 0 {
		o.server.port = o.port
	}
	if o.server.port == 0 {
		o.server.port = defaultPort
	}
	for _, v := range []struct {
		p    *string
		name string
	}{
		{&o.user, "CTRL_USER"},
		{&o.keyFile, "CTRL_KEY_FILE"}, {&o.certFile, "CTRL_CERT_FILE"},
		{&o.caFile, "CTRL_CA_FILE"}, {&o.caDir, "CTRL_CA_PATH"},
	} {
		if *v.p == "" {
			*v.p = get(v.name)
		}
	}
	if !o.hasPassword && o.passwordFile == "" {
		o.password = get("CTRL_PASSWORD")
		if o.password == "" {
			o.passwordFile = get("CTRL_PASSWORD_FILE")
		}
	}
	if o.fingerprint == nil {
		if v := get("CTRL_FINGERPRINT"); v != "" {
			if err := setFingerprint(o, v); err != nil {
				return usagef("CTRL_FINGERPRINT: %v", err)
			}
		}
	}
	if v := get("CTRL_INSECURE"); v != "" && !o.insecure {
		on, err := strconv.ParseBool(v)
		if err != nil {
			return usagef("CTRL_INSECURE is %q: 1 turns the verification of certificates off, 0 leaves it on", v)
		}
		o.insecure = on
	}
	return nil
}

// complete says what is missing for a connection.
func (o *options) complete() error {
	switch {
	case len(o.words) == 0:
		return usagef("no command")
	case o.server.host == "":
		return usagef("no server: give -s or CTRL_SERVER")
	case o.user == "":
		return usagef("no user: give -u or CTRL_USER")
	case o.hasPassword && o.passwordFile != "":
		return usagef("-p and --password-file cannot both be given")
	}
	return nil
}

func setServer(o *options, v string) error {
	a, err := parseAddress(v)
	if err != nil {
		return err
	}
	o.server = a
	return nil
}

func setPort(o *options, v string) (err error) {
	o.port, err = parsePort(v)
	return err
}

func setTimeout(o *options, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > 1<<31-1 {
		return fmt.Errorf("%q is not a number of seconds from 1", v)
	}
	o.timeout = time.Duration(n) * time.Second
	return nil
}

func setRetry(o *options, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is no number of times", v)
	}
	o.retry = n
	return nil
}

func setFormat(o *options, v string) error {
	for f, name := range formatNames {
		if name == v {
			o.format, o.formatSet = format(f), true
			return nil
		}
	}
	return fmt.Errorf("%q is none of %s", v, strings.Join(formatNames[:], ", "))
}
