package packet

import (
	"errors"
	"strconv"
)

// Type is the type of a packet, with the number that it has on the wire.
type Type uint8

// The packet types of the protocol. In version 4 the type ConnectError is
// called ERROR; number and use are the same.
const (
	Connect Type = iota
	Disconnect
	Event
	Ack
	ConnectError
	BinaryEvent
	BinaryAck
)

var typeNames = [...]string{"CONNECT", "DISCONNECT", "EVENT", "ACK", "CONNECT_ERROR", "BINARY_EVENT", "BINARY_ACK"}

// String returns the protocol's name of the type.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "Type(" + strconv.Itoa(int(t)) + ")"
}

// Versions of the Socket.IO protocol.
const (
	Protocol4 = 4 // Socket.IO 2, over Engine.IO 3
	Protocol5 = 5 // Socket.IO 3 and 4, over Engine.IO 4
)

// Packet is one decoded packet. Its byte slices point into the messages that
// the decoder was given.
type Packet struct {
	// Type is never BinaryEvent nor BinaryAck: those are Event and Ack here,
	// with Attachments.
	Type Type
	// Namespace begins with a slash; "/" is the main namespace.
	Namespace string
	// Query is what follows the '?' in the namespace of a protocol 4 packet:
	// there a client sends its query in CONNECT. Always empty in protocol 5.
	Query string
	// ID is the acknowledgement id, valid if HasID. The protocol gives it to
	// events that want an answer and to the answers.
	ID    uint64
	HasID bool
	// Event is the name of an Event, unquoted. A name may be a number on the
	// wire; it is then that number's literal text.
	Event string
	// Args are the arguments of an Event, without its name, or of an Ack.
	Args Args
	// Data is the JSON as it was sent, nil if there was none: an array for
	// Event and Ack, an object for Connect, a string or object for
	// ConnectError.
	Data []byte
	// Attachments are the binary attachments, in the order sent.
	Attachments [][]byte
}

// Header says what [Encode] puts before the arguments.
type Header struct {
	// Type is Event or Ack. The binary types are chosen where they are needed.
	Type Type
	// Namespace begins with a slash; empty is "/".
	Namespace string
	// ID is written if HasID is set.
	ID    uint64
	HasID bool
}

// What a decoder or encoder can refuse beside malformed text ([SyntaxError]).
var (
	// ErrAwaitingAttachments: a text message came while attachments of the
	// packet before it were still to come.
	ErrAwaitingAttachments = errors.New("packet: text message while binary attachments are awaited")
	// ErrUnexpectedBinary: a binary message came that no packet announced.
	ErrUnexpectedBinary = errors.New("packet: binary message without a packet that announces it")
	// ErrUnexpectedText: a text message came from a peer that speaks the msgpack
	// form, which has none.
	ErrUnexpectedText = errors.New("packet: text message from a peer that speaks msgpack")
	// ErrReservedEvent: the event name has a meaning of its own in Socket.IO
	// and can be neither sent nor received as an event.
	ErrReservedEvent = errors.New("packet: reserved event name")
	// ErrPlaceholder: a value to be sent beside binary data looks like the
	// protocol's stand-in for an attachment, {"_placeholder":true,...}. The
	// protocol has no way to tell it from a real one, so a receiver would take
	// it for an attachment or give up the connection.
	ErrPlaceholder = errors.New("packet: value looks like an attachment placeholder")
)

// SyntaxError tells what is wrong with a message and where.
type SyntaxError struct {
	Offset int    // in bytes from the start of the text
	Msg    string // without any part of the text that is not quoted
	Err    error  // a sentinel of this package, or nil
}

func (e *SyntaxError) Error() string {
	return "packet: " + e.Msg + " at byte " + strconv.Itoa(e.Offset)
}

// Unwrap returns e.Err.
func (e *SyntaxError) Unwrap() error { return e.Err }

// IsReserved reports whether name is an event name that a peer refuses: the
// list of socket.io-parser, which is also that of the server's emit.
func IsReserved(name string) bool {
	switch name {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}
