package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// TestAgainstXmaild runs testdata/server/*.txtar, each against a whole server.
func TestAgainstXmaild(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join("testdata", "server", "*.txtar"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		t.Run(filepath.Base(script), func(t *testing.T) {
			server := servertest.Start(t)
			testscript.Run(t, testscript.Params{
				Files:               []string{script},
				RequireExplicitExec: true,
				Setup: func(env *testscript.Env) error {
					env.Setenv("GORACE", noRaceSleep)
					env.Setenv("MAIL_ROOT", server.Dir)
					env.Setenv("CTRL_SERVER", server.Addr)
					env.Setenv("PORT", server.Addr[strings.LastIndexByte(server.Addr, ':')+1:])
					env.Setenv("NATIVE", server.TLSAddr)
					env.Setenv("CTRL_USER", servertest.User)
					env.Setenv("CTRL_PASSWORD", servertest.Password)
					return nil
				},
				Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
					"status": cmdStatus,
				},
			})
		})
	}
}
