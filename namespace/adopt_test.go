package namespace

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// lateCluster answers its joins when the test lets it.
type lateCluster struct {
	*Solo
	epoch  atomic.Uint64 // what stands
	asked  chan struct{} // holds one for each join
	answer chan uint64
}

func (c *lateCluster) Join(string, time.Duration) func(context.Context) (uint64, error) {
	c.asked <- struct{}{}
	return func(context.Context) (uint64, error) { return <-c.answer, nil }
}

func (c *lateCluster) Epoch(string) uint64 { return c.epoch.Load() }

// Redis lost its data while the answer to a join was on its way: the incarnation was adopted under
// a new epoch meanwhile, and the old one that then arrives begins nothing.
func TestRegistry_AdoptionOvertakesAJoin(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		what            string
		answer, adopted uint64
	}{
		{"Redis lost its data", 5, 8},
		{"the node made the answer up, and others have an older one", 8, 5},
	} {
		t.Run(test.what, func(t *testing.T) { adoptionOvertakesAJoin(t, test.answer, test.adopted) })
	}
}

func adoptionOvertakesAJoin(t *testing.T, answer, adopted uint64) {
	c := &lateCluster{Solo: NewSolo(), asked: make(chan struct{}, 1), answer: make(chan uint64)}
	r := newRegistry(t, Options{Cluster: c})
	setups, expiries := make(chan struct{}, 10), make(chan struct{}, 10)
	r.Setup("/x", func(ns *Namespace, _ Match) error {
		setups <- struct{}{}
		ns.OnExpire(func() { expiries <- struct{}{} })
		return nil
	})
	p := newPeer(t, r, dial{})
	p.ask("/x")
	receive(t, c.asked)
	c.epoch.Store(adopted)
	r.Adopt("/x", adopted)
	c.answer <- answer
	p.admitted("/x")
	if epoch := r.Lookup("/x").Epoch(); epoch != adopted {
		t.Errorf("epoch %d, want %d", epoch, adopted)
	}
	if len(setups) != 1 || len(expiries) != 0 {
		t.Errorf("%d setups and %d expiries, want 1 and 0", len(setups), len(expiries))
	}
}
