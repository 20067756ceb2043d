package lease

import "errors"

var (
	// ErrHeld says that another one holds the lease. It is an answer, not a
	// fault.
	ErrHeld = errors.New("lease: held by another")

	// ErrLost says that a lease is this process's no longer, for whatever
	// reason; it is the same from every method and as the cause of
	// [Held.Context].
	ErrLost = errors.New("lease: lost")
)

// Error is a Redis call without an answer: it may or may not have taken effect.
type Error struct {
	Op  string // "acquire", "renew", "release" or "read"
	Key string // the lease's key
	Err error  // what the client said
}

func (e *Error) Error() string { return "lease: " + e.Op + " " + e.Key + ": " + e.Err.Error() }

// Unwrap returns what the client said.
func (e *Error) Unwrap() error { return e.Err }
