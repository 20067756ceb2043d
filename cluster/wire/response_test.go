package wire

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
)

func TestDecodeRequest_AllForms(t *testing.T) {
	msg := func(t *testing.T, payload string) (*Request, *namespace.Message) {
		t.Helper()
		q, err := DecodeRequest([]byte(payload), 1<<20)
		if err != nil {
			t.Fatalf("%q: %v", payload, err)
		}
		m, err := q.Message("//h/ns", "/ns")
		if err != nil {
			t.Fatalf("%q: %v", payload, err)
		}
		return q, m
	}
	if q, m := msg(t, `{"type":2,"opts":{"rooms":["r1",2],"except":["x"]},"rooms":["r3"]}`); q.UID != "" || !q.Addressed || m.Kind != namespace.KindJoin ||
		!reflect.DeepEqual(m.Rooms, []string{"r1", "2"}) || !reflect.DeepEqual(m.Except, []string{"x"}) || !reflect.DeepEqual(m.To, []string{"r3"}) {
		t.Errorf("join: %+v", m)
	}
	if q, m := msg(t, `{"uid":"u","type":3,"sid":"s","room":"r","requestId":"i"}`); q.Addressed || q.ID != "i" || m.Kind != namespace.KindLeave ||
		!reflect.DeepEqual(m.Rooms, []string{"s"}) || !reflect.DeepEqual(m.To, []string{"r"}) {
		t.Errorf("old form of leave: %+v", m)
	}
	if _, m := msg(t, `{"type":4,"opts":{},"close":true}`); m.Kind != namespace.KindDisconnect || !m.Close || m.Rooms != nil {
		t.Errorf("disconnect: %+v", m)
	}
	// Stock Go leaves close:false and empty rooms out.
	if q, m := msg(t, `{"type":4,"opts":{"flags":{"compress":false,"volatile":false}}}`); !q.Addressed || m.Close || m.Flags.NoCompress {
		t.Errorf("disconnect of stock Go: %+v", m)
	}
	if q, m := msg(t, `{"type":0,"requestId":"q0","rooms":["r"]}`); q.ID != "q0" || m.Kind != namespace.KindFetch || !reflect.DeepEqual(m.Rooms, []string{"r"}) {
		t.Errorf("sockets: %+v", m)
	}
	if q, m := msg(t, `{"uid":"emitter","type":6,"data":["sse",{"type":"Buffer","data":[1]}]}`); q.UID != "emitter" || q.ID != "" ||
		parts(m.Event) != `2/ns,["sse",{"type":"Buffer","data":[1]}]` {
		t.Errorf("server-side: %+v", m)
	}
	// msgpack instead of JSON keeps binary data.
	if q, m := msg(t, "\x84\xa4type\x06\xa3uid\xa1u\xa9requestId\xa1i\xa4data\x92\xa3sse\xc4\x01\x07"); q.ID != "i" || !strings.HasSuffix(parts(m.Event), "<07>") {
		t.Errorf("server-side, msgpack: %+v", m)
	}
	// Stock Go's acknowledged broadcast: packet type 50, nanoseconds.
	q, m := msg(t, "\x84\xa4type\x07\xa9requestId\xa1i\xa6packet\x83\xa4type\xcc\x32\xa3nsp\xa6//h/ns\xa4data\x91\xa2hi\xa4opts\x81\xa5flags\x82\xa8compress\xc2\xa7timeout\xce\x59\x68\x2f\x00")
	if m.Kind != namespace.KindBroadcast || m.Timeout != 1500*time.Millisecond || m.Flags.NoCompress || parts(m.Event) != `2/ns,["hi"]` {
		t.Errorf("broadcast of stock Go: %+v, %v", m, q)
	}
}

func TestDecodeRequest_Refuses(t *testing.T) {
	for _, payload := range []string{
		``, `null`, "\xc0", "\x91\x01", `{`, `{"type":"2"}`, `{"type":7,"requestId":"i","opts":{}}`, `{"type":7,"packet":{"type":3}}`, `{"type":2,"opts":{"rooms":[null]}}`,
		"\x81\xa4type\xc1", `{"type":2}x`,
	} {
		if q, err := DecodeRequest([]byte(payload), 1<<20); err == nil {
			t.Errorf("%q: %+v", payload, q)
		}
	}
	for _, payload := range []string{`{"type":6}`, `{"type":6,"data":{}}`, `{"type":6,"data":[]}`, `{"type":99}`, `{}`} {
		q, err := DecodeRequest([]byte(payload), 1<<20)
		if err != nil {
			t.Fatalf("%q: %v", payload, err)
		}
		if m, err := q.Message("/", "/"); err == nil {
			t.Errorf("%q: %+v", payload, m)
		}
	}
}

// The forms that Node needs; keys that are ours stand behind them.
func TestAppendResponse_IsWhatNodeNeeds(t *testing.T) {
	tests := []struct {
		asked Type
		r     Response
		want  string
	}{
		{TypeSockets, Response{ID: "q0", IDs: []string{"s"}}, `{"requestId":"q0","sockets":["s"]}`},
		{TypeSockets, Response{ID: "q0"}, `{"requestId":"q0","sockets":[]}`},
		{TypeAllRooms, Response{ID: "q0", Rooms: []string{"r1", "r2"}}, `{"requestId":"q0","rooms":["r1","r2"]}`},
		{TypeAllRooms, Response{ID: "q0", Node: "n"}, `{"requestId":"q0","rooms":[],"node":"n"}`},
		{TypeFetch, Response{ID: "q0", Node: "n"}, `{"requestId":"q0","sockets":[],"node":"n"}`},
		{TypeJoin, Response{ID: "q0"}, `{"requestId":"q0"}`},
		{TypeServerSide, Response{ID: "q0", Args: ack(t, map[string]string{"from": "B"})}, `{"type":6,"requestId":"q0","data":{"from":"B"}}`},
		{TypeServerSide, Response{ID: "q0", Args: ack(t, 1, "two", 3)}, `{"type":6,"requestId":"q0","data":1,"rest":["two",3]}`},
		{TypeServerSide, Response{ID: "q0", Args: ack(t)}, `{"type":6,"requestId":"q0"}`},
		{TypeBroadcast, Response{Type: TypeClientCount, ID: "9v8dzS"}, `{"type":8,"requestId":"9v8dzS","clientCount":0}`},
		{TypeBroadcast, Response{Type: TypeClientAck, ID: "9v8dzS", Args: ack(t, "cb-ack")},
			string(unhex(t, `83 a474797065 09 a9726571756573744964 a6397638647a53 a67061636b6574 a663622d61636b`))},
	}
	for _, tt := range tests {
		got, err := AppendResponse(nil, Node, tt.asked, &tt.r)
		if err != nil || string(got) != tt.want {
			t.Errorf("%d: %q, %v, want %q", tt.asked, got, err, tt.want)
		}
	}
}

func TestResponse_RoundTrip(t *testing.T) {
	info := namespace.SocketInfo{
		ID: "s", Node: "n", Rooms: []string{"r1"}, Transport: "websocket", Data: json.RawMessage(`{"a":"<b>"}`),
		Handshake: namespace.HandshakeInfo{
			Headers: map[string]string{"host": "h"}, Time: "now", Address: "127.0.0.1", XDomain: true, Secure: true, Issued: 1700000000123,
			URL: "/socket.io/?EIO=4", Query: map[string]string{"EIO": "4"}, Auth: json.RawMessage(`{"token":1}`),
		},
	}
	for _, d := range []Dialect{Node, StockGo} {
		for _, r := range []Response{
			{ID: "i", Type: -1, Node: "n", Sockets: []namespace.SocketInfo{info}},
			{ID: "i", Type: -1, Node: "n", Incomplete: true},
			{ID: "i", Type: TypeClientCount, Node: "n", Clients: 3},
			{ID: "i", Type: TypeClientAck, Node: "n", Args: ack(t, []int{1}, []byte{7}, "x")},
			{ID: "i", Type: TypeServerSide, Node: "n", Args: ack(t, []int{1}, "x")},
			{ID: "i", Type: TypeServerSide, Node: "n", Args: ack(t, []byte{1, 2})},
			{ID: "i", Type: TypeServerSide, Node: "n", Args: ack(t)},
		} {
			asked := TypeFetch
			switch r.Type {
			case TypeServerSide:
				asked = TypeServerSide
			case TypeClientCount, TypeClientAck:
				asked = TypeBroadcast
			}
			payload, err := AppendResponse(nil, d, asked, &r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeResponse(payload, d, 1<<20)
			if err != nil {
				t.Fatalf("%q: %v", payload, err)
			}
			if gotArgs, wantArgs := show(got.Args), show(r.Args); gotArgs != wantArgs {
				t.Errorf("dialect %d: %q: arguments %s, want %s", d, payload, gotArgs, wantArgs)
			}
			got.Args, r.Args = nil, nil
			if !reflect.DeepEqual(*got, r) {
				t.Errorf("dialect %d: %q:\n%+v, want\n%+v", d, payload, *got, r)
			}
		}
	}
}

func show(a *namespace.Args) string {
	if a == nil {
		return "none"
	}
	var values []any
	for i := range a.Len() {
		var v any
		if err := a.At(i).Bind(&v); err != nil {
			return err.Error()
		}
		values = append(values, v)
	}
	b, _ := json.Marshal(values)
	return string(b)
}

// Answers of the peers: lists instead of strings, other keys, binary data of a socket.
func TestDecodeResponse_Peers(t *testing.T) {
	r, err := DecodeResponse([]byte(`{"requestId":"i","sockets":[{"id":"s","handshake":{"headers":{"Accept":["a","b"]},"query":null,"issued":1},"rooms":["s","r",5]}]}`), Node, 1<<20)
	if err != nil || r.Sockets[0].Handshake.Headers["Accept"] != "a, b" || !reflect.DeepEqual(r.Sockets[0].Rooms, []string{"r", "5"}) || string(r.Sockets[0].Data) != "{}" {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := DecodeResponse([]byte(`{"type":8,"requestId":"i","clientcount":2}`), Node, 1<<20); err != nil || r.Clients != 2 {
		t.Errorf("stock Go's count: %+v, %v", r, err)
	}
	if r, err := DecodeResponse([]byte(`{"requestId":"i","sockets":["a","b"]}`), Node, 1<<20); err != nil || len(r.IDs) != 2 {
		t.Errorf("ids: %+v, %v", r, err)
	}
	// An array is one value to Node, and all arguments to stock Go.
	for d, want := range map[Dialect]string{Node: "[[1,2]]", StockGo: "[1,2]"} {
		if r, err := DecodeResponse([]byte(`{"type":6,"requestId":"i","data":[1,2]}`), d, 1<<20); err != nil || show(r.Args) != want {
			t.Errorf("dialect %d: %+v, %v", d, r, err)
		}
	}
	r, err = DecodeResponse([]byte("\x82\xa9requestId\xa1i\xa7sockets\x91\x82\xa2id\xa1s\xa4data\x81\xa1b\xc4\x02\x01\x02"), Node, 1<<20)
	if err != nil || string(r.Sockets[0].Data) != `{"b":{"type":"Buffer","data":[1,2]}}` {
		t.Errorf("binary data: %+v, %v", r, err)
	}
	for _, payload := range []string{``, "\xc0", `{"requestId":"i","sockets":[null]}`, `{"requestId":"i","sockets":[{}]}`, `{"type":8,"clientCount":-1}`, `{"type":6,"data":[1}`} {
		if r, err := DecodeResponse([]byte(payload), Node, 1<<20); err == nil {
			t.Errorf("%q: %+v", payload, r)
		}
	}
}

// What a client acknowledges with is not in the form of our own encoder.
func TestAppendResponse_ForeignPlaceholder(t *testing.T) {
	a := mustArgs(t, `[ { "num" : 0 , "_placeholder" : true } ]`, []byte{9})
	payload, err := AppendResponse(nil, Node, TypeBroadcast, &Response{ID: "i", Type: TypeClientAck, Args: &a})
	if err != nil || !strings.HasSuffix(string(payload), "\xa6packet\xc4\x01\x09") {
		t.Errorf("%q, %v", payload, err)
	}
}
