package wire

import (
	"testing"

	"github.com/dynamicio/dynamicio/namespace"
)

// One broadcast of a chat message, as it leaves a node and as it arrives at one.
func BenchmarkAppendBroadcast(b *testing.B) {
	m := &namespace.Message{FullName: "/chat", Event: event(b, "message", map[string]any{"id": 12345, "from": "alice", "text": "hello, everybody in this room", "at": 1700000000123}), Rooms: []string{"room1"}}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = AppendBroadcast(buf[:0], Node, "abcdefghijkl", m); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecodeBroadcast(b *testing.B) {
	m := &namespace.Message{FullName: "/chat", Event: event(b, "message", map[string]any{"id": 12345, "from": "alice", "text": "hello, everybody in this room", "at": 1700000000123}), Rooms: []string{"room1"}}
	payload, err := AppendBroadcast(nil, Node, "abcdefghijkl", m)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := DecodeBroadcast(payload)
		if err == nil {
			_, err = d.Message("/chat", 1<<20)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
