package cluster

import (
	"fmt"
	"testing"

	"github.com/dynamicio/dynamicio/cluster/embedded"
	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// The issue asks for 5,000 joins of namespaces a second, at least.
func BenchmarkSession_Join(b *testing.B) {
	redises := map[string]func() *world{
		"redis": func() *world { return newWorld(b, redistest.Start(b)) },
		"embedded": func() *world {
			r, err := embedded.Start()
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(r.Close)
			return worldAt(b, r.Addr())
		},
	}
	for name, start := range redises {
		for _, batch := range []int{1, 200} {
			b.Run(fmt.Sprintf("%s/batch=%d", name, batch), func(b *testing.B) {
				w := start()
				s := w.register(w.directory("a", Options{}))
				b.ResetTimer()
				for i := 0; i < b.N; i += batch {
					ops := make([]Op, min(batch, b.N-i))
					for j := range ops {
						ops[j] = &Join{FullName: fmt.Sprint("/", i+j)}
					}
					if err := s.Do(w.ctx, ops...); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "joins/s")
			})
		}
	}
}

// What one run of the lease holder's scripts costs Redis, at the bound.
func BenchmarkSession_Retire(b *testing.B) {
	w := newWorld(b, redistest.Start(b))
	s := w.node("a")
	w.settle(s)
	for b.Loop() {
		b.StopTimer()
		w.beat(s)
		var ops []Op
		for i := range maxWork {
			ops = append(ops, &Join{FullName: fmt.Sprint("/", i)}, &Leave{FullName: fmt.Sprint("/", i)})
		}
		if err := s.Do(w.ctx, ops...); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if names, _ := w.retire(s); len(names) != maxWork {
			b.Fatalf("retired %d", len(names))
		}
	}
}
