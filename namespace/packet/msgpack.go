package packet

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/namespace/msgpack"
)

// The msgpack form, that of socket.io-msgpack-parser 3: a packet is one binary
// message, a map of type, nsp, data and id, the latter two only where there is
// something to say. data is what the JSON of the text form would be, with binary data
// where it belongs. There are no binary types, and no attachments to wait for.

// texts are scratch for the JSON of incoming packets.
var texts = sync.Pool{New: func() any { return new([]byte) }}

// fields are the values of a packet's map, encoded; nil where there is none, or
// JavaScript's undefined.
type fields struct{ typ, nsp, data, id []byte }

// unpack reads a packet in the msgpack form into p.
func (d *Decoder) unpack(message []byte, p *Packet) *SyntaxError {
	if uint64(len(message)) > math.MaxUint32/maxGrowth {
		return &SyntaxError{Msg: "packet above 512 MiB"}
	}
	f, err := readFields(message)
	if err != nil {
		return err
	}
	if err := f.head(d, p); err != nil {
		return err
	}
	return d.unpackData(f.data, p, len(message))
}

func readFields(message []byte) (f fields, err *SyntaxError) {
	r := msgpack.NewReader(message)
	head := r.Token()
	if head.Kind != msgpack.Map {
		r.Fail("packet that is no map")
	}
	for range head.N {
		var value *[]byte
		switch key := r.Token(); {
		case key.Kind == msgpack.Array || key.Kind == msgpack.Map:
			r.Fail("key that is an array or map")
		case key.Kind == msgpack.Str:
			value = f.field(key.Data)
		}
		// As in JavaScript, the last of equal keys holds.
		if raw := r.Raw(); value != nil {
			if *value = raw; msgpack.IsUndefined(raw) {
				*value = nil
			}
		}
	}
	return f, msgpackError(r.End())
}

// field returns where the value of a key belongs, nil if it says nothing to a server.
func (f *fields) field(key []byte) *[]byte {
	switch string(key) {
	case "type":
		return &f.typ
	case "nsp":
		return &f.nsp
	case "data":
		return &f.data
	case "id":
		return &f.id
	}
	return nil
}

// head reads everything but the data.
func (f *fields) head(d *Decoder, p *Packet) *SyntaxError {
	typ, ok := integer(f.typ)
	if !ok || typ > uint64(ConnectError) {
		return &SyntaxError{Msg: "invalid packet type"}
	}
	p.Type = Type(typ)
	name := msgpack.NewReader(f.nsp).Token()
	switch limit := d.maxNamespace(); {
	case name.Kind != msgpack.Str || !isNamespace(name.Data):
		return &SyntaxError{Msg: "invalid namespace"}
	case len(name.Data) > limit:
		return &SyntaxError{Msg: "namespace longer than " + strconv.Itoa(limit) + " bytes"}
	}
	p.Namespace = d.intern(name.Data)
	if f.id == nil {
		return nil
	}
	if p.ID, p.HasID = integer(f.id); !p.HasID {
		return &SyntaxError{Msg: "invalid packet id"}
	}
	return nil
}

// isNamespace reports whether name is one in the text form, too, whose clients may be
// in it.
func isNamespace(name []byte) bool {
	return len(name) > 0 && name[0] == '/' && bytes.IndexByte(name, ',') < 0 && utf8.Valid(name)
}

// integer reads a number without a fraction and a sign.
func integer(raw []byte) (uint64, bool) {
	switch t := msgpack.NewReader(raw).Token(); t.Kind {
	case msgpack.Uint:
		return t.Uint(), true
	case msgpack.Float:
		f, _ := t.Number()
		return uint64(f), f >= 0 && f < 1<<64 && f == math.Trunc(f)
	}
	return 0, false
}

// maxGrowth is how many bytes of JSON a byte of msgpack becomes, at most, attachments
// aside: a control character or false.
const maxGrowth = 8

// unpackData reads the data of a packet whose head is in p, as payload does for the
// text form.
func (d *Decoder) unpackData(data []byte, p *Packet, message int) *SyntaxError {
	if !fits(p.Type, data) {
		return &SyntaxError{Msg: "invalid payload of " + p.Type.String()}
	}
	if data == nil {
		return nil
	}
	scratch := texts.Get().(*[]byte)
	// What a client presents to connect is passed on as JSON: binary data in it
	// becomes what JSON.stringify makes of a Buffer.
	inline := p.Type != Event && p.Type != Ack
	most := d.maxAttachments()
	text, attachments, err := msgpack.ToJSON((*scratch)[:0], data, inline,
		msgpack.Bounds{Depth: maxDepth, Size: maxGrowth*len(data) + 64*min(most, len(data)), Attachments: most})
	kept := append([]byte(nil), text...)
	if *scratch = text; cap(text) <= maxPooled {
		texts.Put(scratch)
	}
	if err != nil {
		return msgpackError(err)
	}
	p.Attachments = compact(attachments, message)
	if err := d.payload(kept, 0, p, len(attachments)); err != nil {
		return err
	}
	p.Args.attachments = p.Attachments
	return nil
}

// fits reports whether data, nil if there is none, is what a packet of type t may
// carry: the rules of socket.io-msgpack-parser.
func fits(t Type, data []byte) bool {
	if data == nil {
		return t == Connect || t == Disconnect
	}
	switch kind := msgpack.NewReader(data).Token().Kind; t {
	case Connect:
		return kind == msgpack.Map
	case ConnectError:
		return kind == msgpack.Map || kind == msgpack.Str
	case Event, Ack:
		return kind == msgpack.Array
	}
	return false
}

// compact copies attachments that are but a small part of the message which they
// refer to: it would stay in memory with them, counted by nobody.
func compact(attachments [][]byte, message int) [][]byte {
	size := 0
	for _, a := range attachments {
		size += len(a)
	}
	if len(attachments) == 0 || size >= message/2 {
		return attachments
	}
	slab := make([]byte, 0, size)
	for i, a := range attachments {
		start := len(slab)
		slab = append(slab, a...)
		attachments[i] = slab[start:len(slab):len(slab)]
	}
	return attachments
}

// msgpackError returns the error of this package that says what err does.
func msgpackError(err error) *SyntaxError {
	if err == nil {
		return nil
	}
	if syntax, ok := errors.AsType[*msgpack.SyntaxError](err); ok {
		return &SyntaxError{Offset: syntax.Offset, Msg: "msgpack: " + syntax.Msg}
	}
	return &SyntaxError{Msg: err.Error()}
}

// Msgpack returns the frame of a packet, which this package has made, in the msgpack
// form. It is made once for all receivers and kept with f.
func Msgpack(f *frame.Frame) *frame.Frame { return f.Variant(pack) }

// The keys of a packet's map, each as a msgpack string.
const (
	keyData = "\xa4data"
	keyID   = "\xa2id"
	keyNsp  = "\xa3nsp"
	keyType = "\xa4type"
)

// pack returns nil if f is no packet.
func pack(f *frame.Frame) *frame.Frame {
	var (
		p    Packet
		text = f.Part(0).Data
		d    = Decoder{MaxAttachments: f.Len(), MaxNamespace: len(text)}
	)
	_, start, syntax := d.header(text, &p)
	if syntax != nil {
		return nil
	}
	attachments := make([][]byte, f.Len()-1)
	for i := range attachments {
		attachments[i] = f.Part(i + 1).Data
	}
	pairs := 2
	if start < len(text) {
		pairs++
	}
	if p.HasID {
		pairs++
	}
	const keys = 1 + len(keyType) + 1 + len(keyData) + len(keyNsp) + len(keyID) + 9
	message := msgpack.AppendMap(make([]byte, 0, keys+f.Size()), pairs)
	message = append(append(message, keyType...), byte(p.Type))
	if start < len(text) {
		var err error
		message, err = msgpack.AppendJSON(append(message, keyData...), text[start:], attachments, math.MaxInt)
		if err != nil {
			return nil
		}
	}
	message = msgpack.AppendStr(append(message, keyNsp...), p.Namespace)
	if p.HasID {
		message = msgpack.AppendUint(append(message, keyID...), p.ID)
	}
	return frame.Binary(message)
}
