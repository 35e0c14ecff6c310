// Package programtest has places for the scripts of tests that the server runs.
// They do not run as root, also where the tests do, so the folders that the testing
// package makes are closed to them.
package programtest

import (
	"os"
	"path/filepath"
	"testing"
)

// Dir returns a folder that is removed after the test and that everybody may read
// and write.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "xmaild-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o777); err != nil { // in spite of the umask
		t.Fatal(err)
	}
	return dir
}

// Script writes a shell script that everybody may run, and returns its path.
func Script(t testing.TB, text string) string {
	t.Helper()
	return Write(t, Dir(t), "program", "#!/bin/sh\n"+text)
}

// Write makes an executable file in a folder of [Dir], and returns its path.
func Write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Read returns what a script has written to a file.
func Read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
