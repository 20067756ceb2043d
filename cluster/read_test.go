package cluster

import (
	"fmt"
	"slices"
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
	if !n.Due.IsZero() {
		t.Error("an occupied one is due")
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
	if score := w.admin.ZScore(w.ctx, "dynamicio:{default}:due", "/x").Val(); n.Due.UnixMicro() != int64(score) || n.Emptied.IsZero() {
		t.Errorf("due at %v, the directory says %v", n.Due.UnixMicro(), int64(score))
	}
}

// A search goes through all names, page by page, whatever their case.
func TestDirectory_Searches(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	s := w.node("a")
	var ops []Op
	for i := range 2*searchChunk + 10 {
		ops = append(ops, &Join{FullName: fmt.Sprintf("/%05d", i)})
	}
	for _, name := range []string{"/00500-Kitchen", "/01500-kitchen", "/02009-KITCHEN", "//h.com/kitchen"} {
		ops = append(ops, &Join{FullName: name})
	}
	if err := s.Do(w.ctx, ops...); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		q    PageQuery
		want []string
	}{
		{PageQuery{Search: "kitchen"}, []string{"//h.com/kitchen", "/00500-Kitchen", "/01500-kitchen", "/02009-KITCHEN"}},
		{PageQuery{Search: "kitchen", Limit: 1}, []string{"//h.com/kitchen", "/00500-Kitchen", "/01500-kitchen", "/02009-KITCHEN"}},
		{PageQuery{Search: "KITchen", Limit: 3}, []string{"//h.com/kitchen", "/00500-Kitchen", "/01500-kitchen", "/02009-KITCHEN"}},
		{PageQuery{Search: "0-k", After: "/005"}, []string{"/00500-Kitchen", "/01500-kitchen"}},
		{PageQuery{Search: "kitchen", Prefix: "//h.com/"}, []string{"//h.com/kitchen"}},
		{PageQuery{Search: "[kitchen]"}, nil},
	} {
		var got []string
		for q := c.q; ; {
			page, err := w.directory("reader").Namespaces(w.ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Namespaces) > max(q.Limit, 100) {
				t.Errorf("%+v: %d on a page", q, len(page.Namespaces))
			}
			for _, n := range page.Namespaces {
				got = append(got, n.FullName)
			}
			if q.After = page.Next; q.After == "" {
				break
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v finds %q, want %q", c.q, got, c.want)
		}
	}
}

func TestDirectory_Expiring(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	s := w.node("a")
	d := w.directory("reader")
	w.settle(s)
	for i := range 30 {
		for _, host := range []string{"", "//h.com"} {
			name := fmt.Sprintf("%s/%02d", host, i)
			w.join(s, name)
			w.leave(s, name, time.Duration(100-i)*time.Hour+time.Duration(len(host))*time.Minute)
		}
	}
	for prefix, want := range map[string][]string{"": {"/29", "//h.com/29", "/28"}, "//h.com/": {"//h.com/29", "//h.com/28", "//h.com/27"}, "//none/": nil} {
		due, err := d.Expiring(w.ctx, prefix, 3)
		var got []string
		for _, e := range due {
			got = append(got, e.FullName)
			if left := time.Until(e.At); left < 70*time.Hour || left > 80*time.Hour {
				t.Errorf("%s in %v", e.FullName, left)
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("prefix %q: %q, %v, want %q", prefix, got, err, want)
		}
	}
}

// The tally of a prefix is that prefix's alone, over more than one run of the script.
func TestDirectory_Tally(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	a, b := w.node("a"), w.node("b")
	d := w.directory("reader")
	if got, err := d.Tally(w.ctx, "//h.com/"); err != nil || got.Namespaces != 0 {
		t.Errorf("of nothing: %+v, %v", got, err)
	}
	var counts []Count
	for i := range 2*maxWork + 3 {
		name := fmt.Sprintf("//h.com/%03d", i)
		w.join(a, name)
		counts = append(counts, Count{name, 2, time.Hour})
	}
	w.join(b, "//h.com/000")
	w.join(b, "//h.con/x")
	w.leave(a, "//h.com/100", time.Hour)
	w.leave(a, "//h.com/101", -1)
	if err := a.Counts(w.ctx, counts); err != nil {
		t.Fatal(err)
	}
	got, err := d.Tally(w.ctx, "//h.com/")
	if err != nil || got.Namespaces != 2*maxWork+3 || got.Empty != 1 || len(got.Nodes) != 2 ||
		got.Nodes["a"] != (NodeTally{2*maxWork + 1, 2 * (2*maxWork + 1)}) || got.Nodes["b"] != (NodeTally{1, 0}) {
		t.Errorf("%+v, %v", got, err)
	}
	w.admin.HSet(w.ctx, "dynamicio:{default}:era", "era", "1") // what is there is of a former era
	if got, err := d.Tally(w.ctx, "//h.com/"); err != nil || got.Namespaces != 0 {
		t.Errorf("of a former era: %+v, %v", got, err)
	}
}
