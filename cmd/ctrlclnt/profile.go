package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// withProfile returns the options of a profile with those of the command line
// over them.
func (o *options) withProfile(args []string, lookup func(string) (string, bool)) (*options, error) {
	path := o.profileFile
	if path == "" {
		path, _ = lookup("CTRL_PROFILE_FILE")
	}
	if path == "" {
		var err error
		if path, err = defaultProfileFile(lookup); err != nil {
			return nil, &localError{code: codeOpenFile, info: err.Error()}
		}
	}
	fields, err := findProfile(path, o.profile)
	if err != nil {
		return nil, err
	}
	merged := &options{timeout: defaultTimeout}
	if err := merged.readProfile(fields); err != nil {
		return nil, &localError{code: codeReadFile, info: fmt.Sprintf("profile %q in %s: %v", o.profile, path, err)}
	}
	switch { // a password given here is in place of the profile's, wherever that has it
	case o.hasPassword:
		merged.passwordFile = ""
	case o.passwordFile != "":
		merged.password, merged.hasPassword = "", false
	}
	port := merged.server.port
	if err := merged.read(args); err != nil {
		return nil, err
	}
	if o.port != 0 && o.server.host == "" {
		merged.server.port = 0 // -n is for the server of the profile
	} else if o.server.host == "" {
		merged.server.port = port
	}
	return merged, nil
}

// defaultProfileFile is ctrlclnt/profiles in the user's folder for configuration.
func defaultProfileFile(lookup func(string) (string, bool)) (string, error) {
	dir, _ := lookup("XDG_CONFIG_HOME")
	if dir == "" {
		home, _ := lookup("HOME")
		dir = filepath.Join(home, ".config")
		if home == "" {
			var err error
			if dir, err = os.UserConfigDir(); err != nil {
				return "", fmt.Errorf("profile file: %w; name it with --profile-file", err)
			}
		}
	}
	return filepath.Join(dir, "ctrlclnt", "profiles"), nil
}

// findProfile returns the row of a profile: its name, the server, the user, and options.
func findProfile(path, name string) ([]string, error) {
	fail := func(err error) ([]string, error) {
		return nil, &localError{code: codeOpenFile, info: "profile file: " + err.Error()}
	}
	f, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fail(err)
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o066 != 0 && runtime.GOOS != "windows" {
		return fail(fmt.Errorf("others on this machine may read or change %s (mode %04o); run: chmod 600 %[1]s", path, info.Mode().Perm()))
	}
	content, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return fail(err)
	}
	var names []string
	n := 0
	for line := range strings.Lines(string(content)) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := tabfile.Split(line)
		if len(fields) < 3 {
			return fail(fmt.Errorf("%s:%d: want \"name\" TAB \"server\" TAB \"user\", and options after them", path, n))
		}
		if fields[0] == name {
			return fields, nil
		}
		names = append(names, fields[0])
	}
	if len(names) == 0 {
		return fail(fmt.Errorf("%s has no profile", path))
	}
	return fail(fmt.Errorf("%s has no profile %q, only %s", path, name, strings.Join(names, ", ")))
}

// readProfile takes the fields of a profile.
func (o *options) readProfile(fields []string) error {
	if fields[1] != "" {
		if err := setServer(o, fields[1]); err != nil {
			return err
		}
	}
	o.user = fields[2]
	rest, _, err := o.readOptions(optionTable(), fields[3:])
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return fmt.Errorf("%q is no option", rest[0])
	case o.profile != "" || o.profileFile != "":
		return errors.New("a profile cannot name another")
	case o.help || o.version:
		return errors.New("--help and --version are not for a profile")
	}
	return nil
}
