// Command ctrlclnt runs one command of the control protocol, for xmaild and
// XMail servers, from shells, scripts and cron. Its command line is that of the
// reference's CtrlClnt (docs/reference/control-protocol.md 5) and long options.
package main

import "os"

// version is set by scripts/build.
var version string

func main() {
	p := &program{
		name:   programName(os.Args),
		stdin:  os.Stdin,
		stdout: os.Stdout,
		stderr: os.Stderr,
		lookup: os.LookupEnv,
	}
	os.Exit(p.run(os.Args[1:]))
}
