package packet

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/namespace/msgpack"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The messages were written by socket.io-msgpack-parser 3.0.2, which has undefined
// for what is not there, and its options, which are for the server's transport.
var msgpackSamples = []struct {
	message string
	want    Packet // apart from Args and Attachments
	args    []string
}{
	{`83 a474797065 00 a464617461 d40000 a36e7370 a12f`, Packet{Namespace: "/"}, nil},
	{`83 a474797065 00 a464617461 81a5746f6b656ea174 a36e7370 a62f61646d696e`,
		Packet{Namespace: "/admin", Data: []byte(`{"token":"t"}`)}, nil},
	{`83 a474797065 00 a464617461 81a36b6579c40201ff a36e7370 a12f`,
		Packet{Namespace: "/", Data: []byte(`{"key":{"type":"Buffer","data":[1,255]}}`)}, nil},
	{`82 a474797065 01 a36e7370 a62f61646d696e`, Packet{Type: Disconnect, Namespace: "/admin"}, nil},
	{`84 a474797065 02 a464617461 91a26869 a76f7074696f6e7381a8636f6d7072657373c3 a36e7370 a12f`,
		Packet{Type: Event, Namespace: "/", Event: "hi", Data: []byte(`["hi"]`)}, nil},
	{`85 a474797065 02 a464617461 99a2686901ffcb3ff8000000000000c0c3a4c3a90a2282a16190a16280d40000
		a76f7074696f6e7381a8636f6d7072657373c3 a26964 00 a36e7370 a62f61646d696e`,
		Packet{Type: Event, Namespace: "/admin", HasID: true, Event: "hi", Data: []byte(`["hi",1,-1,1.5,null,true,"é\n\"",{"a":[],"b":{}},null]`)},
		[]string{`1`, `-1`, `1.5`, `null`, `true`, `"é\n\""`, `{"a":[],"b":{}}`, `null`}},
	{`85 a474797065 02 a464617461 93a466696c65c40301020381a46465657091c400 a76f7074696f6e7381a8636f6d7072657373c3 a26964 cd012c a36e7370 a12f`,
		Packet{Type: Event, Namespace: "/", ID: 300, HasID: true, Event: "file", Data: []byte(`["file",` + ph0 + `,{"deep":[{"_placeholder":true,"num":1}]}]`)},
		[]string{ph0, `{"deep":[{"_placeholder":true,"num":1}]}`}},
	{`83 a474797065 02 a464617461 9207d7000000018bcfe5687b a36e7370 a12f`,
		Packet{Type: Event, Namespace: "/", Event: "7", Data: []byte(`[7,"2023-11-14T22:13:20.123Z"]`)}, []string{`"2023-11-14T22:13:20.123Z"`}},
	{`84 a474797065 03 a464617461 90 a26964 05 a36e7370 a12f`, Packet{Type: Ack, Namespace: "/", ID: 5, HasID: true, Data: []byte(`[]`)}, nil},
	{`84 a474797065 03 a464617461 9182a161d40000a16201 a26964 cf0000000100000000 a36e7370 a82f783f793d312e35`,
		Packet{Type: Ack, Namespace: "/x?y=1.5", ID: 1 << 32, HasID: true, Data: []byte(`[{"b":1}]`)}, []string{`{"b":1}`}},
}

func TestDecoder_Msgpack(t *testing.T) {
	for _, s := range msgpackSamples {
		var d Decoder
		p, done, err := d.Binary(unhex(t, s.message))
		if err != nil || !done || !d.Msgpack() {
			t.Errorf("%s: %v, done %v", s.message, err, done)
			continue
		}
		var args []string
		for i := range p.Args.Len() {
			args = append(args, string(p.Args.At(i).JSON()))
		}
		if !reflect.DeepEqual(args, s.args) {
			t.Errorf("%s: arguments %q, want %q", s.message, args, s.args)
		}
		if n := len(p.Attachments); n > 0 && (n != 2 || !bytes.Equal(p.Attachments[0], []byte{1, 2, 3}) || p.Attachments[1] == nil) {
			t.Errorf("%s: attachments %x", s.message, p.Attachments)
		}
		p.Args, p.Attachments = Args{}, nil
		if !reflect.DeepEqual(p, s.want) {
			t.Errorf("%s: %+v, want %+v", s.message, p, s.want)
		}
	}
}

func TestDecoder_MsgpackRefuses(t *testing.T) {
	event := func(data string) string { return `83 a474797065 02 a36e7370 a12f a464617461` + data }
	connect := func(data string) string { return `83 a474797065 00 a36e7370 a12f a464617461` + data }
	long := hex.EncodeToString([]byte("/" + strings.Repeat("x", DefaultMaxNamespace)))
	tests := map[string]string{
		"nothing": ``, "nil": `c0`, "an array": `90`, "a string": `a161`, "an empty map": `80`, "a byte behind": `82 a474797065 01 a36e7370 a12f 00`,
		"cut off": `83 a474797065 02 a36e7370 a12f`, "no type": `81 a36e7370 a12f`, "type 5": `83 a474797065 05 a36e7370 a12f a464617461 91a161`,
		"type -1": `82 a474797065 ff a36e7370 a12f`, "type 0.5": `82 a474797065 cb3fe0000000000000 a36e7370 a12f`, "type a string": `82 a474797065 a131 a36e7370 a12f`,
		"type undefined": `83 a474797065 01 a474797065 d40000 a36e7370 a12f`,
		"no namespace":   `81 a474797065 01`, "namespace nil": `82 a474797065 01 a36e7370 c0`, "namespace empty": `82 a474797065 01 a36e7370 a0`,
		"namespace without a slash": `82 a474797065 01 a36e7370 a161`, "namespace with a comma": `82 a474797065 01 a36e7370 a32f612c`,
		"namespace that is not UTF-8": `82 a474797065 01 a36e7370 a22fff`, "namespace too long": `82 a474797065 01 a36e7370 da0401` + long,
		"id nil": `83 a474797065 01 a36e7370 a12f a26964 c0`, "id negative": `83 a474797065 01 a36e7370 a12f a26964 ff`, "id a fraction": `83 a474797065 01 a36e7370 a12f a26964 cb3ff8000000000000`,
		"id 2^64": `83 a474797065 01 a36e7370 a12f a26964 cb43f0000000000000`, "id NaN": `83 a474797065 01 a36e7370 a12f a26964 cb7ff8000000000000`, "id a string": `83 a474797065 01 a36e7370 a12f a26964 a131`,
		"CONNECT with nil": connect(`c0`), "CONNECT with an array": connect(`90`), "CONNECT with a string": connect(`a161`), "CONNECT with binary": connect(`c40101`),
		"CONNECT with a date": connect(`d7ff1d5353006553f100`), "DISCONNECT with data": `83 a474797065 01 a36e7370 a12f a464617461 80`,
		"CONNECT_ERROR without data": `82 a474797065 04 a36e7370 a12f`, "CONNECT_ERROR with an array": `83 a474797065 04 a36e7370 a12f a464617461 90`,
		"EVENT without data": `82 a474797065 02 a36e7370 a12f`, "EVENT with a map": event(`80`), "EVENT with binary": event(`c40101`), "EVENT with undefined": event(`d40000`),
		"ACK without data": `82 a474797065 03 a36e7370 a12f`, "event without a name": event(`90`), "name nil": event(`91c0`), "name binary": event(`91c40161`), "name an array": event(`9190`),
		"reserved name": event(`91aa` + hex.EncodeToString([]byte("disconnect"))), "key nil": event(`92a16181c001`), "key a map": `83 a474797065 01 a36e7370 a12f 80 01`,
		"eleven attachments": event(`9ca161` + strings.Repeat("c400", 11)), "looks like an attachment": event(`93a161c4010182ac5f706c616365686f6c646572c3a36e756d00`),
		"unknown extension": event(`92a161d40501`), "0xc1": event(`91c1`), "array of 2^32-1": event(`ddffffffff`),
		"too deep": event(`92a161` + strings.Repeat("91", maxDepth) + `01`),
	}
	for name, message := range tests {
		var d Decoder
		p, _, err := d.Binary(unhex(t, message))
		if _, ok := errors.AsType[*SyntaxError](err); !ok {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if _, _, err := new(Decoder).Binary(unhex(t, event(`91aa`+hex.EncodeToString([]byte("disconnect"))))); !errors.Is(err, ErrReservedEvent) {
		t.Errorf("reserved name: %v", err)
	}
}

func TestDecoder_FirstMessageDecidesTheForm(t *testing.T) {
	event := unhex(t, `83 a474797065 02 a464617461 91a26869 a36e7370 a12f`)
	var packed, text, old Decoder
	if _, done, err := packed.Binary(event); err != nil || !done {
		t.Errorf("first: %v", err)
	}
	if _, _, err := packed.Text([]byte(`2["hi"]`)); err != ErrUnexpectedText {
		t.Errorf("text after msgpack: %v", err)
	}
	if _, done, err := packed.Binary(event); err != nil || !done {
		t.Errorf("second: %v", err)
	}
	if _, _, err := text.Text([]byte(`2["hi"]`)); err != nil || text.Msgpack() {
		t.Errorf("text: %v", err)
	}
	if _, _, err := text.Binary(event); err != ErrUnexpectedBinary {
		t.Errorf("msgpack after text: %v", err)
	}
	old.Protocol = Protocol4 // is sent a CONNECT before it says anything
	if _, _, err := old.Binary(event); err != ErrUnexpectedBinary || old.Msgpack() {
		t.Errorf("protocol 4: %v", err)
	}
}

// What the decoder keeps is counted by what it returns: a byte must not hold a megabyte.
func TestDecoder_MsgpackKeepsNoLargeMessageForSmallData(t *testing.T) {
	junk := msgpack.AppendBin(unhex(t, `84 a474797065 02 a464617461 92a16bc40107 a36e7370 a12f a46a756e6b`), make([]byte, 1<<20))
	p, _, err := new(Decoder).Binary(junk)
	if err != nil || len(p.Attachments) != 1 || p.Attachments[0][0] != 7 {
		t.Fatalf("%+v, %v", p, err)
	}
	if clear(junk); p.Attachments[0][0] != 7 {
		t.Error("the attachment is a part of the message")
	}
	if got := cap(p.Data); got > 128 {
		t.Errorf("text of %d bytes keeps %d", len(p.Data), got)
	}
}

// Every packet of the text form has one in the msgpack form, and both decode to the same.
func TestMsgpack_IsTheSamePacket(t *testing.T) {
	for _, s := range samples {
		f, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		packed := Msgpack(f)
		if packed == nil || packed.Len() != 1 || !packed.Part(0).Binary {
			t.Fatalf("%q: %+v", s.wire, packed)
		}
		if Msgpack(f) != packed {
			t.Errorf("%q is made twice", s.wire)
		}
		if s.want.Type == ConnectError && s.want.Data == nil {
			continue // an ERROR of protocol 4, which has no such form
		}
		samePacket(t, decode(t, &Decoder{}, wireOf(f)), packed)
	}
}

// samePacket checks that a message in the msgpack form decodes to the packet p.
func samePacket(t *testing.T, p Packet, packed *frame.Frame) {
	t.Helper()
	d := Decoder{MaxNamespace: math.MaxInt, MaxAttachments: math.MaxInt}
	q, _, err := d.Binary(packed.Part(0).Data)
	if err != nil {
		t.Fatalf("%x: %v", packed.Part(0).Data, err)
	}
	if q.Type != p.Type || q.Namespace != p.Namespace || q.ID != p.ID || q.HasID != p.HasID || q.Event != p.Event || q.Args.Len() != p.Args.Len() {
		t.Fatalf("%+v came back as %+v", p, q)
	}
	for i := range p.Args.Len() {
		var v, w any
		if p.Args.At(i).Bind(&v) != nil {
			continue // a number beyond float64
		}
		if err := q.Args.At(i).Bind(&w); err != nil || !reflect.DeepEqual(v, w) {
			t.Fatalf("%#v came back as %#v, %v", v, w, err)
		}
	}
}

func TestMsgpack_OfWhatIsNoPacket(t *testing.T) {
	if f := Msgpack(frame.Text(nil)); f != nil {
		t.Errorf("%x", f.Part(0).Data)
	}
}

// Our own values may nest more deeply than a client's.
func TestMsgpack_Deep(t *testing.T) {
	var v any
	for range 3000 {
		v = []any{v}
	}
	f, err := Encode(Header{Type: Event}, "e", v)
	if err != nil {
		t.Fatal(err)
	}
	if Msgpack(f) == nil {
		t.Error("no msgpack form")
	}
}

// Garbage may be refused but never panics, costs no more memory than it should, and
// what decodes can be passed on in both forms.
func FuzzMsgpack(f *testing.F) {
	for _, s := range msgpackSamples {
		f.Add(unhex(f, s.message))
	}
	f.Add(unhex(f, `83 a474797065 02 a464617461 94a161 c7 03 00 010203 d6ff6553f100 ca3fc00000 a36e7370 a12f`))
	f.Fuzz(func(t *testing.T, message []byte) {
		p, done, err := new(Decoder).Binary(message)
		if err != nil {
			if done || err.Error() == "" || !utf8.ValidString(err.Error()) {
				t.Fatalf("done %v, error text %q", done, err)
			}
			return
		}
		if !json.Valid(p.Data) && p.Data != nil || !utf8.Valid(p.Data) || len(p.Data) > maxGrowth*len(message)+64*DefaultMaxAttachments {
			t.Fatalf("%x became %q", message, p.Data)
		}
		if len(p.Attachments) > DefaultMaxAttachments {
			t.Fatalf("%d attachments", len(p.Attachments))
		}
		if p.Type != Event && p.Type != Ack {
			return
		}
		fr, err := EncodeArgs(Header{Type: p.Type, Namespace: p.Namespace, ID: p.ID, HasID: p.HasID}, p.Event, p.Args)
		if err != nil {
			t.Fatalf("%x: %v", message, err)
		}
		samePacket(t, decode(t, &Decoder{}, wireOf(fr)), Msgpack(fr))
	})
}

func BenchmarkDecode_Msgpack(b *testing.B) {
	message := Msgpack(frame.Text(benchText)).Part(0).Data
	var d Decoder
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := d.Binary(message); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMsgpack(b *testing.B) {
	b.SetBytes(int64(len(benchText)))
	b.ReportAllocs()
	for b.Loop() {
		if pack(frame.Text(benchText)) == nil {
			b.Fatalf("%s is no packet", benchText)
		}
	}
}
