package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// openPTY returns both ends of a new terminal.
func openPTY(t *testing.T) (master, tty *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return master, tty
}

func echoes(t *testing.T, tty *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

func TestPromptDoesNotEcho(t *testing.T) {
	master, tty := openPTY(t)
	p := &program{name: "ctrlclnt", stdin: tty, stdout: tty, stderr: tty, lookup: environment()}
	type answer struct {
		word string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		word, err := p.readPassword(&options{user: "adm\x1bin", server: address{"host", 6017}})
		got <- answer{word, err}
	}()
	screen := bufio.NewReader(master)
	question, err := screen.ReadString(':')
	if err != nil {
		t.Fatal(err)
	}
	if want := `Password of adm\x1bin at host:`; question != want {
		t.Errorf("asked %q, want %q", question, want)
	}
	for echoes(t, tty) { // the question comes a moment earlier
		runtime.Gosched()
	}
	fmt.Fprint(master, "pass wörd \\\n")
	if a := <-got; a.err != nil || a.word != `pass wörd \` {
		t.Errorf("got %q, %v", a.word, a.err)
	}
	if !echoes(t, tty) {
		t.Error("the terminal does not echo afterwards")
	}
	fmt.Fprint(tty, "end\n")
	rest, err := screen.ReadString('d')
	for err == nil && !strings.HasSuffix(rest, "end") {
		var more string
		more, err = screen.ReadString('d')
		rest += more
	}
	if err != nil || rest != "6017: \r\nend" {
		t.Errorf("the screen shows %q after the question, %v", rest, err)
	}
}

func TestSignalAtThePromptRestoresTheTerminal(t *testing.T) {
	master, tty := openPTY(t)
	cmd := exec.Command("ctrlclnt", "-s", "127.0.0.1:1", "-u", "admin", "noop")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.Stdin, cmd.Stderr = tty, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(master).ReadString(':'); err != nil {
		t.Fatal(err)
	}
	for echoes(t, tty) {
		runtime.Gosched()
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != syscall.SIGINT {
		t.Errorf("ended with %v, want by an interrupt", cmd.ProcessState)
	}
	if !echoes(t, tty) {
		t.Error("the terminal does not echo afterwards")
	}
}
