package engineio

import (
	"bytes"
	"encoding/base64"
	"strconv"

	"github.com/gobwas/ws"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

// The wire forms of a message, cached in its frame.Frame. All parts of a frame
// are in each: what is adjacent in one slice stays adjacent on the wire.
const (
	formSocket         frame.Form = iota // WebSocket frames; revision 3 too, if no part is binary
	formSocketDeflated                   // the same, with large parts compressed
	formSocket3                          // revision 3 with binary parts: the type precedes them
	formSocket3Deflated
	formSocket3Base64 // revision 3, for a client without binary
	formPolling       // packets joined by the separator
	formPolling3      // LENGTH:PACKET, binary as base64
	formPolling3Binary
)

// compressionThreshold is the size from which a part is worth compressing.
const compressionThreshold = 1024

// itemKind says what an item's frame holds.
type itemKind uint8

const (
	itemMessage itemKind = iota // the parts are messages
	itemPacket                  // the first part is a whole packet, its type included
	itemSocket                  // the first part is a whole WebSocket frame, for WebSocket only
)

// item is an entry of an outbound queue.
type item struct {
	f          *frame.Frame
	kind       itemKind
	noCompress bool
}

// partCost is about what a part takes beside its bytes: the frame.Frame with its
// cached forms, the header of each, the place in the queue.
const partCost = 240

// cost is what the item counts against Options.MaxQueue: its bytes, and what
// carries them, so that no number of tiny messages takes more than the bound.
func (it item) cost() int { return it.f.Size() + partCost*it.f.Len() }

// Protocol packets that never differ, shared by all connections.
var (
	pingPacket  = item{f: frame.Text([]byte{packetPing}), kind: itemPacket}
	pongPacket  = item{f: frame.Text([]byte{packetPong}), kind: itemPacket}
	noopPacket  = item{f: frame.Text([]byte{packetNoop}), kind: itemPacket}
	closePacket = item{f: frame.Text([]byte{packetClose}), kind: itemPacket}
)

// socketWire returns the item as WebSocket frames.
func (it item) socketWire(protocol int, base64Only, deflate bool) []byte {
	if it.kind == itemSocket {
		return it.f.Part(0).Data
	}
	if it.kind == itemPacket {
		return it.f.Wire(formSocket, func(f *frame.Frame) []byte {
			return appendSocketFrame(nil, ws.OpText, false, nil, f.Part(0).Data)
		})
	}
	deflate = deflate && !it.noCompress && it.f.Size() >= compressionThreshold
	switch old := protocol == 3 && hasBinary(it.f); {
	case old && base64Only:
		return it.f.Wire(formSocket3Base64, buildSocket3Base64)
	case old && deflate:
		return it.f.Wire(formSocket3Deflated, buildSocket3Deflated)
	case old:
		return it.f.Wire(formSocket3, buildSocket3)
	case deflate:
		return it.f.Wire(formSocketDeflated, buildSocketDeflated)
	default:
		return it.f.Wire(formSocket, buildSocket)
	}
}

// pollingWire returns the item as a piece of a polling body: a whole one for
// revision 3, where lengths delimit, and one to join by the separator for 4.
func (it item) pollingWire(protocol int, binary bool) []byte {
	form, encode := formPolling, encodePolling
	switch {
	case protocol == 3 && binary:
		form, encode = formPolling3Binary, encodePolling3Binary
	case protocol == 3:
		form, encode = formPolling3, encodePolling3
	}
	kind := it.kind
	return it.f.Wire(form, func(f *frame.Frame) []byte {
		var b []byte
		for i := range f.Len() {
			b = encode(b, f.Part(i), kind == itemPacket)
		}
		return b
	})
}

func hasBinary(f *frame.Frame) bool {
	for i := range f.Len() {
		if f.Part(i).Binary {
			return true
		}
	}
	return false
}

var (
	textType   = []byte{packetMessage}
	binaryType = []byte{packetMessage - packetOpen}
)

func buildSocket(f *frame.Frame) []byte { return buildSocketFrames(f, nil, false) }

func buildSocketDeflated(f *frame.Frame) []byte { return buildSocketFrames(f, nil, true) }

func buildSocket3(f *frame.Frame) []byte { return buildSocketFrames(f, binaryType, false) }

func buildSocket3Deflated(f *frame.Frame) []byte { return buildSocketFrames(f, binaryType, true) }

func buildSocketFrames(f *frame.Frame, binaryPrefix []byte, deflate bool) []byte {
	b := make([]byte, 0, f.Size()+f.Len()*8)
	for i := range f.Len() {
		p := f.Part(i)
		op, prefix := ws.OpText, textType
		if p.Binary {
			op, prefix = ws.OpBinary, binaryPrefix
		}
		if deflate && len(p.Data) >= compressionThreshold {
			b = appendSocketFrame(b, op, true, nil, deflated(prefix, p.Data))
		} else {
			b = appendSocketFrame(b, op, false, prefix, p.Data)
		}
	}
	return b
}

func buildSocket3Base64(f *frame.Frame) []byte {
	var b []byte
	for i := range f.Len() {
		p := f.Part(i)
		if p.Binary {
			text := base64.StdEncoding.AppendEncode([]byte{'b', packetMessage}, p.Data)
			b = appendSocketFrame(b, ws.OpText, false, nil, text)
		} else {
			b = appendSocketFrame(b, ws.OpText, false, textType, p.Data)
		}
	}
	return b
}

// appendSocketFrame appends a whole, unmasked WebSocket frame whose payload is
// prefix and data.
func appendSocketFrame(b []byte, op ws.OpCode, rsv1 bool, prefix, data []byte) []byte {
	h := ws.Header{Fin: true, OpCode: op, Length: int64(len(prefix) + len(data)), Rsv: ws.Rsv(rsv1, false, false)}
	w := bytes.NewBuffer(b)
	if err := ws.WriteHeader(w, h); err != nil {
		panic("engineio: " + err.Error()) // only for a negative length
	}
	return append(append(w.Bytes(), prefix...), data...)
}

func encodePolling(b []byte, p frame.Part, whole bool) []byte {
	if len(b) > 0 {
		b = append(b, separator)
	}
	switch {
	case p.Binary:
		return base64.StdEncoding.AppendEncode(append(b, 'b'), p.Data)
	case whole:
		return append(b, p.Data...)
	default:
		return append(append(b, packetMessage), p.Data...)
	}
}

func encodePolling3(b []byte, p frame.Part, whole bool) []byte {
	if p.Binary {
		b = strconv.AppendInt(b, int64(2+base64.StdEncoding.EncodedLen(len(p.Data))), 10)
		return base64.StdEncoding.AppendEncode(append(b, ':', 'b', packetMessage), p.Data)
	}
	prefix := textType
	if whole {
		prefix = nil
	}
	b = strconv.AppendInt(b, int64(len(prefix)+utf16Len(p.Data)), 10)
	return append(append(append(b, ':'), prefix...), p.Data...)
}

func encodePolling3Binary(b []byte, p frame.Part, whole bool) []byte {
	kind, prefix := byte(0), textType
	switch {
	case p.Binary:
		kind, prefix = 1, binaryType
	case whole:
		prefix = nil
	}
	b = append(b, kind)
	digits := len(b)
	b = strconv.AppendInt(b, int64(len(prefix)+len(p.Data)), 10)
	for i := digits; i < len(b); i++ {
		b[i] -= '0'
	}
	return append(append(append(b, 255), prefix...), p.Data...)
}

// pongFrame answers a ping of the WebSocket protocol.
func pongFrame(data []byte) item {
	return item{f: frame.Binary(appendSocketFrame(nil, ws.OpPong, false, nil, data)), kind: itemSocket}
}

// pongFor answers a ping packet with its own data.
func pongFor(data []byte) item {
	if len(data) == 0 {
		return pongPacket
	}
	return item{f: frame.Text(append([]byte{packetPong}, data...)), kind: itemPacket}
}
