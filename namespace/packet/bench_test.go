package packet

import (
	"encoding/json"
	"strings"
	"testing"
	"unsafe"
)

var benchText = []byte(`2["b",1,1700000000000000000,"` + strings.Repeat("x", 128) + `"]`)

func BenchmarkDecode(b *testing.B) {
	var d Decoder
	b.SetBytes(int64(len(benchText)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := d.Text(benchText); err != nil {
			b.Fatal(err)
		}
	}
}

// What the scanner is up against: validation alone, without splitting.
func BenchmarkJSONValid(b *testing.B) {
	b.SetBytes(int64(len(benchText)))
	for b.Loop() {
		if !json.Valid(benchText[1:]) {
			b.Fatal("invalid")
		}
	}
}

func BenchmarkEncodeArgs(b *testing.B) {
	p, _, err := new(Decoder).Text(benchText)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := EncodeArgs(Header{Type: Event}, p.Event, p.Args); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeArgs_Binary(b *testing.B) {
	p := decode(b, new(Decoder), wire{`51-["b",1,{"x":{"_placeholder":true,"num":0}},"` + strings.Repeat("x", 128) + `"]`, "bin"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := EncodeArgs(Header{Type: Event}, p.Event, p.Args); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	type message struct {
		From string `json:"from"`
		Text string `json:"text"`
		N    int    `json:"n"`
	}
	for name, arg := range map[string]any{
		"string": strings.Repeat("x", 128), "struct": message{"me", "hello", 7},
		"map":    map[string]any{"from": "me", "text": "hello", "n": 7},
		"binary": map[string]any{"from": "me", "text": "hello", "n": 7, "bin": []byte("x")}, "bytes": []byte("x"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Encode(Header{Type: Event}, "b", 1, int64(1700000000000000000), arg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBind(b *testing.B) {
	text := []byte(`{"from":"me","n":7,"bin":{"_placeholder":true,"num":0}}`)
	for name, into := range map[string]any{"struct": new(struct {
		From string
		N    int
		Bin  []byte
	}), "any": new(any)} {
		b.Run(name, func(b *testing.B) {
			r, err := NewRaw(text, []byte("x"))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Bind(into); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A decoder stands by for every connection.
func TestDecoder_IsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Decoder{}); n > 128 {
		t.Errorf("%d bytes", n)
	}
}
