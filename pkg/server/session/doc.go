// Package session accepts the connections of the services, limits how many
// there are at a time, and knows which are there: one [Server] for each service,
// one [Registry] for all of them. What is spoken on a connection is not its
// business.
package session

import (
	"errors"

	"github.com/xmaild/xmaild/pkg/limit"
)

var (
	// ErrServerClosed is what [Server.Serve] returns after [Server.Shutdown].
	ErrServerClosed = errors.New("session: server closed")
	// ErrTooMany says that the service has as many sessions as it may.
	ErrTooMany = limit.ErrSessions
	// ErrTooManyOfAddress says that one address has as many sessions as it may.
	ErrTooManyOfAddress = limit.ErrAddressSessions
)
