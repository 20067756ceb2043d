package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Two nodes hold a namespace, a third does not. It retires when it is empty
// everywhere, on time; a client within the time keeps it; one afterwards begins anew.
func TestCluster_RetiresWhenEmptyEverywhere(t *testing.T) {
	t.Parallel()
	const retirement, tolerance = 2 * time.Second, 300 * time.Millisecond
	// With such a node TTL, a holder that only polled would be half a second late.
	c := startNodes(t, 3, retirement, "-node-ttl", "6s")
	n1, n2, n3 := c.all[0], c.all[1], c.all[2]
	const name = "/x"

	a, b := c.join(n1, name), c.join(n2, name)
	if a.in.Epoch != b.in.Epoch || a.in.ID == b.in.ID {
		t.Fatalf("two nodes are in %+v and %+v", a.in, b.in)
	}
	c.hears(a, b)
	a.leave()
	time.Sleep(retirement + 2*tolerance)
	if l := c.life(n1, name); l.Expiries != 0 {
		t.Fatalf("%+v, while a client is in it on another node", l)
	}

	// Within the time: it goes on, on a node that had it and on one that had not.
	b.leave()
	time.Sleep(retirement / 4)
	d := c.join(n3, name)
	if d.in.Epoch != a.in.Epoch {
		t.Errorf("after %v a client is in epoch %d, want %d", retirement/4, d.in.Epoch, a.in.Epoch)
	}
	time.Sleep(retirement + tolerance)
	e := c.join(n1, name)
	if e.in.Epoch != a.in.Epoch || e.in.ID != a.in.ID {
		t.Errorf("while occupied a client is in %+v, want %+v", e.in, a.in)
	}
	e.leave()

	// Empty everywhere: never early, and on time twice; a busy machine has more tries for it.
	var late []time.Duration
	onTime := 0
	last, epoch := d, a.in.Epoch
	for onTime < 2 && len(late) < 15 {
		left := time.Now()
		last.leave()
		c.gone(name, c.all...)
		var decided, final int64
		for _, n := range c.all {
			l := c.life(n, name)
			for _, at := range l.Expired {
				final = max(final, at)
			}
			for _, r := range l.Retirements {
				if r.Epoch == epoch {
					decided = r.At
				}
			}
		}
		if took := time.UnixMicro(decided).Sub(left); took < retirement {
			t.Errorf("retired %v after the last client left, want %v", took, retirement)
		}
		late = append(late, time.UnixMicro(final).Sub(left)-retirement)
		if late[len(late)-1] <= tolerance {
			onTime++
		}
		next := c.join(n2, name)
		if next.in.Epoch <= epoch || next.in.ID == last.in.ID {
			t.Errorf("after retirement a client is in %+v, want a higher epoch than %d", next.in, epoch)
		}
		last, epoch = next, next.in.Epoch
	}
	t.Logf("gone everywhere %v after its time", late)
	if onTime < 2 {
		t.Errorf("gone everywhere %v after its time, want %v at most", late, tolerance)
	}
	last.leave()
	c.gone(name, c.all...)
	c.judge(c.all)
}

// Once a client has its CONNECT answer it misses no broadcast of any node, though the
// directory has answered long before Redis has heard of the subscription.
func TestCluster_AdmitsAfterSubscribing(t *testing.T) {
	t.Parallel()
	c := newNodes(t)
	p := startProxy(t, strings.TrimPrefix(c.redis.URL(), "redis://"))
	behind, other := c.start(p.url(), time.Second), c.start(c.redis.URL(), time.Second)
	c.converge(c.all...)
	p.slow.Store(int64(300 * time.Millisecond))
	for _, name := range []string{"/1", "/2", "/3"} {
		speaker := c.join(other, name)
		listener := c.join(behind, name)
		c.hears(speaker, listener)
	}
	c.judge(c.all)
}

// A node that is told to stop is gone for the others, who need not evict it; its clients find
// what they left on another one, and what only it had retires.
func TestCluster_NodeLeavesTheStatusAtOnce(t *testing.T) {
	t.Parallel()
	c := startNodes(t, 3, time.Second)
	leaver, other := c.all[0], c.all[1]
	stays, goes := c.join(other, "/x"), c.join(leaver, "/x")
	only := c.join(leaver, "/only")
	c.hears(stays, goes)
	before := time.Now()
	leaver.signal(syscall.SIGTERM)
	c.eventually(patience, "the node that leaves is off the status", func() error {
		ids, err := other.statusNodes()
		if err == nil && slices.Contains(ids, leaver.id) {
			err = fmt.Errorf("it has %v", ids)
		}
		return err
	})
	t.Logf("off the status %v after SIGTERM", time.Since(before))
	for _, n := range c.others(leaver) {
		if n.has("node evicted") > 0 {
			t.Errorf("%s had to evict the node that left", n.id)
		}
	}
	if code := leaver.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, m := range []*member{goes, only} {
		m.leave() // its connection was closed, and it knows
	}
	c.inside(stays)
	// Clients come back through other nodes, into what they left.
	back := c.join(c.all[2], "/x")
	if back.in.Epoch != stays.in.Epoch {
		t.Errorf("back in epoch %d, want %d", back.in.Epoch, stays.in.Epoch)
	}
	c.hears(stays, back)
	// What only that node had is empty, and retires.
	c.gone("/only", c.all[1], c.all[2])
	c.judge(c.others(leaver))
}
