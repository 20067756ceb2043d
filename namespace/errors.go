package namespace

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Never is the retirement time of a permanent namespace. It is the longest
// time there is, so that max(ns.Retirement(), 30*time.Second) leaves a
// permanent namespace permanent.
const Never = time.Duration(1<<63 - 1)

// Why a socket or its connection ended, as Socket.IO documents it. OnDisconnect
// handlers get one of these.
const (
	ReasonTransportClose = "transport close"             // the connection was closed or lost
	ReasonTransportError = "transport error"             // the connection failed
	ReasonPingTimeout    = "ping timeout"                // the client did not answer the heartbeat
	ReasonClientLeft     = "client namespace disconnect" // the client left the namespace
	ReasonServerLeft     = "server namespace disconnect" // the server disconnected the socket
	ReasonForcedClose    = "forced server close"         // Disconnect(true), a packet out of place, or no namespace joined in time
	ReasonShutdown       = "server shutting down"        // the node stops
	ReasonParseError     = "parse error"                 // the client sent what is no packet
)

// What clients are told where an error has no text for them.
const (
	messageInvalid        = "Invalid namespace"
	messageTooMany        = "Too many namespaces"
	messageTooMuch        = "Too much data"
	messageUnavailable    = "Namespace unavailable"
	messageHandlerFailure = "internal error"
)

// errNoMatch is the ErrRefused of a name that nothing was registered for.
var errNoMatch = fmt.Errorf("%w: no registration matches", ErrRefused)

// errAddressLimit is the ErrLimit of Options.MaxNamespacesPerAddress.
var errAddressLimit = fmt.Errorf("%w: namespaces that the clients of one address brought to life", ErrLimit)

var (
	// ErrDisconnected: the socket is not connected any more.
	ErrDisconnected = errors.New("namespace: socket is disconnected")
	// ErrTimeout: the acknowledgement did not come in time.
	ErrTimeout = errors.New("namespace: no acknowledgement in time")
	// ErrDropped: a volatile event was dropped, so that no acknowledgement will come.
	ErrDropped = errors.New("namespace: volatile event was dropped")
	// ErrRefused: the setup of the namespace refused it.
	ErrRefused = errors.New("namespace: refused by its setup")
	// ErrLimit: a bound of Options would be passed.
	ErrLimit = errors.New("namespace: limit reached")
	// ErrClosed: the registry has been closed.
	ErrClosed = errors.New("namespace: closed")
)

// ClientError is an error whose text is meant for the client. A setup or a
// middleware that returns one refuses with that text; an event handler that
// returns one acknowledges with it. The text of any other error stays in the
// log: it may tell what a client should not know.
type ClientError struct {
	Message string // what the client sees
	Data    any    // more for the client's program: the data of its connect_error
}

// Errorf returns a *ClientError with a formatted text. It wraps nothing.
func Errorf(format string, args ...any) error {
	return &ClientError{Message: fmt.Sprintf(format, args...)}
}

func (e *ClientError) Error() string { return e.Message }

// forClient is what a client is told of err: its text if it was made for
// clients, otherwise the general word.
func forClient(err error, general string) *ClientError {
	if ce, ok := errors.AsType[*ClientError](err); ok {
		return ce
	}
	return &ClientError{Message: general}
}

// MissingError says which nodes did not answer in time. What the others
// answered stands.
type MissingError struct {
	Nodes []string
}

func (e *MissingError) Error() string {
	nodes := "nodes"
	if len(e.Nodes) == 1 {
		nodes = "node"
	}
	return fmt.Sprintf("namespace: %d %s did not answer in time: %s", len(e.Nodes), nodes, strings.Join(e.Nodes, ", "))
}
