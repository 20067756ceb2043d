package cluster

import (
	"errors"
	"fmt"
	"time"
)

// ErrFenced says that a session does not stand: the node was evicted, registered
// anew, or Redis has other data. Nothing was written. It is also what every call
// returns on a session that has ended.
var ErrFenced = errors.New("cluster: the session does not stand")

// Error is a Redis call without a usable answer: it may or may not have taken
// effect.
type Error struct {
	Op  string // the script, such as "join", or "register", "read"
	Err error  // what the client said
}

func (e *Error) Error() string { return "cluster: " + e.Op + ": " + e.Err.Error() }

// Unwrap returns what the client said.
func (e *Error) Unwrap() error { return e.Err }

// TakenError says that another process is registered as this node, and lives.
type TakenError struct {
	Node    string
	Address string    // of the other process
	Started time.Time // likewise
	// Wait is when the other's session may be taken over, unless it sends a heartbeat again.
	Wait time.Duration
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("another process (at %q, started %s) is registered as node %q; every process needs a --node-id of its own. "+
		"If that one is gone, this one takes its place in %s", e.Address, e.Started.UTC().Format(time.RFC3339), e.Node, e.Wait.Round(100*time.Millisecond))
}
