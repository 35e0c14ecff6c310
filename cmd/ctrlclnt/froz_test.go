package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

// A signal that comes when the list is there and nothing is sent yet is no success.
func TestFrozSaysWhatASignalHasLeft(t *testing.T) {
	r := startTestRecorder(t)
	client, err := ctrl.Dial(t.Context(), r.plain, "admin", recorderPassword)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var stderr strings.Builder
	p := &program{name: "ctrlclnt", stderr: &stderr}
	stopping := make(chan struct{})
	close(stopping)
	rows := [][]string{{"one.mx", "0", "0"}, {"two.mx", "0", "1"}}
	err = p.changeFrozen(t.Context(), client, &options{words: []string{"froz", "delete"}}, rows, stopping)
	if told := (*toldError)(nil); !errors.As(err, &told) || told.exit == 0 {
		t.Errorf("error %v, want one that was told", err)
	}
	if want := "ctrlclnt: froz: 0 messages are deleted\nctrlclnt: froz: 2 messages are left\n"; stderr.String() != want {
		t.Errorf("told %q, want %q", stderr.String(), want)
	}
}
