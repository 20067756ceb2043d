package namespace

import (
	"context"
	"testing"
	"time"
)

// lateCluster answers its joins when the test lets it.
type lateCluster struct {
	*Solo
	asked  chan struct{} // holds one for each join
	answer chan uint64
}

func (c *lateCluster) Join(string, time.Duration) func(context.Context) (uint64, error) {
	c.asked <- struct{}{}
	return func(context.Context) (uint64, error) { return <-c.answer, nil }
}

// Redis lost its data while the answer to a join was on its way: the incarnation was adopted under
// a new epoch meanwhile, and the old one that then arrives begins nothing.
func TestRegistry_AdoptionOvertakesAJoin(t *testing.T) {
	t.Parallel()
	c := &lateCluster{NewSolo(), make(chan struct{}, 1), make(chan uint64)}
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
	r.Adopt("/x", 8)
	c.answer <- 5
	p.admitted("/x")
	if epoch := r.Lookup("/x").Epoch(); epoch != 8 {
		t.Errorf("epoch %d, want 8", epoch)
	}
	if len(setups) != 1 || len(expiries) != 0 {
		t.Errorf("%d setups and %d expiries, want 1 and 0", len(setups), len(expiries))
	}
}
