package bus

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed: the bus has been closed.
	ErrClosed = errors.New("bus: closed")
	// ErrLeft: what was waited for was left meanwhile.
	ErrLeft = errors.New("bus: left while waiting for the subscription")
	// ErrUnsent: the question was certainly or possibly not published.
	ErrUnsent = errors.New("bus: not published")
)

// TooLargeError is a message that is too large for Redis to pass on without harm.
// It was not published.
type TooLargeError struct {
	Size, Max int // in bytes, encoded
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("bus: message of %d bytes, at most %d are allowed", e.Size, e.Max)
}

// redisError is an error that Redis answered with.
type redisError string

func (e redisError) Error() string { return "bus: Redis: " + string(e) }
