package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

func TestDirectory_Overview(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	d := w.directory("a")
	if o, err := d.Overview(w.ctx); err != nil || o.Era != 0 || len(o.Nodes) != 0 || o.Lease.Token != 0 {
		t.Errorf("of an empty Redis: %+v, %v", o, err)
	}
	started := time.Now().Truncate(time.Millisecond)
	a, err := d.Register(w.ctx, NodeInfo{Address: "10.0.0.1:80", Version: "1.2", Started: started})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b := w.register(w.directory("b"))
	w.join(a, "/x")
	w.join(a, "/y")
	w.leave(a, "/y", time.Hour)
	beat := Beat{Done: true, Draining: true, Counters: map[string]int64{"sockets": 3, "slow": 1}}
	if err := a.Heartbeat(w.ctx, beat); err != nil {
		t.Fatal(err)
	}
	w.lead()
	o, err := d.Overview(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if o.Era != a.Era() || o.SettledIn <= 0 || o.SettledIn > ttl || o.Latency <= 0 || time.Since(o.Time).Abs() > time.Minute {
		t.Errorf("overview %+v", o)
	}
	if len(o.Asserting) != 1 || o.Asserting[0] != "b" || o.Namespaces != 2 || o.Due != 1 || o.Lease.Holder != "somebody" || o.Lease.Token != 7 {
		t.Errorf("overview %+v", o)
	}
	if len(o.Nodes) != 2 || o.Nodes[1].ID != "b" || o.Nodes[1].Session != b.Number() || o.Nodes[1].Draining {
		t.Fatalf("nodes %+v", o.Nodes)
	}
	n := o.Nodes[0]
	if n.ID != "a" || n.Address != "10.0.0.1:80" || n.Version != "1.2" || !n.Started.Equal(started) || n.TTL != ttl ||
		!n.Draining || n.Namespaces != 1 || n.Counters["sockets"] != 3 || n.Counters["slow"] != 1 || n.HeartbeatAge > 10*time.Second {
		t.Errorf("node %+v", n)
	}
}

func TestDirectory_PagesThroughNamespaces(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	s := w.node("a")
	d := s.dir
	for i := range 25 {
		w.join(s, fmt.Sprintf("//h.com/%02d", i))
		w.join(s, fmt.Sprintf("/%02d", i))
	}
	for _, name := range []string{"//h.com", "//h.con/x", "//h.com/\xff\xff", "//h.com0"} {
		w.join(s, name)
	}
	for _, c := range []struct {
		prefix      string
		limit       int
		want, pages int
	}{
		{"", 0, 54, 1}, {"", 10, 54, 6}, {"", 54, 54, 1}, {"//h.com/", 5, 26, 6}, {"//h.com/", 26, 26, 1}, {"/none", 5, 0, 1}, {"\xff", 5, 0, 1},
	} {
		got, pages, last := 0, 0, ""
		for q := (PageQuery{Prefix: c.prefix, Limit: c.limit}); ; {
			page, err := d.Namespaces(w.ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, n := range page.Namespaces {
				if n.FullName <= last || n.FullName[:len(c.prefix)] != c.prefix {
					t.Errorf("prefix %q: %q after %q", c.prefix, n.FullName, last)
				}
				last = n.FullName
				got++
			}
			if page.Next == "" {
				break
			}
			q.After = page.Next
		}
		if got != c.want || pages != c.pages {
			t.Errorf("prefix %q, limit %d: %d namespaces on %d pages, want %d on %d", c.prefix, c.limit, got, pages, c.want, c.pages)
		}
	}
}

func TestDirectory_NamespaceState(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	a, b := w.node("a"), w.node("b")
	if _, ok := w.state("/x"); ok {
		t.Error("a namespace that is not there stands")
	}
	before := time.Now().Add(-time.Minute)
	if err := a.Do(w.ctx, &Join{FullName: "/x", Retirement: 1500 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	w.join(b, "/x")
	counts := []Count{{"/x", 3, 2 * time.Second}, {"/stranger", 9, 0}}
	for i := range 2 * maxCounts { // more than one script takes
		counts = append(counts, Count{fmt.Sprint("/none", i), 1, 0})
	}
	if err := a.Counts(w.ctx, counts); err != nil {
		t.Fatal(err)
	}
	if err := b.Counts(w.ctx, []Count{{"/x", 2, 2 * time.Second}}); err != nil {
		t.Fatal(err)
	}
	w.join(a, "/x") // again, which keeps the count
	n, ok := w.state("/x")
	if !ok || n.Sockets() != 5 || n.Nodes["a"] != 3 || n.Nodes["b"] != 2 || n.Retirement != 2*time.Second || n.Created.Before(before) || n.Permanent {
		t.Errorf("state %+v", n)
	}
	if _, ok := n.ExpiresIn(time.Now()); ok {
		t.Error("an occupied one expires")
	}
	w.join(b, "/b")
	if err := a.Counts(w.ctx, []Count{{"/b", 9, time.Hour}}); err != nil {
		t.Fatal(err)
	}
	if n, _ := w.state("/b"); len(n.Nodes) != 1 || n.Retirement != 0 {
		t.Errorf("a count made a member, or changed another's namespace: %+v", n)
	}
	if n := w.admin.Exists(w.ctx, "dynamicio:{default}:ns:/none1").Val(); n != 0 {
		t.Error("a count made a namespace")
	}
	w.leave(a, "/x", 0)
	w.leave(b, "/x", 10*time.Second)
	n, _ = w.state("/x")
	if left, ok := n.ExpiresIn(n.Emptied.Add(4 * time.Second)); !ok || left != 6*time.Second {
		t.Errorf("expires in %v, %v", left, ok)
	}
}
