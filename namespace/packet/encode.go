package packet

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
	"unsafe"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

// Encode makes the frame of an event, whose first argument is its name, or of
// an acknowledgement.
//
// Arguments are encoded as encoding/json would, compact and without escaping
// <, > and &. But a []byte, or a type made of it without methods of its own,
// becomes a binary attachment, wherever it stands: as an argument, in a struct
// field, a map, a slice, an interface. An empty one is an empty attachment, a
// nil one is null. It is not copied and must not change as long as the frame
// may be in use. An array of bytes stays an array of numbers, and what a
// MarshalJSON method returns stays JSON. A [Raw] is passed on undecoded.
//
// Peers may limit attachments; socket.io-parser closes a connection at the
// eleventh.
//
// Errors: an [*ArgError] for what cannot be encoded or panics while it is,
// [ErrReservedEvent], [ErrPlaceholder], and others for a bad header.
func Encode(h Header, args ...any) (f *frame.Frame, err error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	defer recoverTo(&err)
	e := encoders.Get().(*encoder)
	// What fails is not put back: its state is anyone's guess.
	if err := e.args(h.Type, args); err != nil {
		return nil, err
	}
	if err := e.checkPlaceholders(); err != nil {
		return nil, err
	}
	f = e.frame(h)
	e.release()
	return f, nil
}

// EncodeArgs makes the frame of an event called event, or of an
// acknowledgement (event is then ignored), of arguments that somebody sent:
// nothing is decoded. Placeholders are numbered anew, and attachments that the
// arguments do not refer to are left out.
func EncodeArgs(h Header, event string, args Args) (*frame.Frame, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	e := encoders.Get().(*encoder)
	e.buf = append(e.buf, '[')
	if h.Type == Event {
		if IsReserved(event) {
			return nil, ErrReservedEvent
		}
		if err := e.str(event); err != nil {
			return nil, err
		}
	}
	if len(args.attachments) == 0 {
		if len(args.spans) > 0 {
			e.comma()
			e.buf = append(e.buf, args.text()...)
		}
	} else {
		for i := range args.Len() {
			e.comma()
			var err error
			if e.buf, err = e.appendRaw(e.buf, args.At(i)); err != nil {
				return nil, err
			}
		}
	}
	e.buf = append(e.buf, ']')
	f := e.frame(h)
	e.release()
	return f, nil
}

// EncodeConnect makes the server's answer to CONNECT. payload encodes as an
// object, {"sid":...}; it is nil in protocol 4, whose clients expect none.
func EncodeConnect(namespace string, payload any) (*frame.Frame, error) {
	return encodeControl(Header{Type: Connect, Namespace: namespace}, payload)
}

// EncodeDisconnect makes a DISCONNECT.
func EncodeDisconnect(namespace string) (*frame.Frame, error) {
	return encodeControl(Header{Type: Disconnect, Namespace: namespace}, nil)
}

// EncodeConnectError makes the server's refusal of CONNECT: in protocol 5 an
// object of the message and, if not nil, data for the client's program; in
// protocol 4 an ERROR that holds data or else the message.
func EncodeConnectError(protocol int, namespace, message string, data any) (*frame.Frame, error) {
	h := Header{Type: ConnectError, Namespace: namespace}
	if protocol != Protocol4 {
		return encodeControl(h, struct {
			Message string `json:"message"`
			Data    any    `json:"data,omitempty"`
		}{message, data})
	}
	if data == nil {
		data = message
	}
	return encodeControl(h, data)
}

// encodeControl makes a packet other than Event and Ack.
func encodeControl(h Header, payload any) (f *frame.Frame, err error) {
	if err := checkNamespace(h.Namespace); err != nil {
		return nil, err
	}
	defer recoverTo(&err)
	e := encoders.Get().(*encoder)
	if payload != nil {
		if err := e.arg(payload); err != nil {
			return nil, fmt.Errorf("packet: payload of %v: %w", h.Type, err)
		}
	}
	if len(e.attachments) > 0 {
		return nil, fmt.Errorf("packet: payload of %v cannot hold binary data", h.Type)
	}
	if h.Type == Connect && payload != nil && e.buf[0] != '{' {
		return nil, errors.New("packet: payload of CONNECT must be an object")
	}
	f = e.frame(h)
	e.release()
	return f, nil
}

func (h Header) check() error {
	if h.Type != Event && h.Type != Ack {
		return fmt.Errorf("packet: cannot encode arguments into %v", h.Type)
	}
	return checkNamespace(h.Namespace)
}

func checkNamespace(name string) error {
	if name == "" || name == "/" {
		return nil
	}
	if name[0] != '/' || strings.IndexByte(name, ',') >= 0 || !utf8.ValidString(name) {
		return fmt.Errorf("packet: namespace %q cannot be sent", name)
	}
	return nil
}

// encoder collects one packet.
type encoder struct {
	buf          []byte // the payload
	attachments  [][]byte
	placeholders int // how many the payload has by our doing

	std  *json.Encoder  // writes into buf
	opts jsonv2.Options // hooks into this encoder
}

var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.std = json.NewEncoder(e)
	e.std.SetEscapeHTML(false)
	e.opts = e.hook()
	return e
}}

// release makes e available to others.
func (e *encoder) release() {
	if cap(e.buf) > maxPooled {
		return
	}
	clear(e.attachments)
	e.buf, e.attachments, e.placeholders = e.buf[:0], e.attachments[:0], 0
	encoders.Put(e)
}

// Write appends to the payload; it never fails.
func (e *encoder) Write(p []byte) (int, error) {
	e.buf = append(e.buf, p...)
	return len(p), nil
}

// comma separates the next element of the array from those before it.
func (e *encoder) comma() {
	if len(e.buf) > len("[") {
		e.buf = append(e.buf, ',')
	}
}

// args writes the array of arguments.
func (e *encoder) args(t Type, args []any) error {
	first := 0 // index of the first argument behind the name
	e.buf = append(e.buf, '[')
	if t == Event {
		if len(args) == 0 {
			return errors.New("packet: event without a name")
		}
		if err := e.eventName(args[0]); err != nil {
			return err
		}
		first = 1
	}
	for i, arg := range args[first:] {
		e.comma()
		if err := e.arg(arg); err != nil {
			return &ArgError{Index: i, Err: err}
		}
	}
	e.buf = append(e.buf, ']')
	return nil
}

// eventName writes the name of an event, which must come out as a string or a
// number.
func (e *encoder) eventName(name any) error {
	start := len(e.buf)
	if err := e.arg(name); err != nil {
		return fmt.Errorf("packet: event name: %w", err)
	}
	switch text := e.buf[start:]; {
	case text[0] == '"':
		if IsReserved(unquote(text)) {
			return ErrReservedEvent
		}
		return nil
	case text[0] == '-' || '0' <= text[0] && text[0] <= '9':
		return nil
	}
	return fmt.Errorf("packet: event name of type %T is neither a string nor a number", name)
}

// arg appends one value.
func (e *encoder) arg(v any) (err error) {
	defer recoverTo(&err) // here, so that the error says which argument
	switch v := v.(type) {
	case nil:
		e.buf = append(e.buf, "null"...)
	case string:
		return e.str(v)
	case bool:
		e.buf = strconv.AppendBool(e.buf, v)
	case int:
		e.buf = strconv.AppendInt(e.buf, int64(v), 10)
	case int64:
		e.buf = strconv.AppendInt(e.buf, v, 10)
	case uint64:
		e.buf = strconv.AppendUint(e.buf, v, 10)
	case []byte:
		if v == nil {
			e.buf = append(e.buf, "null"...)
		} else {
			e.buf = e.appendPlaceholder(e.buf, e.attach(v))
		}
	case Raw:
		e.buf, err = e.appendRaw(e.buf, v)
	default:
		if holdsBinary(v, 0) {
			return jsonv2.MarshalWrite(e, v, e.opts)
		}
		return e.plain(v)
	}
	return err
}

// plain appends a value without binary data.
func (e *encoder) plain(v any) error {
	if err := e.std.Encode(v); err != nil {
		return err
	}
	e.buf = e.buf[:len(e.buf)-1] // Encode ends with a newline
	return nil
}

// str appends a string. Text without anything to escape is only copied.
func (e *encoder) str(s string) error {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return e.plain(s)
		}
	}
	e.buf = append(e.buf, '"')
	e.buf = append(e.buf, s...)
	e.buf = append(e.buf, '"')
	return nil
}

// attach adds an attachment and returns its number.
func (e *encoder) attach(b []byte) int {
	e.attachments = append(e.attachments, b)
	return len(e.attachments) - 1
}

func (e *encoder) appendPlaceholder(dst []byte, num int) []byte {
	e.placeholders++
	dst = append(dst, `{"_placeholder":true,"num":`...)
	return append(strconv.AppendInt(dst, int64(num), 10), '}')
}

// appendRaw appends r with its placeholders numbered as this packet needs.
// An attachment that several placeholders stand for is sent once: otherwise a
// client could have its megabyte sent on thirty thousand times.
func (e *encoder) appendRaw(dst []byte, r Raw) ([]byte, error) {
	if len(r.attachments) == 0 {
		return append(dst, r.JSON()...), nil
	}
	found, syntax := findPlaceholders(r.JSON(), maxDepth)
	if syntax != nil {
		return dst, syntax // not reached: a Raw is valid
	}
	numbers := make([]int, len(r.attachments)) // new number + 1 by old number
	rest := 0
	for _, ph := range found {
		if ph.num < 0 || ph.num >= len(r.attachments) {
			return dst, ErrPlaceholder // not reached: a Raw is valid
		}
		if numbers[ph.num] == 0 {
			numbers[ph.num] = e.attachOnce(r.attachments[ph.num]) + 1
		}
		dst = append(dst, r.json[rest:ph.start]...)
		dst = e.appendPlaceholder(dst, numbers[ph.num]-1)
		rest = int(ph.end)
	}
	return append(dst, r.JSON()[rest:]...), nil
}

// attachOnce is attach, unless the very same bytes are attached already, by
// another argument of the packet that is passed on.
func (e *encoder) attachOnce(b []byte) int {
	for i, a := range e.attachments {
		if len(a) == len(b) && unsafe.SliceData(a) == unsafe.SliceData(b) {
			return i
		}
	}
	return e.attach(b)
}

// checkPlaceholders makes sure that every placeholder that a receiver will
// find in the payload is one of ours.
func (e *encoder) checkPlaceholders() error {
	if len(e.attachments) == 0 {
		return nil // receivers do not look for any
	}
	found, err := findPlaceholders(e.buf, ownDepth)
	if err != nil {
		return err
	}
	if len(found) != e.placeholders {
		return ErrPlaceholder
	}
	return nil
}

// frame puts the header before the payload.
func (e *encoder) frame(h Header) *frame.Frame {
	const numbers = 1 + 20 + 1 + 1 + 20 // type, attachments and '-', ',', id
	text := make([]byte, 0, numbers+len(h.Namespace)+len(e.buf))
	if n := len(e.attachments); n > 0 {
		text = append(text, '0'+byte(h.Type+BinaryEvent-Event))
		text = append(strconv.AppendInt(text, int64(n), 10), '-')
	} else {
		text = append(text, '0'+byte(h.Type))
	}
	if h.Namespace != "" && h.Namespace != "/" {
		text = append(append(text, h.Namespace...), ',')
	}
	if h.HasID {
		text = strconv.AppendUint(text, h.ID, 10)
	}
	text = append(text, e.buf...)
	var parts []frame.Part
	if len(e.attachments) > 0 {
		parts = make([]frame.Part, len(e.attachments))
		for i, a := range e.attachments {
			parts[i] = frame.Part{Data: a, Binary: true}
		}
	}
	return frame.New(frame.Part{Data: text}, parts...)
}
