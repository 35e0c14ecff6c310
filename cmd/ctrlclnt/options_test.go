package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func environment(pairs ...string) func(string) (string, bool) {
	m := map[string]string{}
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		m[k] = v
	}
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

func TestOptionsAreReadAsTheReferenceReadsThem(t *testing.T) {
	// Everything that differs from an empty command line.
	type want struct {
		server                                     string
		user, password, passwordFile, file         string
		tls                                        tlsMode
		timeout                                    int
		key, cert, caFile, caDir                   string
		insecure, clear, status, exists, miss, noc bool
		format                                     format
		raw                                        bool
		fingerprints                               int
		words                                      []string
	}
	const sum = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08"
	colons := sum[:2]
	for i := 2; i < len(sum); i += 2 {
		colons += ":" + sum[i:i+2]
	}
	for _, tt := range []struct {
		args string
		env  []string
		want want
	}{
		{args: "-s h -u a -p b noop", want: want{server: "h:6017", user: "a", password: "b", words: []string{"noop"}}},
		{args: "-s h -n 7 noop", want: want{server: "h:7", words: []string{"noop"}}},
		{args: "-s h:8 -n 7 noop", want: want{server: "h:8", words: []string{"noop"}}},
		{args: "-n 7 -s h:8 noop", want: want{server: "h:8", words: []string{"noop"}}},
		{args: "-s h -L noop", want: want{server: "h:6017", tls: tlsNative, words: []string{"noop"}}},
		{args: "-S -L noop", want: want{server: ":6017", tls: tlsNative, words: []string{"noop"}}},
		{args: "-L -S noop", want: want{server: ":6017", tls: tlsUpgrade, words: []string{"noop"}}},
		{args: "--native-tls --tls noop", want: want{server: ":6017", tls: tlsUpgrade, words: []string{"noop"}}},
		{args: "-t 5 -f out -c -D noop", want: want{server: ":6017", timeout: 5, file: "out", clear: true, words: []string{"noop"}}},
		{args: "-K k -C c -X x -H d noop", want: want{server: ":6017", key: "k", cert: "c", caFile: "x", caDir: "d", words: []string{"noop"}}},
		// The value is always the next word, whatever it looks like.
		{args: "-s -u -u -p -p -- -- noop", want: want{server: "-u:6017", user: "-p", password: "--", raw: true, words: []string{"noop"}}},
		{args: "-s h -u -p -p -x noop", want: want{server: "h:6017", user: "-p", password: "-x", words: []string{"noop"}}},
		// Of a word with one dash only the second character counts.
		{args: "-server h -user a -password b noop", want: want{server: "h:6017", user: "a", password: "b", words: []string{"noop"}}},
		{args: "-sother h noop", want: want{server: "h:6017", words: []string{"noop"}}},
		// After the command nothing is an option.
		{args: "useradd -s -- --status -x", want: want{server: ":6017", words: []string{"useradd", "-s", "--", "--status", "-x"}}},
		{args: "-s h -- --odd -s", want: want{server: "h:6017", raw: true, words: []string{"--odd", "-s"}}},
		{args: "-- help useradd", want: want{server: ":6017", raw: true, words: []string{"help", "useradd"}}},
		// Long forms.
		{args: "--server=h:9 --user=a --password=b=c --timeout=3 --file=f noop", want: want{server: "h:9", user: "a", password: "b=c", timeout: 3, file: "f", words: []string{"noop"}}},
		{args: "--server h --port 9 --password-file pw noop", want: want{server: "h:9", passwordFile: "pw", words: []string{"noop"}}},
		{args: "--key k --cert c --ca-file x --ca-path d --clear-text --debug noop", want: want{server: ":6017", key: "k", cert: "c", caFile: "x", caDir: "d", clear: true, words: []string{"noop"}}},
		{args: "--status --exists-ok --missing-ok --no-check --insecure -o json noop", want: want{server: ":6017", status: true, exists: true, miss: true, noc: true, insecure: true, format: formatJSON, words: []string{"noop"}}},
		{args: "--output=table noop", want: want{server: ":6017", format: formatTable, words: []string{"noop"}}},
		{args: "-o tsv -o raw noop", want: want{server: ":6017", words: []string{"noop"}}},
		{args: "--fingerprint " + sum + " noop", want: want{server: ":6017", fingerprints: 1, words: []string{"noop"}}},
		{args: "--fingerprint sha256:" + sum + "," + colons + " noop", want: want{server: ":6017", fingerprints: 2, words: []string{"noop"}}},
		// The environment, and what wins over it.
		{args: "noop", env: []string{"CTRL_SERVER=e", "CTRL_USER=a", "CTRL_PASSWORD=b"}, want: want{server: "e:6017", user: "a", password: "b", words: []string{"noop"}}},
		{args: "noop", env: []string{"CTRL_SERVER=e:99"}, want: want{server: "e:99", words: []string{"noop"}}},
		{args: "-n 7 noop", env: []string{"CTRL_SERVER=e:99"}, want: want{server: "e:7", words: []string{"noop"}}},
		{args: "-s h noop", env: []string{"CTRL_SERVER=e:99"}, want: want{server: "h:6017", words: []string{"noop"}}},
		{args: "-u x -p y noop", env: []string{"CTRL_USER=a", "CTRL_PASSWORD=b"}, want: want{server: ":6017", user: "x", password: "y", words: []string{"noop"}}},
		{args: "noop", env: []string{"CTRL_PASSWORD_FILE=pw"}, want: want{server: ":6017", passwordFile: "pw", words: []string{"noop"}}},
		{args: "noop", env: []string{"CTRL_PASSWORD_FILE=pw", "CTRL_PASSWORD=b"}, want: want{server: ":6017", password: "b", words: []string{"noop"}}},
		{args: "--password-file mine noop", env: []string{"CTRL_PASSWORD=b"}, want: want{server: ":6017", passwordFile: "mine", words: []string{"noop"}}},
		{args: "noop", env: []string{"CTRL_KEY_FILE=k", "CTRL_CERT_FILE=c", "CTRL_CA_FILE=x", "CTRL_CA_PATH=d"}, want: want{server: ":6017", key: "k", cert: "c", caFile: "x", caDir: "d", words: []string{"noop"}}},
		{args: "-K mine noop", env: []string{"CTRL_KEY_FILE=k", "CTRL_CERT_FILE=c"}, want: want{server: ":6017", key: "mine", cert: "c", words: []string{"noop"}}},
		{args: "noop", env: []string{"CTRL_INSECURE=1"}, want: want{server: ":6017", insecure: true, words: []string{"noop"}}},
		{args: "noop", env: []string{"CTRL_INSECURE=0"}, want: want{server: ":6017", words: []string{"noop"}}},
		{args: "noop", env: []string{"CTRL_FINGERPRINT=" + colons}, want: want{server: ":6017", fingerprints: 1, words: []string{"noop"}}},
	} {
		t.Run(tt.args+" "+strings.Join(tt.env, " "), func(t *testing.T) {
			o, err := parseOptions(strings.Fields(tt.args), environment(tt.env...))
			if err != nil {
				t.Fatalf("error: %v", err)
			}
			if tt.want.timeout == 0 {
				tt.want.timeout = 90
			}
			got := want{o.server.String(), o.user, o.password, o.passwordFile, o.file, o.tls, int(o.timeout / time.Second),
				o.keyFile, o.certFile, o.caFile, o.caDir, o.insecure, o.clearText, o.status, o.existsOK, o.missingOK, o.noCheck,
				o.format, o.raw, len(o.fingerprint), o.words}
			if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(want{})); d != "" {
				t.Errorf("options of %q (-want +got):\n%s", tt.args, d)
			}
		})
	}
}

func TestWrongOptionsAreUsageErrors(t *testing.T) {
	for _, tt := range []struct {
		args []string
		env  string
		want string // in the message
	}{
		{args: []string{"-Z", "noop"}, want: `unknown option "-Z"`},
		{args: []string{"-", "noop"}, want: `unknown option "-"`},
		{args: []string{"--nonsense", "noop"}, want: `unknown option "--nonsense"`},
		{args: []string{"--status=yes", "noop"}, want: "takes no value"},
		{args: []string{"-t"}, want: "-t needs a value"},
		{args: []string{"--server"}, want: "--server needs a value"},
		{args: []string{"-s", "", "noop"}, want: "option -s"},
		{args: []string{"-u", "", "noop"}, want: "option -u"},
		{args: []string{"-p", "", "noop"}, want: "option -p"},
		{args: []string{"-n", "x", "noop"}, want: "no port"},
		{args: []string{"-n", "65536", "noop"}, want: "no port"},
		{args: []string{"-s", "h:0", "noop"}, want: "no port"},
		{args: []string{"-s", "[::1", "noop"}, want: "bracket"},
		{args: []string{"-s", "a b", "noop"}, want: "no server name"},
		{args: []string{"-t", "0", "noop"}, want: "number of seconds"},
		{args: []string{"-t", "-5", "noop"}, want: "number of seconds"},
		{args: []string{"-cS", "noop"}, want: "-c -S"},
		{args: []string{"-o", "xml", "noop"}, want: "raw, table, tsv, json"},
		{args: []string{"--fingerprint", "abcd", "noop"}, want: "64 hexadecimal digits"},
		{args: []string{"noop"}, env: "CTRL_INSECURE=perhaps", want: "CTRL_INSECURE"},
		{args: []string{"noop"}, env: "CTRL_SERVER=h:x", want: "CTRL_SERVER"},
		{args: []string{"noop"}, env: "CTRL_FINGERPRINT=x", want: "CTRL_FINGERPRINT"},
	} {
		_, err := parseOptions(tt.args, environment(tt.env))
		var usage *usageError
		if !errors.As(err, &usage) || !strings.Contains(usage.msg, tt.want) {
			t.Errorf("%q with %q: got error %v, want a usage error with %q", tt.args, tt.env, err, tt.want)
		}
	}
}

func TestIncompleteOptionsSayWhatIsMissing(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-s h -u a -p b", "no command"},
		{"-s h -u a -p b --", "no command"},
		{"-u a -p b noop", "no server"},
		{"-s h -p b noop", "no user"},
		{"-s h -u a -p b --password-file f noop", "cannot both be given"},
	} {
		o, err := parseOptions(strings.Fields(tt.args), environment())
		if err != nil {
			t.Fatalf("%s: %v", tt.args, err)
		}
		if err := o.complete(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", tt.args, err, tt.want)
		}
	}
}

func TestServerAddressesInAllTheirForms(t *testing.T) {
	for _, tt := range []struct {
		in, host string
		port     int
	}{
		{"host", "host", 0},
		{"host:1", "host", 1},
		{"host;2", "host", 2},
		{"host|3", "host", 3},
		{"192.0.2.1:4", "192.0.2.1", 4},
		{"::1", "::1", 0},
		{"2001:db8::7", "2001:db8::7", 0},
		{"fe80::1%eth0", "fe80::1%eth0", 0},
		{"[::1]", "::1", 0},
		{"[::1]:5", "::1", 5},
		{"::1;6", "::1", 6},
		{"::1|7", "::1", 7},
		{"[fe80::1%eth0]|8", "fe80::1%eth0", 8},
		{"mail.example.org.", "mail.example.org.", 0},
	} {
		a, err := parseAddress(tt.in)
		if err != nil || a.host != tt.host || a.port != tt.port {
			t.Errorf("parseAddress(%q) = %+v, %v; want %s port %d", tt.in, a, err, tt.host, tt.port)
		}
	}
	for _, in := range []string{"", ":1", "host:", "host:x", "host;", "host:70000", "host:-1", "[::1", "[host]:1", "[::1]x", "[::1]:", "ho st", "h\x1bst", ";5"} {
		if a, err := parseAddress(in); err == nil {
			t.Errorf("parseAddress(%q) = %+v, want an error", in, a)
		}
	}
}
