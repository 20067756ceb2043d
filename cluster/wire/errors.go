package wire

import (
	"errors"
	"strconv"
)

var (
	// ErrTooLarge: the message is larger than allowed, as it is or once decoded.
	ErrTooLarge = errors.New("wire: message too large")
	// ErrTooDeep: arrays and objects of a message to be sent nest more than [MaxDepth] levels.
	ErrTooDeep = errors.New("wire: message nested too deeply")
	// ErrReservedEvent: a server-side event has a name that Node's Socket.IO
	// emits itself, or that makes a Node process exit if nobody listens.
	ErrReservedEvent = errors.New("wire: reserved name of a server-side event")
	// ErrKind: a message of this kind does not travel in this form.
	ErrKind = errors.New("wire: kind of message has no such form")
)

// MaxDepth is how deeply arrays and objects of a message may nest. A Node 20
// process exits with a stack overflow when it unpacks or packs some 4,000 levels.
const MaxDepth = 512

// SyntaxError tells what is wrong with a payload.
type SyntaxError struct {
	Offset int    // in bytes, approximate where the payload is JSON
	Msg    string // without any part of the payload
	Err    error  // of a package beneath, or nil
}

func (e *SyntaxError) Error() string {
	s := "wire: " + e.Msg + " at byte " + strconv.Itoa(e.Offset)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns e.Err.
func (e *SyntaxError) Unwrap() error { return e.Err }

// Adapter is a Redis adapter of Socket.IO whose messages are recognised and not understood.
type Adapter string

// Adapters that share names of channels with the classic one.
const (
	StreamsAdapter Adapter = "@socket.io/redis-streams-adapter"
	ShardedAdapter Adapter = "the sharded adapter (createShardedAdapter of @socket.io/redis-adapter)"
)

// ForeignError: the payload is a message of another adapter.
type ForeignError struct {
	Adapter Adapter
}

func (e *ForeignError) Error() string { return "wire: message of " + string(e.Adapter) }
