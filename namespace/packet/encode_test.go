package packet

import (
	"encoding/json"
	"errors"
	"math"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func mustEncode(t testing.TB, h Header, args ...any) wire {
	t.Helper()
	f, err := Encode(h, args...)
	if err != nil {
		t.Fatalf("%#v: %v", args, err)
	}
	return wireOf(f)
}

// number is encoded by a method, binary by kind.
type number []byte

func (number) MarshalJSON() ([]byte, error) { return []byte("7"), nil }

type tree struct {
	Leaf []byte  `json:"leaf,omitempty"`
	Kids []*tree `json:"kids,omitempty"`
}

type embedded struct {
	Bin []byte
	off []byte
}

type nested struct {
	embedded
	Hidden []byte `json:"-"`
	Empty  []byte `json:",omitempty"`
	IP     net.IP
	When   time.Time
	Num    json.Number
	Quoted json.Number `json:",string"`
	Raw    json.RawMessage
	Arr    [2]byte
	M      number
	Iface  any
	HTML   string
	Keys   map[json.Number]bool
}

func TestEncode_FindsBinaryWhereverItIs(t *testing.T) {
	b, c := []byte("b"), []byte("c")
	n := nested{embedded: embedded{Bin: b, off: c}, Hidden: c, IP: net.IPv4(127, 0, 0, 1), When: time.Unix(0, 0).UTC(), Num: "1e400",
		Quoted: "5", Raw: json.RawMessage(`[ 1 ]`), Arr: [2]byte{1, 2}, M: number("x"), Iface: &b, HTML: "<&>", Keys: map[json.Number]bool{"1": true}}
	for _, s := range []struct {
		arg  any
		want string
		bins []string
	}{
		{b, ph0, []string{"b"}},
		{&b, ph0, []string{"b"}},
		{blob(b), ph0, []string{"b"}},
		{[]byte{}, ph0, []string{""}},
		{[]byte(nil), `null`, nil},
		{blob(nil), `null`, nil},
		{(*[]byte)(nil), `null`, nil},
		{[][]byte{b, nil, c}, `[` + ph0 + `,null,{"_placeholder":true,"num":1}]`, []string{"b", "c"}},
		{[]any{1, b, []any{c}}, `[1,` + ph0 + `,[{"_placeholder":true,"num":1}]]`, []string{"b", "c"}},
		{map[string]any{"z": b, "a": c, "<": "<"}, `{"<":"<","a":` + ph0 + `,"z":{"_placeholder":true,"num":1}}`, []string{"c", "b"}},
		{map[string]blob{"k": b}, `{"k":` + ph0 + `}`, []string{"b"}},
		{tree{Kids: []*tree{{Leaf: b}, nil}}, `{"kids":[{"leaf":` + ph0 + `},null]}`, []string{"b"}},
		{n, `{"Bin":` + ph0 + `,"IP":"127.0.0.1","When":"1970-01-01T00:00:00Z","Num":1e400,"Quoted":"5","Raw":[1],"Arr":[1,2],"M":7,"Iface":{"_placeholder":true,"num":1},"HTML":"<&>","Keys":{"1":true}}`, []string{"b", "b"}},
		{&n.IP, `"127.0.0.1"`, nil},
		{number("x"), `7`, nil},
		{json.RawMessage(` {"a" : 1}`), `{"a":1}`, nil},
		{[3]byte{1, 2, 3}, `[1,2,3]`, nil},
		{[]int(nil), `null`, nil},
		{map[string]any(nil), `null`, nil},
		{map[string]any{"f": 1.0, "n": nil, "i": int64(1 << 60)}, `{"f":1,"i":1152921504606846976,"n":null}`, nil},
		{uint64(math.MaxUint64), `18446744073709551615`, nil},
		{int64(-1), `-1`, nil},
		{"\xff", `"\ufffd"`, nil},
		{"a\nb", `"a\nb"`, nil},
		{"é<&>", `"é<&>"`, nil},
		{struct{ A string }{"<&>"}, `{"A":"<&>"}`, nil},
		{[]any{"<&>", struct{ X any }{"<&>"}}, `["<&>",{"X":"<&>"}]`, nil},
		{"\x7f", "\"\x7f\"", nil},
	} {
		want := wire{`2["e",` + s.want + `]`}
		if len(s.bins) > 0 {
			want = append(wire{`5` + string('0'+byte(len(s.bins))) + `-["e",` + s.want + `]`}, s.bins...)
		}
		if got := mustEncode(t, Header{Type: Event}, "e", s.arg); !equal(got, want) {
			t.Errorf("%T:\ngot  %q\nwant %q", s.arg, got, want)
		}
	}
}

// Where no []byte is around, both ways of encoding must agree with
// encoding/json; the interface sends a value the other way.
func TestEncode_AgreesWithEncodingJSON(t *testing.T) {
	type all struct {
		B bool
		I int8
		F float32
		S string `json:"s,omitempty"`
		Z int    `json:",omitempty"`
		Q int    `json:",string"`
		P *int
		M map[int]string
		T time.Time
		D time.Duration
		A [2]bool
		X any
	}
	v := all{true, -8, 1e-7, "", 0, 5, nil, map[int]string{2: "b", 10: "a"}, time.Unix(1, 5).UTC(), time.Second, [2]bool{true}, map[string]any{"k": []any{1e20, 1e21, "\u2028\x00"}}}
	want, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if got := mustEncode(t, Header{Type: Ack}, v); got[0] != `3[`+string(want)+`]` {
		t.Errorf("got  %s\nwant %s", got[0], want)
	}
}

func TestEncode_PassesRawOn(t *testing.T) {
	d := new(Decoder)
	in := decode(t, d, wire{`53-["in",{"x":` + ph1 + `,"s":"{\"_placeholder\":true,\"num\":0}"},` + ph0 + `,[` + ph1 + `, "é"]]`, "A", "B", "unused"})
	one := `{"_placeholder":true,"num":1}`
	two := `{"_placeholder":true,"num":2}`
	s := `,"s":"{\"_placeholder\":true,\"num\":0}"}`
	for _, c := range []struct {
		name string
		got  wire
		want wire
	}{
		{"one with own data before", mustEncode(t, Header{Type: Event}, "out", []byte("own"), in.Args.At(0), in.Args.At(1)),
			wire{`53-["out",` + ph0 + `,{"x":` + one + s + `,` + two + `]`, "own", "B", "A"}},
		{"the same attachment once", mustEncode(t, Header{Type: Event}, "out", in.Args.At(0), in.Args.At(2)),
			wire{`51-["out",{"x":` + ph0 + s + `,[` + ph0 + `, "é"]]`, "B"}},
		{"inside a value", mustEncode(t, Header{Type: Ack}, map[string]any{"r": in.Args.At(1)}, struct{ P *Raw }{new(in.Args.At(1))}),
			wire{`61-[{"r":` + ph0 + `},{"P":` + ph0 + `}]`, "A"}},
		{"all as one array", mustEncode(t, Header{Type: Ack}, in.Args), wire{`62-[[{"x":` + ph0 + s + `,` + one + `,[` + ph0 + `,"é"]]]`, "B", "A"}},
		{"zero", mustEncode(t, Header{Type: Ack}, Raw{}, []Raw{{}}), wire{`3[null,[null]]`}},
	} {
		if !equal(c.got, c.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", c.name, c.got, c.want)
		}
	}
	if _, err := json.Marshal(in.Args.At(0)); err == nil {
		t.Error("plain JSON of a Raw with an attachment")
	}
	f, err := EncodeArgs(Header{Type: Event, Namespace: "/n"}, "again", in.Args)
	want := wire{`52-/n,["again",{"x":` + ph0 + s + `,` + one + `,[` + ph0 + `, "é"]]`, "B", "A"}
	if err != nil || !equal(wireOf(f), want) {
		t.Errorf("got  %q, %v\nwant %q", wireOf(f), err, want)
	}
}

func TestEncodeArgs_CopiesPlainArguments(t *testing.T) {
	in := decode(t, new(Decoder), wire{`2/x,5[ "in" , 1.0 , {"a" : "<\u0041>"} ] `})
	for _, c := range []struct {
		h    Header
		args Args
		want string
	}{
		{Header{Type: Event}, in.Args, `2["ev",1.0 , {"a" : "<\u0041>"}]`},
		{Header{Type: Event, Namespace: "/y"}, in.Args.From(1), `2/y,["ev",{"a" : "<\u0041>"}]`},
		{Header{Type: Event}, Args{}, `2["ev"]`},
		{Header{Type: Ack, ID: 5, HasID: true}, in.Args.From(1), `35[{"a" : "<\u0041>"}]`},
		{Header{Type: Ack}, Args{}, `3[]`},
	} {
		f, err := EncodeArgs(c.h, "ev", c.args)
		if err != nil || !equal(wireOf(f), wire{c.want}) {
			t.Errorf("got %q, %v, want %s", wireOf(f), err, c.want)
		}
	}
	if _, err := EncodeArgs(Header{Type: Event}, "disconnect", in.Args); !errors.Is(err, ErrReservedEvent) {
		t.Errorf("reserved: %v", err)
	}
}

func TestEncode_Refuses(t *testing.T) {
	cycle := map[string]any{}
	cycle["self"] = cycle
	var knot []any = make([]any, 1)
	knot[0] = knot
	loop := &tree{}
	loop.Kids = []*tree{loop}
	ev := Header{Type: Event}
	for _, c := range []struct {
		h    Header
		args []any
		msg  string
	}{
		{ev, nil, "without a name"},
		{ev, []any{nil}, "event name of type <nil>"},
		{ev, []any{[]byte("x")}, "neither a string nor a number"},
		{ev, []any{"disconnecting"}, "reserved"},
		{ev, []any{Raw{json: []byte(`"c\u006fnnect"`)}}, "reserved"},
		{ev, []any{make(chan int)}, "event name: json: unsupported type: chan int"},
		{ev, []any{"a", 1, make(chan int)}, "argument 1: json: unsupported type: chan int"},
		{ev, []any{"a", func() {}}, "argument 0"},
		{ev, []any{"a", math.NaN()}, "NaN"},
		{ev, []any{"a", map[string]any{"x": math.Inf(1)}}, "Inf"},
		{ev, []any{"a", cycle}, "cycle"},
		{ev, []any{"a", knot}, "cycle"},
		{ev, []any{"a", loop}, "cycle"},
		{ev, []any{"a", json.RawMessage(`{`)}, "argument 0"},
		{ev, []any{"a", []any{json.RawMessage(`]`)}}, "argument 0"},
		{ev, []any{"a", json.Number("x")}, "invalid number"},
		{ev, []any{"a", []any{json.Number("tru")}}, "invalid number"},
		{ev, []any{"a", explosive{}}, "argument 0: packet: panic while encoding or decoding: boom"},
		{ev, []any{"a", []any{explosive{}, []byte("x")}}, "boom"},
		{Header{Type: Connect}, []any{"a"}, "CONNECT"},
		{Header{Type: BinaryEvent}, []any{"a"}, "BINARY_EVENT"},
		{Header{Type: 99}, []any{"a"}, "Type(99)"},
		{Header{Type: Event, Namespace: "x"}, []any{"a"}, `namespace "x"`},
		{Header{Type: Event, Namespace: "/a,b"}, []any{"a"}, `namespace "/a,b"`},
		{Header{Type: Ack, Namespace: "/\xff"}, nil, "namespace"},
	} {
		_, err := Encode(c.h, c.args...)
		if err == nil || !strings.Contains(err.Error(), c.msg) {
			t.Errorf("%v: %v, want %q", c.h, err, c.msg)
		}
		// Nothing of the failed packet may turn up in the next.
		if got := mustEncode(t, ev, "b", []byte("c")); !equal(got, wire{`51-["b",` + ph0 + `]`, "c"}) {
			t.Fatalf("after %q: %q", c.msg, got)
		}
	}
	for _, payload := range []any{1, "x", []int{1}, map[string]any{"b": []byte("x")}, make(chan int), explosive{}} {
		if _, err := EncodeConnect("/", payload); err == nil {
			t.Errorf("CONNECT with %T", payload)
		}
	}
	if _, err := EncodeDisconnect("x"); err == nil {
		t.Error("DISCONNECT of a namespace without slash")
	}
}

// A client could send an object that looks like a placeholder. Passed on
// beside binary data it would cut off every receiver: socket.io-parser closes
// on a number without attachment.
func TestEncode_RefusesFalsePlaceholdersBesideBinary(t *testing.T) {
	forged := decode(t, new(Decoder), wire{`2["in",{"\u005fplaceholder":true,"num":99}]`}).Args.At(0)
	for _, arg := range []any{forged, map[string]any{"_placeholder": true, "num": 0}, []any{forged}} {
		if _, err := Encode(Header{Type: Event}, "a", []byte("x"), arg); !errors.Is(err, ErrPlaceholder) {
			t.Errorf("%v: error %v", arg, err)
		}
		mustEncode(t, Header{Type: Event}, "a", arg) // harmless alone
	}
	mustEncode(t, Header{Type: Event}, "a", []byte("x"), `{"_placeholder":true,"num":99}`, map[string]any{"_placeholder": 1, "num": 0})
}

func TestMayHoldBinary(t *testing.T) {
	type selfish struct{ Next *selfish }
	for _, c := range []struct {
		v    any
		want bool
	}{
		{0, false}, {"", false}, {[]string{}, false}, {map[int]bool{}, false}, {selfish{}, false}, {&selfish{}, false},
		{time.Time{}, false}, {[]time.Time{}, false}, {net.IP{}, false}, {json.RawMessage{}, false}, {[4]byte{}, false}, {struct{ b []byte }{}, false},
		{struct {
			B []byte `json:"-"`
		}{}, false},
		{[]byte{}, true}, {blob{}, true}, {[]any{}, true}, {map[string]any{}, true}, {tree{}, true}, {&tree{}, true},
		{Raw{}, true}, {&Raw{}, true}, {[]Raw{}, true}, {Args{}, true}, {nested{}, true}, {struct{ embedded }{}, true},
		{struct{ E error }{}, true}, {new(*[]map[string][1][]byte), true},
	} {
		if got := mayHoldBinary(reflect.TypeOf(c.v)); got != c.want {
			t.Errorf("%T: %v", c.v, got)
		}
	}
}

// Recursive types that refer to each other: the verdict must not depend on
// which of them is asked first.
func TestMayHoldBinary_OfTypesThatReferToEachOther(t *testing.T) {
	for _, asked := range []reflect.Type{reflect.TypeFor[ping](), reflect.TypeFor[pong](), reflect.TypeFor[ping]()} {
		if !mayHoldBinary(asked) {
			t.Errorf("%v cannot hold binary", asked)
		}
	}
}

type ping struct {
	Pong *pong
	Data []byte
}
type pong struct{ Ping *ping }

func TestEncode_ConcurrentCallersDoNotMix(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			b := []byte{byte('a' + i)}
			for range 200 {
				f, err := Encode(Header{Type: Event}, "e", map[string]any{"b": b}, string(b))
				want := wire{`51-["e",{"b":` + ph0 + `},"` + string(b) + `"]`, string(b)}
				if err != nil || !equal(wireOf(f), want) {
					t.Errorf("%q, %v", wireOf(f), err)
					return
				}
				p := decodeQuiet(want)
				var v map[string]any
				if err := p.Args.Bind(&v); err != nil || string(v["b"].([]byte)) != string(b) {
					t.Errorf("%v, %v", v, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// decodeQuiet is decode for other goroutines than the test's.
func decodeQuiet(w wire) Packet {
	var d Decoder
	p, _, _ := d.Text([]byte(w[0]))
	for _, b := range w[1:] {
		p, _, _ = d.Binary([]byte(b))
	}
	return p
}
