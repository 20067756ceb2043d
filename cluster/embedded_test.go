package cluster

import (
	"slices"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/embedded"
	"github.com/dynamicio/dynamicio/lease"
)

// The scripts must do the same on the Redis that a node without one runs inside itself.
func TestDirectory_OnTheEmbeddedRedis(t *testing.T) {
	r, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w := worldAt(t, r.Addr())
	da, db := w.directory("a"), w.directory("b")
	a, b := w.register(da), w.register(db)
	if !a.NewEra() || b.NewEra() || b.Number() <= a.Number() {
		t.Errorf("sessions %d and %d, new eras %v and %v", a.Number(), b.Number(), a.NewEra(), b.NewEra())
	}
	w.beat(a, b)

	// The lease runs out by itself: miniredis must be told to let time pass.
	key, tokenKey := da.LeaseKeys()
	l, err := lease.New(w.admin, lease.Options{Key: key, TokenKey: tokenKey, Holder: "a", TTL: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	dead, err := l.Acquire(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	short, stop := newTimeout(w.ctx, 0)
	stop()
	dead.Release(short) // ends its renewals, and does not reach Redis
	next, err := lease.New(w.admin, lease.Options{Key: key, TokenKey: tokenKey, Holder: "b", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	h, err := next.Campaign(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d < 100*time.Millisecond {
		t.Errorf("a lease of 100 ms was free after %v", d)
	}
	if _, err := a.Retire(w.ctx, h.Token()); err != nil {
		t.Errorf("retire under a real token: %v", err)
	}
	if err := h.Release(w.ctx); err != nil {
		t.Errorf("release: %v", err)
	}

	w.settle(a, b)
	epoch := w.join(a, "/x")
	if e := w.join(b, "/x"); e != epoch || epoch < 1<<50 {
		t.Errorf("epochs %d and %d", epoch, e)
	}
	if err := a.Counts(w.ctx, []Count{{"/x", 12, 300 * time.Millisecond}}); err != nil {
		t.Error(err)
	}
	if n, ok := w.state("/x"); !ok || n.Epoch != epoch || n.Sockets() != 12 || n.Retirement != 300*time.Millisecond {
		t.Errorf("state %+v", n)
	}
	w.leave(a, "/x", 0)
	if names, _ := w.retire(a); names != nil {
		t.Errorf("retired %v with a member", names)
	}
	if l := w.leave(b, "/x", 0); !l.Empty {
		t.Errorf("leave %+v", l)
	}
	if names, d := w.retire(a); !slices.Equal(names, []string{"/x"}) || d.Wait >= 0 {
		t.Errorf("retired %v, next in %v", names, d.Wait)
	}
	got := w.assert(a, Assert{FullName: "/x", Epoch: epoch, Confirmed: a.Era(), Occupied: true})
	if got.Standing != Restored || got.Current <= epoch {
		t.Errorf("assert %+v", got)
	}
	w.join(b, "/y")
	if got := w.evictAll(a); !slices.Equal(got, []string{"b"}) {
		t.Errorf("evicted %v", got)
	}
	if got := w.sweep(a); got.Memberships != 1 {
		t.Errorf("swept %+v", got)
	}
	w.fenced("a heartbeat of the evicted", b.Heartbeat(w.ctx, Beat{}))
	o, err := da.Overview(w.ctx)
	if err != nil || len(o.Nodes) != 1 || o.Namespaces != 2 {
		t.Errorf("overview %+v, %v", o, err)
	}
	if err := a.Deregister(w.ctx); err != nil {
		t.Error(err)
	}
}
