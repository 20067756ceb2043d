package rules

import (
	"log/slog"
	"testing"

	"github.com/dynamicio/dynamicio/namespace"
)

// What rules cost an event and a connect, beside none.
func BenchmarkGuard(b *testing.B) {
	registry := func(b *testing.B, setup func(*namespace.Registry)) *namespace.Registry {
		reg, err := namespace.New(namespace.Options{})
		if err != nil {
			b.Fatal(err)
		}
		setup(reg)
		b.Cleanup(func() { reg.Close(b.Context()) })
		return reg
	}
	open := func(reg *namespace.Registry) { NewOpen(slog.New(slog.DiscardHandler)).Setup(reg) }
	ruled := func(reg *namespace.Registry) {
		NewGuard(&Set{Retirement: namespace.Never, Rules: []*Rule{
			{Match: namespace.Exact("/other"), AnyHost: true, Refuse: true},
			everywhere(func(r *Rule) { r.Limits = Limits{EventsPerSecond: 1e9, EventBytes: 1000} }),
		}}, slog.New(slog.DiscardHandler)).Setup(reg)
	}
	for _, kind := range []struct {
		name  string
		setup func(*namespace.Registry)
	}{{"open", open}, {"ruled", ruled}} {
		b.Run("event/"+kind.name, func(b *testing.B) {
			c := enter(b, registry(b, kind.setup), "", "/x", "")
			defer c.leave()
			b.ReportAllocs()
			for b.Loop() {
				c.call(`"echo",1`)
			}
		})
		b.Run("connect/"+kind.name, func(b *testing.B) {
			reg := registry(b, kind.setup)
			defer enter(b, reg, "", "/x", "").leave()
			b.ReportAllocs()
			for b.Loop() {
				enter(b, reg, "", "/x", "").leave()
			}
		})
	}
}
