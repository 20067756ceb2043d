package cluster

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/dynamicio/dynamicio/lease"
)

// The lease holder: every script refuses another token than the lease's, and the session lives.
func TestHolder_WrongTokenIsRefused(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	a := w.node("a")
	w.settle(a)
	w.join(a, "/x")
	w.leave(a, "/x", 0)
	calls := map[string]func(uint64) error{
		"retire": func(token uint64) error { _, err := a.Retire(w.ctx, token); return err },
		"evict":  func(token uint64) error { _, err := a.Evict(w.ctx, token); return err },
		"sweep":  func(token uint64) error { _, err := a.Sweep(w.ctx, token); return err },
	}
	for name, call := range calls {
		before := w.dump()
		for _, token := range []uint64{0, w.token - 1, w.token + 1, 77} {
			w.lost(fmt.Sprintf("%s with token %d", name, token), call(token))
		}
		w.admin.Del(w.ctx, "dynamicio:{default}:lease")
		w.lost(name+" without a lease", call(w.token))
		w.lead()
		if w.dump() != before {
			t.Errorf("%s with another token wrote something", name)
		}
	}
	if a.Err() != nil {
		t.Errorf("the session has ended: %v", a.Err())
	}
}

// The token is that of package lease, as it writes it.
func TestHolder_TakesALeaseOfPackageLease(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	d := w.directory("a")
	s := w.register(d)
	key, tokenKey := d.LeaseKeys()
	l, err := lease.New(w.admin, lease.Options{Key: key, TokenKey: tokenKey, Holder: "a"})
	if err != nil {
		t.Fatal(err)
	}
	h, err := l.Acquire(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Retire(w.ctx, h.Token()); err != nil {
		t.Errorf("retire with the token of the lease = %v", err)
	}
	o, err := d.Overview(w.ctx)
	if err != nil || o.Lease.Holder != "a" || o.Lease.Token != h.Token() {
		t.Errorf("overview %+v, %v", o.Lease, err)
	}
	h.Release(w.ctx)
	_, err = s.Retire(w.ctx, h.Token())
	w.lost("retire after the release", err)
}

// retire: not before the time is over, by Redis's clock, and then at once; the call says when.
func TestHolder_RetiresWhenDue(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	a := w.node("a")
	w.settle(a)
	const retirement = 200 * time.Millisecond
	w.join(a, "/x")
	w.join(a, "/y")
	before := time.Now()
	w.leave(a, "/x", retirement)
	w.leave(a, "/y", time.Hour)
	names, d := w.retire(a)
	if names != nil || d.Wait <= 0 || d.Wait > retirement {
		t.Errorf("at once: retired %v, next in %v", names, d.Wait)
	}
	for len(names) == 0 {
		time.Sleep(d.Wait)
		names, d = w.retire(a)
	}
	gone := time.Since(before)
	t.Logf("retired %v after its time", gone-retirement)
	if gone < retirement {
		t.Errorf("retired after %v, want %v at least", gone, retirement)
	}
	if !slices.Equal(names, []string{"/x"}) || d.Wait < 50*time.Minute {
		t.Errorf("retired %v, next in %v", names, d.Wait)
	}
	if n := w.admin.Exists(w.ctx, "dynamicio:{default}:ns:/x").Val(); n != 0 {
		t.Error("the hash is still there")
	}
}

// retire re-checks: an entry of due that is wrong, from whatever bug or hand, retires nothing.
func TestHolder_RetireChecksAgain(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	a := w.node("a")
	w.settle(a)
	w.join(a, "/occupied")
	w.join(a, "/early")
	w.leave(a, "/early", time.Hour)
	for _, name := range []string{"/occupied", "/early", "/none"} {
		w.admin.ZAdd(w.ctx, "dynamicio:{default}:due", z(0, name))
	}
	if names, d := w.retire(a); names != nil || d.Wait < 50*time.Minute {
		t.Errorf("retired %v, next in %v", names, d.Wait)
	}
	for _, name := range []string{"/occupied", "/early"} {
		if _, ok := w.state(name); !ok {
			t.Errorf("%s is gone", name)
		}
	}
}

// The work of one call is bounded.
func TestHolder_WorkIsBounded(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	a := w.node("a")
	w.settle(a)
	const n = 5*maxWork/2 + 1
	var ops []Op
	for i := range n {
		ops = append(ops, &Join{FullName: fmt.Sprint("/", i)}, &Leave{FullName: fmt.Sprint("/", i)})
	}
	if err := a.Do(w.ctx, ops...); err != nil {
		t.Fatal(err)
	}
	w.beat(a)
	total := 0
	for total < n {
		start := time.Now()
		names, d := w.retire(a)
		t.Logf("%d namespaces in %v", len(names), time.Since(start))
		if len(names) > maxWork {
			t.Errorf("%d namespaces in one call", len(names))
		}
		total += len(names)
		if total < n && d.Wait != 0 {
			t.Fatalf("next in %v with %d left", d.Wait, n-total)
		}
	}
}

// evict: a node that is silent for its TTL goes, others stay; what it was in is empty as of the sweep.
func TestHolder_EvictsTheSilent(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	a, b := w.node("a"), w.node("b")
	w.settle(a, b)
	w.join(a, "/both")
	w.join(b, "/both")
	w.join(b, "/alone")
	w.watch(a, b)
	silent := time.Now()
	w.beat(b)
	got := w.evictAll(a)
	if d := time.Since(silent); d < ttl {
		t.Errorf("evicted after %v, want %v at least", d, ttl)
	}
	if !slices.Equal(got, []string{"b"}) {
		t.Errorf("evicted %v", got)
	}
	if names, _ := w.retire(a); names != nil {
		t.Errorf("retired %v before the sweep", names)
	}
	before := time.Now()
	if got := w.sweep(a); got.Memberships != 2 {
		t.Errorf("swept %+v, want 2 memberships", got)
	}
	if n, ok := w.state("/alone"); !ok || len(n.Nodes) != 0 || n.Emptied.Before(before.Add(-time.Second)) {
		t.Errorf("/alone: %+v", n)
	}
	if n, ok := w.state("/both"); !ok || len(n.Nodes) != 1 || !n.Emptied.IsZero() {
		t.Errorf("/both: %+v", n)
	}
	w.fenced("a heartbeat of the evicted", b.Heartbeat(w.ctx, Beat{}))
	o, err := w.directory("x").Overview(w.ctx)
	if err != nil || len(o.Nodes) != 1 || o.Nodes[0].ID != "a" {
		t.Errorf("nodes %+v, %v", o.Nodes, err)
	}
}

// evict: a node in the midst of asserting that falls silent is evicted, and holds nothing up any more.
func TestHolder_EvictsTheAsserting(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	a := w.node("a")
	w.settle(a)
	w.register(w.directory("b"))
	if _, d := w.retire(a); d.Gate != Asserting {
		t.Fatalf("gate %v", d.Gate)
	}
	w.evictAll(a)
	if _, d := w.retire(a); d.Gate != Decided {
		t.Errorf("gate %v after the eviction", d.Gate)
	}
}

// evict: not before the era is settled.
func TestHolder_EvictsNobodyInAnUnsettledEra(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	// b's own TTL is short, and it began the era; but the era's TTL is the longest of its nodes.
	w.register(w.directory("b", Options{NodeTTL: minTTL}))
	a := w.register(w.directory("a", Options{NodeTTL: time.Hour}))
	w.lead()
	for range 8 {
		d, err := a.Evict(w.ctx, w.token)
		if err != nil || d.Gate != Unsettled || d.Evicted != nil {
			t.Fatalf("evict = %+v, %v", d, err)
		}
		time.Sleep(minTTL / 4)
	}
}

// evict: a stall of Redis evicts nobody, though every node is silent past its time when it is over.
func TestHolder_StallOfRedisEvictsNobody(t *testing.T) {
	srv := redistest.Start(t)
	w := newWorld(t, srv)
	a, b := w.node("a"), w.node("b")
	w.settle(a, b)
	w.watch(a, b)
	stall := fmt.Sprint((2 * ttl).Seconds())
	if err := w.admin.Do(w.ctx, "DEBUG", "SLEEP", stall).Err(); err != nil {
		t.Fatal(err)
	}
	end := time.Now()
	d, err := a.Evict(w.ctx, w.token)
	if err != nil || d.Gate != Postponed || d.Evicted != nil {
		t.Fatalf("right after the stall: %+v, %v", d, err)
	}
	if d.Wait < ttl-50*time.Millisecond || d.Wait > ttl {
		t.Errorf("postponed for %v, want %v", d.Wait, ttl)
	}
	w.beat(a, b) // in time, since they have a TTL for it
	for time.Since(end) < ttl+ttl/2 {
		w.beat(a, b)
		if d, err := a.Evict(w.ctx, w.token); err != nil || d.Evicted != nil {
			t.Fatalf("evict = %+v, %v", d, err)
		}
		time.Sleep(ttl / 10)
	}
	w.evictAll(a) // and b, once silent, goes
}

// sweep: a registration leaves the memberships of the session before it, which do not stand; those that
// it asserts again stay.
func TestHolder_SweepsFormerSessions(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	d := w.directory("a")
	a := w.register(d)
	for i := range 3 * maxWork {
		w.join(a, fmt.Sprint("/", i))
	}
	epoch := w.join(a, "/kept")
	era := a.Era()
	a = w.register(d)
	w.lead()
	if got := w.assert(a, Assert{FullName: "/kept", Epoch: epoch, Confirmed: era, Occupied: true}); got.Standing != Stands || got.Current != epoch {
		t.Fatalf("assert %+v", got)
	}
	calls := 0
	for total := 0; ; calls++ {
		got, err := a.Sweep(w.ctx, w.token)
		if err != nil {
			t.Fatal(err)
		}
		if got.Memberships > maxWork {
			t.Errorf("%d memberships in one call", got.Memberships)
		}
		total += got.Memberships
		if !got.More {
			if total != 3*maxWork {
				t.Errorf("swept %d memberships, want %d", total, 3*maxWork)
			}
			break
		}
	}
	if n, ok := w.state("/kept"); !ok || len(n.Nodes) != 1 {
		t.Errorf("/kept: %+v", n)
	}
	if n, ok := w.state("/1"); !ok || len(n.Nodes) != 0 || n.Emptied.IsZero() {
		t.Errorf("/1: %+v", n)
	}
}

// A namespace that only an old dump has is forgotten, without a notice; until then it counts as absent.
func TestHolder_ForgetsAnOldDump(t *testing.T) {
	srv := redistest.Start(t)
	w := newWorld(t, srv)
	d := w.directory("a")
	s := w.node("b")
	var old uint64
	for i := range 2*maxWork + 10 {
		old = w.join(s, fmt.Sprintf("/occupied%03d", i))
	}
	for i := range 10 {
		w.join(s, fmt.Sprintf("/empty%d", i))
		w.leave(s, fmt.Sprintf("/empty%d", i), 0)
	}
	srv.Save()
	srv.Kill()
	srv.Restart()
	a := w.register(d)
	page, err := d.Namespaces(w.ctx, PageQuery{})
	if err != nil || len(page.Namespaces) != 0 {
		t.Errorf("the page shows %d namespaces of the dump, %v", len(page.Namespaces), err)
	}
	ps := w.admin.Subscribe(w.ctx, d.ControlChannel())
	defer ps.Close()
	if _, err := ps.Receive(w.ctx); err != nil {
		t.Fatal(err)
	}
	if e := w.join(a, "/occupied000"); e <= old {
		t.Errorf("epoch %d after %d", e, old)
	}
	if n, ok := w.state("/occupied000"); !ok || len(n.Nodes) != 1 {
		t.Errorf("the members of the dump count: %+v", n)
	}
	w.beat(a)
	w.settle(a)
	w.admin.ZAdd(w.ctx, "dynamicio:{default}:due", z(1, "/empty3")) // as a failover could leave it
	if names, _ := w.retire(a); names != nil {
		t.Errorf("retired %v of the dump", names)
	}
	got := w.sweep(a)
	if want := 2*maxWork + 18; got.Forgotten != want {
		t.Errorf("forgot %d namespaces, want %d", got.Forgotten, want)
	}
	left, _ := w.admin.Keys(w.ctx, "dynamicio:{default}:ns:*").Result()
	if !slices.Equal(left, []string{"dynamicio:{default}:ns:/occupied000"}) {
		t.Errorf("left: %v", left)
	}
	if left, _ := w.admin.Keys(w.ctx, "dynamicio:{default}:node:b*").Result(); len(left) != 0 {
		t.Errorf("left of the node: %v", left)
	}
	ctx, cancel := newTimeout(w.ctx, 100*time.Millisecond)
	defer cancel()
	for {
		m, err := ps.ReceiveMessage(ctx)
		if err != nil {
			break
		}
		if n, _ := ParseNotice(m.Payload); n.Kind == NoticeRetired {
			t.Errorf("notice %q", m.Payload)
		}
	}
}

// The lease and the token of a dump stand in it; the restarted server must not take orders under them.
func TestHolder_OldDumpCannotRetireWhatIsOccupied(t *testing.T) {
	srv := redistest.Start(t)
	w := newWorld(t, srv)
	a := w.node("a")
	w.settle(a)
	w.join(a, "/x")
	w.leave(a, "/x", 0)
	srv.Save() // empty and due, session standing, era settled, lease held
	epoch := w.join(a, "/x")
	srv.Kill()
	srv.Restart()
	d, err := a.Retire(w.ctx, w.token) // a stays on its connection, so it can not get through
	if err == nil {
		t.Fatalf("retire on the restarted server = %+v", d)
	}
	w.fenced("the next try", func() error { _, err := a.Retire(w.ctx, w.token); return err }())
	era := a.Era()
	a = w.register(a.dir)
	w.lead()
	if _, d := w.retire(a); d.Gate != Unsettled {
		t.Errorf("gate %v", d.Gate)
	}
	got := w.assert(a, Assert{FullName: "/x", Epoch: epoch, Confirmed: era, Occupied: true})
	if got.Standing != Restored || got.Current <= epoch {
		t.Errorf("assert %+v", got)
	}
	w.settle(a)
	if names, _ := w.retire(a); names != nil {
		t.Errorf("retired %v, which is occupied", names)
	}
}

// A node that leaves on its own accord is off at once.
func TestSession_Deregister(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	a, b := w.node("a"), w.node("b")
	w.settle(a, b)
	w.join(b, "/x")
	if err := b.Deregister(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.fenced("a call after it", b.Heartbeat(w.ctx, Beat{}))
	o, err := a.dir.Overview(w.ctx)
	if err != nil || len(o.Nodes) != 1 {
		t.Errorf("nodes %+v, %v", o.Nodes, err)
	}
	if got := w.sweep(a); got.Memberships != 1 {
		t.Errorf("swept %+v", got)
	}
}

// A Redis that does not answer in time ends the session; the caller is not kept for longer.
func TestSession_EndsWhenThereIsNoAnswer(t *testing.T) {
	srv := redistest.Start(t)
	w := newWorld(t, srv)
	s := w.register(w.directory("a", Options{NodeTTL: ttl, Timeout: 100 * time.Millisecond}))
	srv.Pause()
	err := s.Heartbeat(w.ctx, Beat{})
	srv.Continue()
	var e *Error
	if !errors.As(err, &e) || e.Op != "heartbeat" {
		t.Errorf("heartbeat = %v, want an *Error", err)
	}
	select {
	case <-s.Ended():
	default:
		t.Error("the session has not ended")
	}
	w.fenced("the next call", s.Heartbeat(w.ctx, Beat{}))
}
