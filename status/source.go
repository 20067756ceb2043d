package status

import (
	"context"
	"errors"
)

// Source is where a [Handler] has its reports from, and what carries out the
// actions. Its methods are called from many goroutines at a time.
type Source interface {
	// Collect reports what q asks for, so far as it can be known before ctx
	// ends; what could not be known is named in the report.
	Collect(ctx context.Context, q Query) *Report
	// Disconnect ends a socket's part in a namespace, on whichever node it is.
	// It does not wait until the socket is gone, and one that is gone already is
	// no error.
	Disconnect(ctx context.Context, fullName, id string) error
	// Retire retires a namespace now instead of when its time is over. It
	// returns ErrNotFound, ErrOccupied or ErrPermanent if that cannot be, and
	// does not wait until the namespace is gone: a client that comes first keeps it.
	Retire(ctx context.Context, fullName string) error
}

// Why a namespace is not retired.
var (
	ErrNotFound  = errors.New("status: no such namespace")
	ErrOccupied  = errors.New("status: the namespace has sockets")
	ErrPermanent = errors.New("status: the namespace is permanent")
)
