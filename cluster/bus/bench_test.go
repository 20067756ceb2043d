package bus

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/dynamicio/dynamicio/namespace"
)

// sink counts what is delivered.
type sink struct {
	testNode
	n atomic.Int64
}

func (s *sink) Deliver(*namespace.Message) { s.n.Add(1) }

// Broadcasts from one node to another, at most 1,000 under way.
func BenchmarkBus_Broadcast(b *testing.B) {
	s := redistest.Start(b)
	var nodes [2]*Bus
	got := &sink{}
	for i, id := range []string{"a", "b"} {
		n, err := New(Options{Client: s.Client(), NodeID: id, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		n.Start(got)
		b.Cleanup(func() { n.Close(context.Background()) })
		nodes[i] = n
	}
	if err := nodes[1].Enter("/x")(context.Background()); err != nil {
		b.Fatal(err)
	}
	m := broadcast("/x", "message", map[string]any{"id": 1, "text": "hello, everybody in this room"})
	b.ReportAllocs()
	sent := int64(0)
	for b.Loop() {
		if err := nodes[0].Publish(m); err != nil {
			b.Fatal(err)
		}
		for sent++; sent-got.n.Load() > 1000; {
			time.Sleep(10 * time.Microsecond)
		}
	}
	for got.n.Load() < sent {
		time.Sleep(10 * time.Microsecond)
	}
}
