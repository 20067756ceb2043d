package msgpack_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/dynamicio/dynamicio/namespace/msgpack"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

const depth = 512

var bounds = msgpack.Bounds{Depth: depth, Size: 1 << 30, Attachments: -1}

// JSON numbers, strings and containers as notepack.io encodes their values.
func TestAppendJSON_Values(t *testing.T) {
	long := strings.Repeat("x", 300)
	tests := []struct{ text, want string }{
		{`0`, "00"}, {`127`, "7f"}, {`128`, "cc80"}, {`65535`, "cdffff"}, {`65536`, "ce00010000"},
		{`1099511627776`, "cf0000010000000000"}, {`-1`, "ff"}, {`-33`, "d0df"}, {`-129`, "d1ff7f"}, {`-32769`, "d2ffff7fff"},
		{`-9223372036854775808`, "d38000000000000000"}, {`18446744073709551615`, "cfffffffffffffffff"},
		{`18446744073709551616`, "cb43f0000000000000"}, {`1.5`, "cb3ff8000000000000"}, {`1e3`, "cd03e8"}, {`-0`, "00"}, {`-0.0`, "00"},
		{`1e999`, "cb7ff0000000000000"}, {`true`, "c3"}, {`false`, "c2"}, {`null`, "c0"},
		{`"a\n\"\\\/\u00e9\ud83d\ude00"`, "ab" + hex.EncodeToString([]byte("a\n\"\\/é😀"))},
		{`"\ud83d"`, "a3efbfbd"}, {`"\ud83d\u0041"`, "a4efbfbd41"}, {"\"\xff\"", "a3efbfbd"},
		{`"` + long + `"`, "da012c" + hex.EncodeToString([]byte(long))},
		{`[ ]`, "90"}, {`{ }`, "80"}, {` { "a" : [ 1 , { } , "],}" ] , "b" : null } `, "82a1619301" + "80" + "a35d2c7d" + "a162c0"},
		{`{"_placeholder":true,"num":0}`, "82ac5f706c616365686f6c646572c3a36e756d00"}, // no attachment: a plain object
		{`[` + strings.Repeat(`0,`, 15) + `0]`, "dc0010" + strings.Repeat("00", 16)},
	}
	for _, tt := range tests {
		got, err := msgpack.AppendJSON(nil, []byte(tt.text), nil, depth)
		if err != nil || hex.EncodeToString(got) != tt.want {
			t.Errorf("%s: %x, %v, want %s", tt.text, got, err, tt.want)
		}
	}
}

// The decoder looks at the depth itself: a payload of arrays only would use up the stack.
func TestToJSON_Depth(t *testing.T) {
	in := []byte(strings.Repeat("\x91", 1<<20) + "\x01")
	if _, _, err := msgpack.ToJSON(nil, in, false, bounds); !errors.Is(err, msgpack.ErrTooDeep) {
		t.Errorf("%v, want ErrTooDeep", err)
	}
	deep := strings.Repeat("[", depth+1) + strings.Repeat("]", depth+1)
	if _, err := msgpack.AppendJSON(nil, []byte(deep), nil, depth); !errors.Is(err, msgpack.ErrTooDeep) {
		t.Errorf("%v, want ErrTooDeep", err)
	}
}

// Any JSON of a client's comes back as the same value.
func FuzzAppendJSON(f *testing.F) {
	f.Add([]byte(`["a",{"b":[1,-1.5e3,true,null,"\u00e9\\\"]},"]},{}]`))
	f.Add([]byte(`[ "x" , [ ] , { } , { "k" : "v" } ]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := packet.NewArgs(text); err != nil {
			msgpack.AppendJSON(nil, text, [][]byte{{1}}, depth) // must not panic
			return
		}
		packed, err := msgpack.AppendJSON(nil, text, nil, depth)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		r := msgpack.NewReader(packed)
		if r.Raw(); r.End() != nil {
			t.Fatalf("%s: %x is not one value", text, packed)
		}
		back, _, err := msgpack.ToJSON(nil, packed, false, bounds)
		if err != nil {
			t.Fatalf("%s: %x: %v", text, packed, err)
		}
		var want, got any
		if json.Unmarshal(text, &want) != nil {
			return // a number beyond float64
		}
		if err := json.Unmarshal(back, &got); err != nil {
			t.Fatalf("%s: %s: %v", text, back, err)
		}
		w, _ := json.Marshal(want)
		g, _ := json.Marshal(got)
		if !bytes.Equal(bytes.ReplaceAll(w, []byte("-0"), []byte("0")), bytes.ReplaceAll(g, []byte("-0"), []byte("0"))) {
			t.Fatalf("%s came back as %s", w, g)
		}
	})
}
