package login

import (
	"time"

	"github.com/xmaild/xmaild/pkg/limit"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// failureLimit is that of failed logins, from the variables of the same names.
func failureLimit(vars mailroot.ServerVars) limit.FailureLimit {
	return limit.FailureLimit{
		Count:  vars.Number("LOGIN-MaxFailures"),
		Window: time.Duration(vars.Number("LOGIN-FailureWindow")) * time.Second,
		Block:  time.Duration(vars.Number("LOGIN-BlockTime")) * time.Second,
	}
}
