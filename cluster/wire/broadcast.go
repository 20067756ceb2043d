package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/namespace/msgpack"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

// Dialect says whose form of the payloads is written.
type Dialect uint8

const (
	// Node is that of @socket.io/redis-adapter and @socket.io/redis-emitter.
	Node Dialect = iota
	// StockGo is that of github.com/zishang520/socket.io-go-redis. A broadcast
	// in it makes a Node server that hears it exit.
	StockGo
)

// goType is what is added to a packet type in the stock Go dialect: there the
// types are the digits of the client protocol.
const goType = '0'

// AppendBroadcast appends the payload of a broadcast from the server called uid.
// Only m.Event, FullName, Rooms, Except and Flags count. The attachments of the
// event are copied.
func AppendBroadcast(dst []byte, d Dialect, uid string, m *namespace.Message) ([]byte, error) {
	if d == StockGo {
		dst = msgpack.AppendStr(append(msgpack.AppendMap(dst, 3), keyUID...), uid)
		dst = append(dst, keyPacket...)
	} else {
		dst = msgpack.AppendStr(msgpack.AppendArray(dst, 3), uid)
	}
	dst, err := appendPacket(dst, d, m)
	if err != nil {
		return dst, err
	}
	if d == StockGo {
		dst = append(dst, keyOpts...)
	}
	return appendOpts(dst, d, m, 0), nil
}

// The keys, each as a msgpack string.
const (
	keyUID       = "\xa3uid"
	keyPacket    = "\xa6packet"
	keyOpts      = "\xa4opts"
	keyType      = "\xa4type"
	keyData      = "\xa4data"
	keyNsp       = "\xa3nsp"
	keyRooms     = "\xa5rooms"
	keyExcept    = "\xa6except"
	keyFlags     = "\xa5flags"
	keyVolatile  = "\xa8volatile"
	keyCompress  = "\xa8compress"
	keyTimeout   = "\xa7timeout"
	keyRequestID = "\xa9requestId"
)

// appendPacket writes the packet of m: always of type EVENT, also with binary
// data, which the receiver's own encoder looks for.
func appendPacket(dst []byte, d Dialect, m *namespace.Message) ([]byte, error) {
	data, attachments, err := eventData(m.Event)
	if err != nil {
		return dst, err
	}
	dst = append(msgpack.AppendMap(dst, 3), keyType...)
	if d == StockGo {
		dst = append(dst, 0xcc, goType+byte(packet.Event))
	} else {
		dst = append(dst, byte(packet.Event))
	}
	dst, err = appendJSON(append(dst, keyData...), data, attachments)
	if err != nil {
		return dst, err
	}
	return msgpack.AppendStr(append(dst, keyNsp...), m.FullName), nil
}

// eventData returns the JSON array of a frame of an event or acknowledgement.
func eventData(f *frame.Frame) (data []byte, attachments [][]byte, err error) {
	if f == nil {
		return nil, nil, ErrKind
	}
	d := packet.Decoder{MaxAttachments: f.Len(), MaxNamespace: len(f.Part(0).Data)}
	p, done, err := d.Text(f.Part(0).Data)
	for i := 1; err == nil && !done && i < f.Len(); i++ {
		p, done, err = d.Binary(f.Part(i).Data)
	}
	if err != nil {
		return nil, nil, err
	}
	return p.Data, p.Attachments, nil
}

func appendOpts(dst []byte, d Dialect, m *namespace.Message, timeout time.Duration) []byte {
	dst = append(msgpack.AppendMap(dst, 3), keyRooms...)
	dst = appendStrings(dst, m.Rooms)
	dst = appendStrings(append(dst, keyExcept...), m.Except)
	dst = append(dst, keyFlags...)
	n := 0
	for _, set := range []bool{m.Flags.Volatile, m.Flags.NoCompress, timeout > 0} {
		if set {
			n++
		}
	}
	dst = msgpack.AppendMap(dst, n)
	if m.Flags.Volatile {
		dst = msgpack.AppendBool(append(dst, keyVolatile...), true)
	}
	if m.Flags.NoCompress {
		dst = msgpack.AppendBool(append(dst, keyCompress...), false)
	}
	if timeout > 0 {
		dst = append(dst, keyTimeout...)
		if d == StockGo {
			return msgpack.AppendUint(dst, uint64(timeout)) // nanoseconds
		}
		return msgpack.AppendUint(dst, uint64(max(timeout/time.Millisecond, 1)))
	}
	return dst
}

func appendStrings(dst []byte, list []string) []byte {
	dst = msgpack.AppendArray(dst, len(list))
	for _, s := range list {
		dst = msgpack.AppendStr(dst, s)
	}
	return dst
}

// Broadcast is a received broadcast of which everything is known but the
// arguments: they are decoded by [Broadcast.Message], if anybody here wants them.
type Broadcast struct {
	UID string // of the sender; "emitter" for emitters, or empty
	// Nsp is the namespace's full name; "/" if the sender left it out.
	Nsp           string
	Rooms, Except []string
	Flags         frame.Flags

	data []byte // msgpack of [event, ...args]; nil if there was none
}

// DecodeBroadcast reads a broadcast in either dialect. The result shares memory with
// the payload. What the streams and sharded adapters publish on the same channels is a [*ForeignError].
func DecodeBroadcast(payload []byte) (Broadcast, error) {
	if len(payload) > 0 && payload[0] == '{' && isClusterJSON(payload) {
		return Broadcast{}, &ForeignError{ShardedAdapter}
	}
	r := reader{msgpack.NewReader(payload)}
	b := Broadcast{Nsp: "/"}
	typ := -1.0
	foreign := false
	switch t := r.Token(); t.Kind {
	case msgpack.Array:
		if t.N < 3 {
			r.Fail("array of fewer than three")
		}
		b.UID, _ = r.optionalText()
		b.packet(r, &typ)
		b.opts(r, Node)
		for range t.N - 3 {
			r.Raw()
		}
	case msgpack.Map:
		for range t.N {
			switch r.keyName() {
			case "uid":
				b.UID, _ = r.optionalText()
			case "packet":
				b.packet(r, &typ)
			case "opts":
				b.opts(r, StockGo)
			case "type": // of a cluster message; one of ours has it in the packet
				_, foreign = r.optionalText() // or a number, as one
			default:
				r.Raw()
			}
		}
	default:
		r.Fail("neither an array nor a map")
	}
	if r.End() == nil && !isEvent(typ) {
		if foreign {
			return Broadcast{}, &ForeignError{StreamsAdapter}
		}
		r.Fail("packet that is no event")
	}
	return b, fault(r.End())
}

// isClusterJSON says whether a payload is a message between the adapters of Node that are derived from its
// ClusterAdapter, in JSON.
func isClusterJSON(payload []byte) bool {
	var m struct {
		UID, Nsp string
		Type     *int
	}
	return json.Unmarshal(payload, &m) == nil && m.UID != "" && m.Nsp != "" && m.Type != nil
}

// isEvent says whether a packet type, of either dialect, is that of an event. Type 5
// is an event whose sender has seen that it has binary data.
func isEvent(typ float64) bool {
	if typ >= goType {
		typ -= goType
	}
	return typ == float64(packet.Event) || typ == float64(packet.BinaryEvent)
}

func (b *Broadcast) packet(r reader, typ *float64) {
	t := r.Token()
	if t.Kind != msgpack.Map {
		r.Fail("packet that is no map")
		return
	}
	for range t.N {
		switch r.keyName() {
		case "type":
			f, ok := r.Token().Number()
			if !ok {
				r.Fail("packet type that is no number")
			}
			*typ = f
		case "nsp":
			if s, ok := r.optionalText(); ok {
				b.Nsp = s
			}
		case "data":
			b.data = r.Raw()
		default:
			r.Raw()
		}
	}
}

// opts reads the options. In Go's dialect, compress is always there and false where
// nobody has set it, so it says nothing.
func (b *Broadcast) opts(r reader, d Dialect) {
	t := r.Token()
	if t.Kind == msgpack.Nil {
		return
	}
	if t.Kind != msgpack.Map {
		r.Fail("options that are no map")
		return
	}
	for range t.N {
		switch r.keyName() {
		case "rooms":
			b.Rooms = r.rooms()
		case "except":
			b.Except = r.rooms()
		case "flags":
			b.flags(r, d)
		default:
			r.Raw()
		}
	}
}

func (b *Broadcast) flags(r reader, d Dialect) {
	t := r.Token()
	if t.Kind == msgpack.Nil {
		return
	}
	if t.Kind != msgpack.Map {
		r.Fail("flags that are no map")
		return
	}
	for range t.N {
		key, val := r.keyName(), r.Token()
		switch {
		case key == "volatile" && val.Kind == msgpack.Bool:
			b.Flags.Volatile = val.Bool()
		case key == "compress" && val.Kind == msgpack.Bool && d == Node:
			b.Flags.NoCompress = !val.Bool()
		default:
			r.Skip(val)
		}
	}
}

// Message decodes the arguments into what clients know as the namespace name. limit
// bounds the memory that they take, in bytes.
func (b *Broadcast) Message(name string, limit int) (*namespace.Message, error) {
	text, attachments, err := toJSON(b.data, false, limit)
	if err != nil {
		return nil, err
	}
	f, err := eventFrame(name, text, attachments)
	if err != nil {
		return nil, err
	}
	return &namespace.Message{
		Kind: namespace.KindBroadcast, FullName: b.Nsp, Name: name,
		Rooms: b.Rooms, Except: b.Except, Event: f, Flags: b.Flags,
	}, nil
}

// eventFrame makes the frame of an event of a JSON array: its name, which may be a number,
// and arguments.
func eventFrame(name string, array []byte, attachments [][]byte) (*frame.Frame, error) {
	args, err := packet.NewArgs(array, attachments...)
	if err != nil {
		return nil, &SyntaxError{Msg: "event", Err: err}
	}
	var event string
	switch c := args.At(0).JSON(); {
	case args.Len() > 0 && c[0] == '"' && bytes.IndexByte(c, '\\') < 0:
		event = string(c[1 : len(c)-1])
	case args.Len() > 0 && c[0] == '"':
		err = args.At(0).Bind(&event)
	case args.Len() > 0 && (c[0] == '-' || '0' <= c[0] && c[0] <= '9'):
		event = string(c)
	default:
		err = errors.New("its name is neither a string nor a number")
	}
	if err != nil {
		return nil, &SyntaxError{Msg: "event", Err: err}
	}
	f, err := packet.EncodeArgs(packet.Header{Type: packet.Event, Namespace: name}, event, args.From(1))
	if err != nil {
		return nil, &SyntaxError{Msg: "event", Err: err}
	}
	return f, nil
}

// timeoutOf reads what travels as the timeout of an emit with acknowledgement: milliseconds in
// Node's dialect, nanoseconds in Go's. Longer than a day can only be meant as the latter.
func timeoutOf(f float64) time.Duration {
	const day = float64(24 * time.Hour / time.Millisecond)
	switch {
	case !(f > 0):
		return 0
	case f <= day:
		return time.Duration(f * float64(time.Millisecond))
	}
	return time.Duration(min(f, math.MaxInt32*float64(time.Millisecond)))
}
