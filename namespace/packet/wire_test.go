package packet

import (
	"bytes"
	"testing"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

// wire lists the messages of a packet; those after the first are binary.
type wire []string

func wireOf(f *frame.Frame) wire {
	w := make(wire, f.Len())
	for i := range w {
		w[i] = string(f.Part(i).Data)
	}
	return w
}

func equal(a, b wire) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// decode feeds the messages of one packet to a decoder.
func decode(t testing.TB, d *Decoder, w wire) Packet {
	t.Helper()
	p, done, err := d.Text([]byte(w[0]))
	for _, b := range w[1:] {
		if err != nil || done {
			t.Fatalf("%q: done %v, error %v with attachments left", w, done, err)
		}
		p, done, err = d.Binary([]byte(b))
	}
	if err != nil || !done {
		t.Fatalf("%q: done %v, error %v", w, done, err)
	}
	return p
}

// The wire texts were written by socket.io-parser 4.2.7.
var samples = []struct {
	wire   wire
	encode func() (*frame.Frame, error)
	want   Packet // what decoding gives, apart from Args and Attachments
	args   []string
}{
	{wire{`0`}, func() (*frame.Frame, error) { return EncodeConnect("/", nil) }, Packet{Namespace: "/"}, nil},
	{wire{`0{"sid":"wZX3oN0bSVIhsaknAAAI"}`},
		func() (*frame.Frame, error) {
			return EncodeConnect("/", map[string]string{"sid": "wZX3oN0bSVIhsaknAAAI"})
		},
		Packet{Namespace: "/", Data: []byte(`{"sid":"wZX3oN0bSVIhsaknAAAI"}`)}, nil},
	{wire{`0/admin,`}, func() (*frame.Frame, error) { return EncodeConnect("/admin", nil) }, Packet{Namespace: "/admin"}, nil},
	{wire{`1`}, func() (*frame.Frame, error) { return EncodeDisconnect("") }, Packet{Type: Disconnect, Namespace: "/"}, nil},
	{wire{`1/admin,`}, func() (*frame.Frame, error) { return EncodeDisconnect("/admin") }, Packet{Type: Disconnect, Namespace: "/admin"}, nil},
	{wire{`4{"message":"Not authorized"}`},
		func() (*frame.Frame, error) { return EncodeConnectError(Protocol5, "/", "Not authorized", nil) },
		Packet{Type: ConnectError, Namespace: "/", Data: []byte(`{"message":"Not authorized"}`)}, nil},
	{wire{`4/chat,{"message":"no","data":{"code":7}}`},
		func() (*frame.Frame, error) {
			return EncodeConnectError(Protocol5, "/chat", "no", map[string]int{"code": 7})
		},
		Packet{Type: ConnectError, Namespace: "/chat", Data: []byte(`{"message":"no","data":{"code":7}}`)}, nil},
	{wire{`2["foo"]`}, event(Header{}, "foo"), Packet{Type: Event, Namespace: "/", Event: "foo", Data: []byte(`["foo"]`)}, nil},
	{wire{`2/admin,["bar",1,"2",{"3":[true]}]`},
		event(Header{Namespace: "/admin"}, "bar", 1, "2", map[string]any{"3": []bool{true}}),
		Packet{Type: Event, Namespace: "/admin", Event: "bar", Data: []byte(`["bar",1,"2",{"3":[true]}]`)},
		[]string{`1`, `"2"`, `{"3":[true]}`}},
	{wire{`212["foo"]`}, event(Header{ID: 12, HasID: true}, "foo"),
		Packet{Type: Event, Namespace: "/", ID: 12, HasID: true, Event: "foo", Data: []byte(`["foo"]`)}, nil},
	{wire{`2/admin,0["foo"]`}, event(Header{Namespace: "/admin", HasID: true}, "foo"),
		Packet{Type: Event, Namespace: "/admin", HasID: true, Event: "foo", Data: []byte(`["foo"]`)}, nil},
	{wire{`2["<&>","é😀\"\\\n\u0001",1.5,-0.25,1e+21,null,true,false]`},
		event(Header{}, "<&>", "é😀\"\\\n\u0001", 1.5, -0.25, 1e21, nil, true, false),
		Packet{Type: Event, Namespace: "/", Event: "<&>", Data: []byte(`["<&>","é😀\"\\\n\u0001",1.5,-0.25,1e+21,null,true,false]`)},
		[]string{`"é😀\"\\\n\u0001"`, `1.5`, `-0.25`, `1e+21`, `null`, `true`, `false`}},
	{wire{`2[7,"n"]`}, event(Header{}, 7, "n"), Packet{Type: Event, Namespace: "/", Event: "7", Data: []byte(`[7,"n"]`)}, []string{`"n"`}},
	{wire{`312[]`}, ack(Header{ID: 12, HasID: true}), Packet{Type: Ack, Namespace: "/", ID: 12, HasID: true, Data: []byte(`[]`)}, nil},
	{wire{`3/admin,13["bar"]`}, ack(Header{Namespace: "/admin", ID: 13, HasID: true}, "bar"),
		Packet{Type: Ack, Namespace: "/admin", ID: 13, HasID: true, Data: []byte(`["bar"]`)}, []string{`"bar"`}},
	{wire{`51-["baz",{"_placeholder":true,"num":0}]`, "\x01\x02\x03\x04"}, event(Header{}, "baz", []byte{1, 2, 3, 4}),
		Packet{Type: Event, Namespace: "/", Event: "baz", Data: []byte(`["baz",{"_placeholder":true,"num":0}]`)},
		[]string{`{"_placeholder":true,"num":0}`}},
	{wire{`52-/admin,14["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, "\x01\x02", "\x03\x04"},
		event(Header{Namespace: "/admin", ID: 14, HasID: true}, "baz", []byte{1, 2}, []byte{3, 4}),
		Packet{Type: Event, Namespace: "/admin", ID: 14, HasID: true, Event: "baz",
			Data: []byte(`["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)},
		[]string{`{"_placeholder":true,"num":0}`, `{"_placeholder":true,"num":1}`}},
	{wire{`52-["deep",{"a":[{"_placeholder":true,"num":0}],"b":{"c":{"_placeholder":true,"num":1}}}]`, "\x09", ""},
		event(Header{}, "deep", map[string]any{"a": []any{[]byte{9}}, "b": struct {
			C []byte `json:"c"`
		}{[]byte{}}}),
		Packet{Type: Event, Namespace: "/", Event: "deep",
			Data: []byte(`["deep",{"a":[{"_placeholder":true,"num":0}],"b":{"c":{"_placeholder":true,"num":1}}}]`)},
		[]string{`{"a":[{"_placeholder":true,"num":0}],"b":{"c":{"_placeholder":true,"num":1}}}`}},
	{wire{`61-15["bar",{"_placeholder":true,"num":0}]`, "\x01\x02\x03\x04"}, ack(Header{ID: 15, HasID: true}, "bar", []byte{1, 2, 3, 4}),
		Packet{Type: Ack, Namespace: "/", ID: 15, HasID: true, Data: []byte(`["bar",{"_placeholder":true,"num":0}]`)},
		[]string{`"bar"`, `{"_placeholder":true,"num":0}`}},
	// Without attachments such an object is only an object.
	{wire{`2["x",{"_placeholder":true,"num":0}]`}, event(Header{}, "x", struct {
		P bool `json:"_placeholder"`
		N int  `json:"num"`
	}{true, 0}), Packet{Type: Event, Namespace: "/", Event: "x", Data: []byte(`["x",{"_placeholder":true,"num":0}]`)},
		[]string{`{"_placeholder":true,"num":0}`}},
}

func event(h Header, args ...any) func() (*frame.Frame, error) {
	h.Type = Event
	return func() (*frame.Frame, error) { return Encode(h, args...) }
}

func ack(h Header, args ...any) func() (*frame.Frame, error) {
	h.Type = Ack
	return func() (*frame.Frame, error) { return Encode(h, args...) }
}

func TestWire_EncodesAsTheJavaScriptParser(t *testing.T) {
	for _, s := range samples {
		f, err := s.encode()
		if err != nil {
			t.Errorf("%q: %v", s.wire, err)
			continue
		}
		if got := wireOf(f); !equal(got, s.wire) {
			t.Errorf("got  %q\nwant %q", got, s.wire)
		}
		for i := range f.Len() {
			if f.Part(i).Binary != (i > 0) {
				t.Errorf("%q: part %d has Binary %v", s.wire, i, f.Part(i).Binary)
			}
		}
	}
}

func TestWire_DecodesWhatTheJavaScriptParserWrote(t *testing.T) {
	var d Decoder // one for all: no packet may leave a trace in the next
	for _, s := range samples {
		p := decode(t, &d, s.wire)
		w := s.want
		if p.Type != w.Type || p.Namespace != w.Namespace || p.Query != "" || p.ID != w.ID || p.HasID != w.HasID ||
			p.Event != w.Event || !bytes.Equal(p.Data, w.Data) || (p.Data == nil) != (w.Data == nil) {
			t.Errorf("%q:\ngot  %+v\nwant %+v", s.wire, p, w)
		}
		if len(p.Attachments) != len(s.wire)-1 {
			t.Errorf("%q: %d attachments", s.wire, len(p.Attachments))
		}
		for i, a := range p.Attachments {
			if string(a) != s.wire[i+1] {
				t.Errorf("%q: attachment %d is %q", s.wire, i, a)
			}
		}
		if p.Args.Len() != len(s.args) {
			t.Errorf("%q: %d arguments, want %d", s.wire, p.Args.Len(), len(s.args))
		}
		for i, want := range s.args {
			if got := string(p.Args.At(i).JSON()); got != want {
				t.Errorf("%q: argument %d is %s, want %s", s.wire, i, got, want)
			}
		}
	}
}

// Clients of protocol 4 expect a bare string as an error, and no payload in
// the answer to CONNECT.
func TestWire_Protocol4ConnectError(t *testing.T) {
	for _, c := range []struct {
		data any
		want string
	}{{nil, `4/ns,"Invalid namespace"`}, {map[string]int{"code": 1}, `4/ns,{"code":1}`}} {
		f, err := EncodeConnectError(Protocol4, "/ns", "Invalid namespace", c.data)
		if err != nil || string(f.Part(0).Data) != c.want {
			t.Errorf("got %q, %v, want %s", wireOf(f), err, c.want)
		}
	}
}
