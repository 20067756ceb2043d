package msgpack

import (
	"errors"
	"strconv"
)

var (
	// ErrTooLarge: a value takes more memory as JSON than it may.
	ErrTooLarge = errors.New("msgpack: value too large")
	// ErrTooDeep: arrays and objects nest more deeply than they may.
	ErrTooDeep = errors.New("msgpack: value nested too deeply")
)

// SyntaxError tells what is wrong with a message and where.
type SyntaxError struct {
	Offset int    // in bytes
	Msg    string // without any part of the message
}

func (e *SyntaxError) Error() string {
	return "msgpack: " + e.Msg + " at byte " + strconv.Itoa(e.Offset)
}
