package cluster

import "errors"

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
