package wire

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

// unhex reads hexadecimal with white space.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// event makes the frame of an event in /ns.
func event(t testing.TB, name string, args ...any) *frame.Frame {
	t.Helper()
	f, err := packet.Encode(packet.Header{Type: packet.Event, Namespace: "/ns"}, append([]any{name}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func ack(t testing.TB, args ...any) *namespace.Args {
	t.Helper()
	f, err := packet.Encode(packet.Header{Type: packet.Ack}, args...)
	if err != nil {
		t.Fatal(err)
	}
	data, attachments, err := eventData(f)
	if err != nil {
		t.Fatal(err)
	}
	a, err := packet.NewArgs(data, attachments...)
	if err != nil {
		t.Fatal(err)
	}
	return &a
}

// parts shows a frame as what a client gets: the text, and attachments as <hex>.
func parts(f *frame.Frame) string {
	var b strings.Builder
	for i := range f.Len() {
		if p := f.Part(i); p.Binary {
			b.WriteString(" <" + hex.EncodeToString(p.Data) + ">")
		} else {
			b.Write(p.Data)
		}
	}
	return b.String()
}

const sampleHi = `93 a6 556a5f77724d
	83 a4 74797065 02 a4 64617461 93 a2 6869 01 a1 78 a3 6e7370 a3 2f6e73
	83 a5 726f6f6d73 90 a6 657863657074 90 a5 666c616773 80`

// What a Node server publishes for nsp.emit("hi", 1, "x"), byte for byte.
func TestAppendBroadcast_IsWhatNodeSends(t *testing.T) {
	tests := []struct {
		name string
		m    namespace.Message
		want string
	}{
		{"namespace", namespace.Message{Event: event(t, "hi", 1, "x")}, sampleHi},
		{"one room", namespace.Message{Event: event(t, "hi", 1, "x"), Rooms: []string{"r1"}},
			strings.Replace(sampleHi, "726f6f6d73 90", "726f6f6d73 91 a2 7231", 1)},
		{"two rooms", namespace.Message{Event: event(t, "hi", 1, "x"), Rooms: []string{"r1", "r2"}},
			strings.Replace(sampleHi, "726f6f6d73 90", "726f6f6d73 92 a27231 a27232", 1)},
		{"binary", namespace.Message{Event: event(t, "hi", []byte{1, 2, 255}, "x")},
			strings.Replace(sampleHi, "6869 01", "6869 c4 03 0102ff", 1)},
		{"flags", namespace.Message{Event: event(t, "hi", 1, "x"), Flags: frame.Flags{Volatile: true, NoCompress: true}},
			strings.Replace(sampleHi, "666c616773 80", "666c616773 82 a8 766f6c6174696c65 c3 a8 636f6d7072657373 c2", 1)},
	}
	for _, tt := range tests {
		tt.m.FullName = "/ns"
		got, err := AppendBroadcast(nil, Node, "Uj_wrM", &tt.m)
		if err != nil || hex.EncodeToString(got) != hex.EncodeToString(unhex(t, tt.want)) {
			t.Errorf("%s: %x, %v, want %x", tt.name, got, err, unhex(t, tt.want))
		}
	}
}

// What stock Go needs: a map, EVENT as 50. The flags are fewer than its own; it ignores
// what is missing.
func TestAppendBroadcast_StockGo(t *testing.T) {
	m := &namespace.Message{FullName: "/ns", Event: event(t, "hi", "x"), Rooms: []string{"r1"}}
	got, err := AppendBroadcast(nil, StockGo, "HIyY_pZL", m)
	want := unhex(t, `83 a3756964 a8 484979595f705a4c a67061636b6574 83 a474797065 cc32 a464617461 92 a26869 a178 a36e7370 a32f6e73
		a46f707473 83 a5726f6f6d73 91a27231 a6657863657074 90 a5666c616773 80`)
	if err != nil || string(got) != string(want) {
		t.Errorf("%x, %v, want %x", got, err, want)
	}
}

// Type 7 as captured, but for the keys that Node orders differently.
func TestAppendRequest_BroadcastWithAck(t *testing.T) {
	m := &namespace.Message{Kind: namespace.KindBroadcast, FullName: "/ns", Event: event(t, "q", 1), Timeout: 800 * time.Millisecond}
	got, err := AppendRequest(nil, Node, "Uj_wrM", "9v8dzS", m)
	want := unhex(t, `85 a3756964 a6556a5f77724d a9726571756573744964 a6397638647a53 a474797065 07 a67061636b6574 83a474797065 02
		a464617461 92a17101 a36e7370 a32f6e73 a46f707473 83a5726f6f6d73 90 a6657863657074 90 a5666c616773 81 a774696d656f7574 cd0320`)
	if err != nil || string(got) != string(want) {
		t.Errorf("%x, %v, want %x", got, err, want)
	}
	got, err = AppendRequest(nil, StockGo, "u", "i", m)
	if err != nil || !strings.Contains(string(got), "\xa4type\xcc\x32") || !strings.Contains(string(got), "\xa7timeout\xce\x2f\xaf\x08\x00") {
		t.Errorf("stock Go: %x, %v, want packet type 50 and 800 ms as nanoseconds", got, err)
	}
}

func TestAppendRequest_IsWhatNodeSends(t *testing.T) {
	rooms, to := []string{"r1"}, []string{"r3", "r4"}
	tests := []struct {
		id   string
		m    namespace.Message
		want string
	}{
		{"", namespace.Message{Kind: namespace.KindJoin, Rooms: rooms, To: to},
			`{"uid":"Uj_wrM","type":2,"opts":{"rooms":["r1"],"except":[]},"rooms":["r3","r4"]}`},
		{"", namespace.Message{Kind: namespace.KindLeave, Rooms: rooms},
			`{"uid":"Uj_wrM","type":3,"opts":{"rooms":["r1"],"except":[]},"rooms":[]}`},
		{"", namespace.Message{Kind: namespace.KindDisconnect, Close: true},
			`{"uid":"Uj_wrM","type":4,"opts":{"rooms":[],"except":[]},"close":true}`},
		{"", namespace.Message{Kind: namespace.KindDisconnect},
			`{"uid":"Uj_wrM","type":4,"opts":{"rooms":[],"except":[]},"close":false}`},
		{"NZ-bOv", namespace.Message{Kind: namespace.KindFetch, Rooms: rooms},
			`{"uid":"Uj_wrM","requestId":"NZ-bOv","type":5,"opts":{"rooms":["r1"],"except":[]}}`},
		{"", namespace.Message{Kind: namespace.KindServerSide, Event: event(t, "sse", "<a>", map[string]int{"x": 1})},
			`{"uid":"Uj_wrM","type":6,"data":["sse","<a>",{"x":1}]}`},
		{"uiS4i-", namespace.Message{Kind: namespace.KindServerSide, Event: event(t, "sse", 1)},
			`{"uid":"Uj_wrM","requestId":"uiS4i-","type":6,"data":["sse",1]}`},
	}
	for _, tt := range tests {
		got, err := AppendRequest(nil, Node, "Uj_wrM", tt.id, &tt.m)
		if err != nil || string(got) != tt.want {
			t.Errorf("kind %d: %s, %v, want %s", tt.m.Kind, got, err, tt.want)
		}
	}
}

// An EventEmitter throws an "error" that nobody hears, and a "connection" without a
// socket breaks every handler: Node's process would exit.
func TestAppendRequest_NothingThatExitsNode(t *testing.T) {
	for _, name := range []string{"error", "connection", "new_namespace"} {
		m := &namespace.Message{Kind: namespace.KindServerSide, Event: event(t, name)}
		if _, err := AppendRequest(nil, Node, "u", "", m); !errors.Is(err, ErrReservedEvent) {
			t.Errorf("%s: %v, want ErrReservedEvent", name, err)
		}
	}
	deep := strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)
	if _, err := appendJSON(nil, []byte(deep), nil); !errors.Is(err, ErrTooDeep) {
		t.Errorf("too deep: %v", err)
	}
	if _, err := AppendBroadcast(nil, Node, "u", &namespace.Message{}); !errors.Is(err, ErrKind) {
		t.Errorf("no event: %v", err)
	}
}

// Every form of section 3.4 of the wire facts that a Node or Go server takes.
func TestDecodeBroadcast_AllForms(t *testing.T) {
	const pkt = `83 a474797065 02 a464617461 92 a26869 01 a36e7370 a32f6e73`
	const opts = `83 a5726f6f6d73 91a27231 a6657863657074 90 a5666c616773 80`
	tests := []struct{ name, payload, want string }{
		{"Node", `93 a175` + pkt + opts, `2/ns,["hi",1]`},
		{"fourth element", `94 a175` + pkt + opts + `92 01 02`, `2/ns,["hi",1]`},
		{"nil uid", `93 c0` + pkt + opts, `2/ns,["hi",1]`},
		{"type uint8", `93 a175 83 a474797065 cc02 a464617461 92a2686901 a36e7370 a32f6e73` + opts, `2/ns,["hi",1]`},
		{"type int64", `93 a175 83 a474797065 d30000000000000002 a464617461 92a2686901 a36e7370 a32f6e73` + opts, `2/ns,["hi",1]`},
		{"type 5", `93 a175 83 a474797065 05 a464617461 92a26869 c40107 a36e7370 a32f6e73` + opts, `51-/ns,["hi",{"_placeholder":true,"num":0}] <07>`},
		{"extra key, id", `93 a175 84 a26964 05 a474797065 02 a464617461 92a2686901 a36e7370 a32f6e73` + opts, `2/ns,["hi",1]`},
		{"no nsp", `93 a175 82 a474797065 02 a464617461 92a2686901` + opts, `2["hi",1]`},
		{"nil nsp", `93 a175 83 a474797065 02 a464617461 92a2686901 a36e7370 c0` + opts, `2["hi",1]`},
		{"empty opts", `93 a175` + pkt + `80`, `2/ns,["hi",1]`},
		{"nil opts", `93 a175` + pkt + `c0`, `2/ns,["hi",1]`},
		{"nil in opts", `93 a175` + pkt + `83 a5726f6f6d73 c0 a6657863657074 c0 a5666c616773 c0`, `2/ns,["hi",1]`},
		{"numeric room", `93 a175` + pkt + `81 a5726f6f6d73 92 07 cb3ff8000000000000`, `2/ns,["hi",1]`},
		{"stock Go", `83 a3756964 a8484979595f705a4c a67061636b6574 83 a474797065 cc32 a36e7370 a32f6e73 a464617461 92 a26869 a178
			a46f707473 82 a5726f6f6d73 91a27231 a5666c616773 81 a8636f6d7072657373 c2`, `2/ns,["hi","x"]`},
		{"int keys, float32", `93 a175 83 a474797065 02 a464617461 93 a26869 81 07 01 ca3fc00000 a36e7370 a32f6e73` + opts, `2/ns,["hi",{"7":1},1.5]`},
		{"dates", `93 a175 83 a474797065 02 a464617461 95 a26869 d7ff1d5353006553f100 d6ff6553f100 d7000000018bcfe56800
			c70cff 0754d4c0 000000006553f100 a36e7370 a32f6e73` + opts,
			`2/ns,["hi","2023-11-14T22:13:20.123Z","2023-11-14T22:13:20.000Z","2023-11-14T22:13:20.000Z","2023-11-14T22:13:20.123Z"]`},
		{"old undefined", `93 a175 83 a474797065 02 a464617461 93 a26869 d40000 82 a161 d40000 a162 01 a36e7370 a32f6e73` + opts, `2/ns,["hi",null,{"b":1}]`},
		{"old binary", `93 a175 83 a474797065 02 a464617461 92 a26869 c70300 010203 a36e7370 a32f6e73` + opts,
			`51-/ns,["hi",{"_placeholder":true,"num":0}] <010203>`},
		{"not UTF-8, control", `93 a175 83 a474797065 02 a464617461 92 a26869 a4 ff 00 0a 22 a36e7370 a32f6e73` + opts, `2/ns,["hi","` + "\ufffd" + `\u0000\n\""]`},
		{"infinite", `93 a175 83 a474797065 02 a464617461 93 a26869 cb7ff0000000000000 cb8000000000000000 a36e7370 a32f6e73` + opts, `2/ns,["hi",null,0]`},
		{"name to be escaped", `93 a175 83 a474797065 02 a464617461 91 a3612262 a36e7370 a32f6e73` + opts, `2/ns,["a\"b"]`},
		{"numeric name", `93 a175 83 a474797065 02 a464617461 91 07 a36e7370 a32f6e73` + opts, `2/ns,["7"]`},
	}
	for _, tt := range tests {
		b, err := DecodeBroadcast(unhex(t, tt.payload))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		m, err := b.Message(b.Nsp, 1<<20)
		if err != nil || parts(m.Event) != tt.want || m.Flags != (frame.Flags{}) {
			t.Errorf("%s: %v, %s, want %s", tt.name, err, parts(m.Event), tt.want)
		}
	}
}

func TestDecodeBroadcast_Details(t *testing.T) {
	m := &namespace.Message{FullName: "//h/ns", Event: event(t, "hi"), Rooms: []string{"a", "b"}, Except: []string{"c"},
		Flags: frame.Flags{Volatile: true, NoCompress: true}}
	for _, d := range []Dialect{Node, StockGo} {
		payload, err := AppendBroadcast(nil, d, "me", m)
		if err != nil {
			t.Fatal(err)
		}
		b, err := DecodeBroadcast(payload)
		if err != nil || b.UID != "me" || b.Nsp != "//h/ns" {
			t.Fatalf("dialect %d: %+v, %v", d, b, err)
		}
		got, err := b.Message("/ns", 1<<10)
		if err != nil || parts(got.Event) != `2/ns,["hi"]` || !reflect.DeepEqual(got.Rooms, m.Rooms) || !reflect.DeepEqual(got.Except, m.Except) {
			t.Errorf("dialect %d: %+v, %v", d, got, err)
		}
		// In stock Go, compress is false where nobody set it.
		if !got.Flags.Volatile || got.Flags.NoCompress != (d == Node) {
			t.Errorf("dialect %d: flags %+v", d, got.Flags)
		}
	}
}

func TestDecodeBroadcast_Refuses(t *testing.T) {
	const opts = `80`
	head := func(data string) string { return `93 a175 82 a474797065 02 a464617461` + data + opts }
	tests := map[string]string{
		"empty": ``, "nil": `c0`, "text": hex.EncodeToString([]byte(`{"a":1}`)), "two elements": `92 a175 80`,
		"trailing byte": head(`91 a161`) + `00`, "packet nil": `93 a175 c0 80`, "opts a string": `93 a175 82 a474797065 02 a464617461 91a161 a161`,
		"type 3": `93 a175 82 a474797065 03 a464617461 91a161 80`, "no type": `93 a175 81 a464617461 91a161 80`, "type a string": `93 a175 82 a474797065 a132 a464617461 91a161 80`,
		"no data": `93 a175 81 a474797065 02 80`, "data a map": head(`80`), "data empty": head(`90`), "name an object": head(`91 80`),
		"reserved name": head(`91 aa` + hex.EncodeToString([]byte("disconnect"))), "0xc1": head(`91 c1`), "array of 2^32-1": head(`dd ffffffff`), "map of 2^32-1": head(`df ffffffff`),
		"string too long": head(`91 db ffffffff 61`), "unknown extension": head(`92 a161 d40501`), "fixext2 of type 0": head(`92 a161 d5000101`),
		"rooms a number": `93 a175 82 a474797065 02 a464617461 91a161 81 a5726f6f6d73 01`, "room nil": `93 a175 82 a474797065 02 a464617461 91a161 81 a5726f6f6d73 91c0`,
		"key nil": head(`92 a161 81 c0 01`), "key an array": `93 a175 81 90 01 80`, "looks like a placeholder": head(`93 a161 c40101 82 ac5f706c616365686f6c646572 c3 a36e756d 00`),
		"too deep": head(`92 a161` + strings.Repeat("91", MaxDepth) + "01"),
	}
	for name, payload := range tests {
		b, err := DecodeBroadcast(unhex(t, payload))
		if err == nil {
			_, err = b.Message("/", 1<<20)
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A byte of msgpack can be many of JSON: the limit holds for what comes out.
func TestBroadcastMessage_Bounded(t *testing.T) {
	for name, element := range map[string]string{"nil": "c0", "empty binary": "c400", "control": "a100"} {
		data := strings.Repeat(element, 5000)
		b, err := DecodeBroadcast(unhex(t, `93 a175 82 a474797065 02 a464617461 dc1389 a161`+data+`80`))
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := b.Message("/", 20000); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v, want ErrTooLarge", name, err)
		}
		if _, err := b.Message("/", 1<<20); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
