package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// through starts a member that reaches Redis by a proxy.
func (w *world) through(p *redistest.Proxy, id string, nodeTTL time.Duration) *testMember {
	w.Helper()
	client, err := Connect("redis://" + p.Addr)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { client.Close() })
	d, err := New(client, Options{Node: id, NodeTTL: nodeTTL, Timeout: 5 * time.Second})
	if err != nil {
		w.Fatal(err)
	}
	m, err := NewMember(d, client, MemberOptions{LeaseTTL: memberTTL, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.Fatal(err)
	}
	t := &testMember{m, w, &fakeLocal{}}
	m.Start(t.local)
	w.Cleanup(t.close)
	return t
}

// subscribers returns the connections over which something was subscribed.
func subscribers(p *redistest.Proxy) []*redistest.ProxyConn {
	return slices.DeleteFunc(p.Conns(), func(c *redistest.ProxyConn) bool { return !c.Subscribes() })
}

// The connection of the control channel only looks alive. Nobody closes it and nothing is
// said over it, so the member has to ask; one that answers is kept, however quiet it is.
func TestMember_ReplacesASubscriptionThatOnlyLooksAlive(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	w, p := newWorld(t, srv), redistest.StartProxy(t, srv.Addr)
	a := w.through(p, "a", memberTTL)
	w.ready(a)
	epoch := a.join("/x")
	a.Leave("/x", epoch, time.Hour)
	w.until("it is empty", func() bool { s, ok := w.state("/x"); return ok && !s.Emptied.IsZero() })
	time.Sleep(3500 * time.Millisecond) // three times as long as it listens without a word
	if n := len(subscribers(p)); n != 1 {
		t.Errorf("%d connections subscribed in quiet times, want 1", n)
	}

	dead := subscribers(p)
	p.OnReply(func(c *redistest.ProxyConn, _ []byte) bool { return !slices.Contains(dead, c) })
	// As the script does, but for the notice, which would not arrive.
	k := a.dir.keys
	w.admin.Del(w.ctx, k.ns("/x"))
	w.admin.ZRem(w.ctx, k.namespaces, "/x")
	w.admin.ZRem(w.ctx, k.due, "/x")
	w.until("the member finds out what it has missed", func() bool { return a.local.times("retire", "/x", epoch) == 1 })
	if a.Stats().Registrations != 1 {
		t.Error("it registered anew, which would find out, too")
	}
}

// slowly makes each answer of Redis to the member's session take that long.
func slowly(p *redistest.Proxy, d time.Duration) {
	p.OnReply(func(c *redistest.ProxyConn, _ []byte) bool {
		if !c.Subscribes() {
			time.Sleep(d)
		}
		return true
	})
}

// A crowd of namespaces takes more than slowTTL to be told, a batch at a time, where
// Redis answers in lag. slowTTL is long enough for a machine that stands still for a second.
const (
	slowTTL = 2 * time.Second
	lag     = 150 * time.Millisecond
	crowd   = 20 * batch
)

func (m *testMember) joinCrowd() {
	m.w.Helper()
	var waits []func(context.Context) (uint64, error)
	for i := range crowd {
		waits = append(waits, m.Join(fmt.Sprintf("/ns%d", i), time.Minute))
	}
	for _, wait := range waits {
		if _, err := wait(m.w.ctx); err != nil {
			m.w.Fatal(err)
		}
	}
}

// A node that has more to tell than fits into a node TTL lives, and says so in between:
// when it joins, and when it asserts all that it has over a new session.
func TestMember_LivesWhileItHasALotToTell(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	w, p := newWorld(t, srv), redistest.StartProxy(t, srv.Addr)
	a, b := w.through(p, "a", slowTTL), w.member("b", MemberOptions{})
	w.ready(a, b)

	slowly(p, lag)
	begun := time.Now()
	a.joinCrowd()
	if n := a.Stats().Registrations; n != 1 || a.Ready() != nil {
		t.Fatalf("ready %v, %d sessions after all joins, want one", a.Ready(), n)
	}
	if took := time.Since(begun); took < slowTTL+slowTTL/4 {
		t.Fatalf("joined within %v: this shows nothing", took)
	}

	epoch := a.join("/ns0")
	begun = time.Now()
	w.admin.ClientKillByFilter(w.ctx, "TYPE", "normal", "SKIPME", "yes")
	w.until("registered anew", func() bool { return a.Stats().Registrations == 2 && a.Ready() == nil })
	if took := time.Since(begun); took < slowTTL+slowTTL/4 {
		t.Fatalf("asserted within %v: this shows nothing", took)
	}
	if b.Stats().Evicted != 0 {
		t.Error("evicted while it asserted")
	}
	if e := a.join("/ns0"); e != epoch {
		t.Errorf("/ns0 is in epoch %d, was %d", e, epoch)
	}
}

// A node that is stopped before it has asserted all that it has must not go on counting as one
// that asserts: nothing would retire until it is evicted.
func TestMember_ClosedWhileAsserting(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	w, p := newWorld(t, srv), redistest.StartProxy(t, srv.Addr)
	a, b := w.through(p, "a", slowTTL), w.member("b", MemberOptions{})
	w.ready(a, b)
	a.joinCrowd()
	slowly(p, lag)
	w.admin.ClientKillByFilter(w.ctx, "TYPE", "normal", "SKIPME", "yes")
	asserting := func() []string {
		o, err := b.dir.Overview(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return o.Asserting
	}
	w.until("it asserts", func() bool { return slices.Contains(asserting(), "a") })
	if a.Ready() == nil {
		t.Fatal("it is done already: this shows nothing")
	}
	a.close()
	if got := asserting(); slices.Contains(got, "a") {
		t.Errorf("closed, and %q still assert", got)
	}
	if n := b.Stats().Evicted; n != 0 {
		t.Errorf("%d nodes were evicted: this shows nothing", n)
	}
}
