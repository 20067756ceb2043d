package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dynamicio/dynamicio/cluster"
	"github.com/dynamicio/dynamicio/lease"
	"github.com/dynamicio/dynamicio/namespace"
)

// fakeNode is a node with its cluster. Its zero value is empty.
type fakeNode struct {
	infos   []namespace.Info
	clients map[string][]Client
	dismiss error

	overview cluster.Overview
	states   []cluster.NamespaceState
	due      []cluster.Due
	tally    cluster.Tally
	away     error // of every question to Redis
	asked    func(*namespace.Message, func(namespace.Answer)) error
	prefixes []string // that were asked for
	hang     bool     // Redis answers nothing
	asking   atomic.Int32
}

func (f *fakeNode) Self() Node                            { return Node{ID: "a", Started: time.Now().Add(-time.Minute)} }
func (f *fakeNode) Namespaces() []namespace.Info          { return f.infos }
func (f *fakeNode) Clients(name string) []Client          { return slices.Clone(f.clients[name]) }
func (f *fakeNode) Disconnect(name, id string) error      { return errors.New(name + " " + id) }
func (f *fakeNode) Dismiss(context.Context, string) error { return f.dismiss }
func (f *fakeNode) Permanent() (permanent []namespace.Info) {
	return slices.DeleteFunc(slices.Clone(f.infos), func(i namespace.Info) bool { return !i.Permanent })
}

func (f *fakeNode) Overview(ctx context.Context) (cluster.Overview, error) {
	if f.hang {
		f.asking.Add(1)
		<-ctx.Done()
		f.asking.Add(-1)
		return f.overview, ctx.Err()
	}
	return f.overview, f.away
}

// fakeDirectory is the same node as Redis knows it.
type fakeDirectory struct{ *fakeNode }

func (f fakeDirectory) Namespaces(_ context.Context, q cluster.PageQuery) (cluster.Page, error) {
	f.prefixes = append(f.prefixes, q.Prefix)
	page := slices.DeleteFunc(slices.Clone(f.states), func(s cluster.NamespaceState) bool {
		return s.FullName <= q.After || !namespace.ContainsFold(s.FullName, q.Search)
	})
	return cluster.Page{Namespaces: page}, f.away
}

func (f fakeDirectory) Namespace(_ context.Context, name string) (cluster.NamespaceState, bool, error) {
	for _, s := range f.states {
		if s.FullName == name {
			return s, true, f.away
		}
	}
	return cluster.NamespaceState{}, false, f.away
}

func (f fakeDirectory) Expiring(_ context.Context, prefix string, _ int) ([]cluster.Due, error) {
	f.prefixes = append(f.prefixes, prefix)
	return f.due, f.away
}

func (f fakeDirectory) Tally(_ context.Context, prefix string) (cluster.Tally, error) {
	f.prefixes = append(f.prefixes, prefix)
	return f.tally, f.away
}

func (f *fakeNode) collector(alone bool) *Collector {
	o := CollectorOptions{Cluster: "c", Node: "a", LeaseTTL: time.Second, Local: f, Recent: new(Recent)}
	o.Recent.Add("//a.com/old", 3)
	o.Recent.Add("/old", 4)
	if !alone {
		o.Directory = fakeDirectory{f}
		o.Ask = func(_ context.Context, m *namespace.Message, each func(namespace.Answer)) error {
			return f.asked(m, each)
		}
	}
	return NewCollector(o)
}

// wellNode is a cluster in which nothing is wrong.
func wellNode() *fakeNode {
	now := time.Now()
	return &fakeNode{overview: cluster.Overview{
		Time: now, Era: 1, Namespaces: 2, Due: 1,
		Lease: lease.Info{Holder: "a", Token: uint64(now.Add(-90 * time.Second).UnixMicro()), TTL: time.Second},
		Nodes: []cluster.NodeState{
			{ID: "a", TTL: 10 * time.Second, HeartbeatAge: time.Second, Namespaces: 1, Trend: "5000 1,2,3", Counters: map[string]int64{
				"sockets": 2, "events_milli": 1500, "deliveries_milli": 2500, "slow_closed": 4}},
			{ID: "b", TTL: 10 * time.Second, Namespaces: 1, Trend: "no trend", Draining: true, Counters: map[string]int64{"sockets": 3, "slow_closed": 1}},
		},
	}}
}

func TestCollector_SumsUpTheNodes(t *testing.T) {
	rep := wellNode().collector(false).Collect(t.Context(), Query{Trend: true})
	want := Totals{Nodes: 2, Namespaces: 2, Sockets: 5, Empty: 1, EventsPerSecond: 1.5, DeliveriesPerSecond: 2.5, SlowClosed: 5}
	if rep.Totals != want {
		t.Errorf("totals %+v, want %+v", rep.Totals, want)
	}
	if a, b := rep.Nodes[0], rep.Nodes[1]; a.Trend == nil || a.Trend.Deliveries[0] != 3 || b.Trend != nil {
		t.Errorf("trends %+v, %+v", a.Trend, b.Trend)
	}
	if rep.Lease.HeldMS != 90_000 || len(rep.Retired) != 2 || rep.Retired[0].Epoch != 4 {
		t.Errorf("lease %+v, retired %+v", rep.Lease, rep.Retired)
	}
	if rep = wellNode().collector(false).Collect(t.Context(), Query{}); rep.Nodes[0].Trend != nil {
		t.Error("a trend that nobody asked for")
	}
}

// A host learns nothing of the others: neither names nor how busy the nodes are.
func TestCollector_AHostSeesItsOwn(t *testing.T) {
	f := wellNode()
	f.tally = cluster.Tally{Namespaces: 7, Empty: 3, Nodes: map[string]cluster.NodeTally{"b": {Namespaces: 7, Sockets: 1}}}
	f.infos = []namespace.Info{{FullName: "/kept", Name: "/kept", Permanent: true}, {FullName: "//a.com/kept", Host: "a.com", Permanent: true}}
	rep := f.collector(false).Collect(t.Context(), Query{Host: "a.com", Trend: true, Limit: 10})
	if want := (Totals{Nodes: 2, Namespaces: 8, Sockets: 1, Empty: 3}); rep.Totals != want {
		t.Errorf("totals %+v, want %+v", rep.Totals, want)
	}
	for _, n := range rep.Nodes {
		if n.Trend != nil || n.EventsPerSecond != 0 || n.DeliveriesPerSecond != 0 || n.SlowClosed != 0 || n.ID == "a" && n.Sockets+n.Namespaces != 0 {
			t.Errorf("node %+v", n)
		}
	}
	if len(rep.Namespaces) != 1 || rep.Namespaces[0].FullName != "//a.com/kept" || len(rep.Retired) != 1 || rep.Retired[0].Epoch != 3 {
		t.Errorf("namespaces %+v, retired %+v", rep.Namespaces, rep.Retired)
	}
	for _, p := range f.prefixes {
		if p != "//a.com/" {
			t.Errorf("Redis was asked for %q", p)
		}
	}
	f.states = []cluster.NamespaceState{{FullName: "/secret"}}
	if rep = f.collector(false).Collect(t.Context(), Query{Host: "a.com", Namespace: "/secret"}); len(rep.Namespaces) != 0 {
		t.Errorf("a host opens %+v", rep.Namespaces)
	}
}

// A page is no longer than asked for, with permanent namespaces that Redis does not know.
func TestCollector_PermanentOnesCount(t *testing.T) {
	f := wellNode()
	f.states = []cluster.NamespaceState{{FullName: "/b"}, {FullName: "/d"}}
	f.infos = []namespace.Info{{FullName: "/a", Permanent: true}, {FullName: "/c", Permanent: true}}
	for limit, next := range map[int]string{1: "/a", 2: "/b", 3: "/c", 4: ""} {
		rep := f.collector(false).Collect(t.Context(), Query{Limit: limit})
		if len(rep.Namespaces) != limit || rep.Next != next {
			t.Errorf("limit %d: %d namespaces, next %q", limit, len(rep.Namespaces), rep.Next)
		}
	}
}

// What is wrong is said in words; where nothing is, there is an empty list, not null.
func TestCollector_Problems(t *testing.T) {
	f := wellNode()
	if rep := f.collector(false).Collect(t.Context(), Query{}); rep.Problems == nil || len(rep.Problems) != 0 {
		t.Errorf("problems of a cluster that is well: %q", rep.Problems)
	}
	f.overview.Nodes[1].HeartbeatAge = 4200 * time.Millisecond
	f.overview.Lease = lease.Info{}
	f.overview.Asserting, f.overview.Nodes[0].Session = []string{"a"}, uint64(f.overview.Time.Add(-60500*time.Millisecond).UnixMicro())
	c := f.collector(false)
	c.opts.Ready = func() error { return errors.New("does not hear its own probe") }
	got := strings.Join(c.Collect(t.Context(), Query{}).Problems, "\n")
	for _, want := range []string{"Node b has been silent for 5 s; after 10 s", "No node holds the lease", "Node a has not said for 61 s what it has", "a, is not ready: does not hear"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}

	// How the nodes are set up beside each other, and beside others.
	now := wellNode()
	now.overview.Nodes[0].Notes, now.overview.Nodes[1].Notes = []string{"Servers with X use the prefix."}, []string{"Servers with X use the prefix."}
	now.overview.Nodes[0].Bus, now.overview.Nodes[1].Bus = "socket.io", "goio, in the dialect go"
	now.overview.Nodes[1].Rival, now.overview.Nodes[1].RivalAge = "10.0.0.9:80", time.Second
	want := []string{
		"Servers with X use the prefix.",
		`Another process (at "10.0.0.9:80") was started as node b and is refused: every process needs a --node-id of its own.`,
		"The nodes have different bus prefixes or dialects and do not hear each other's broadcasts: goio, in the dialect go (b); socket.io (a). Give all the same --bus-prefix and --bus-dialect.",
	}
	if got := now.collector(false).Collect(t.Context(), Query{}).Problems; !slices.Equal(got, want) {
		t.Errorf("%q, want\n%q", got, want)
	}
	now.overview.Nodes[0].Notes, now.overview.Nodes[1].Notes, now.overview.Nodes[1].Bus = nil, nil, "socket.io"
	now.overview.Nodes[1].RivalAge = time.Minute
	if got := now.collector(false).Collect(t.Context(), Query{}).Problems; len(got) != 0 {
		t.Errorf("%q, want none any more", got)
	}

	f.overview.Nodes[1].HeartbeatAge = 12 * time.Second
	if got := strings.Join(c.Collect(t.Context(), Query{}).Problems, "\n"); !strings.Contains(got, "Node b has been silent for 12 s and is about to be evicted.") {
		t.Errorf("past its time: %q", got)
	}
}

// What a new cluster goes through is no problem: nobody has to do anything about it.
func TestCollector_ANewClusterIsWell(t *testing.T) {
	f := wellNode()
	f.overview.Lease, f.overview.SettledIn, f.overview.Asserting = lease.Info{}, 7500*time.Millisecond, []string{"b"}
	f.overview.Nodes[1].Session = uint64(f.overview.Time.Add(-time.Second).UnixMicro())
	rep := f.collector(false).Collect(t.Context(), Query{})
	want := []string{
		"Redis is new to the nodes, or has come back: nothing retires for another 8 s, so that every node can say what it has.",
		"Node b is still saying what it has: nothing retires meanwhile.",
	}
	if len(rep.Problems) != 0 || !slices.Equal(rep.Notes, want) {
		t.Errorf("problems %q, notes %q, want none and %q", rep.Problems, rep.Notes, want)
	}
	if state := newState(rep); state.Level != "good" {
		t.Errorf("%+v", state)
	}
	if rep = wellNode().collector(false).Collect(t.Context(), Query{}); rep.Notes == nil || len(rep.Notes) != 0 {
		t.Errorf("notes of an old one: %q", rep.Notes)
	}
}

// What a silent node said last is counted apart: its clients may be with other nodes by now.
func TestCollector_SilentNodesAreCountedApart(t *testing.T) {
	f := wellNode()
	f.overview.Nodes[1].HeartbeatAge, f.overview.Nodes[1].Draining = 3*time.Second, false
	f.overview.Nodes[1].Counters["events_milli"] = 1_000_000
	f.states = []cluster.NamespaceState{
		{FullName: "/both", Nodes: map[string]int{"a": 2, "b": 3}}, {FullName: "/gone", Nodes: map[string]int{"b": 4}},
	}
	rep := f.collector(false).Collect(t.Context(), Query{})
	want := Totals{Nodes: 2, Namespaces: 2, Sockets: 2, SilentSockets: 3, Empty: 1, EventsPerSecond: 1.5, DeliveriesPerSecond: 2.5, SlowClosed: 5}
	if rep.Totals != want {
		t.Errorf("totals %+v, want %+v", rep.Totals, want)
	}
	if rep.Nodes[0].Silent || !rep.Nodes[1].Silent || rep.Nodes[1].Sockets != 3 {
		t.Errorf("nodes %+v", rep.Nodes)
	}
	both, gone := rep.Namespaces[0], rep.Namespaces[1]
	if both.Sockets != 2 || both.Silent != 3 || both.Nodes["b"] != 3 {
		t.Errorf("on both: %+v", both)
	}
	// It is not empty before the node is evicted.
	if gone.Sockets != 0 || gone.Silent != 4 || gone.Emptied != nil || !gone.Occupied() {
		t.Errorf("on the silent one alone: %+v", gone)
	}
}

// Without Redis there is what this node knows, and why there is no more.
func TestCollector_RedisAway(t *testing.T) {
	f := wellNode()
	f.away = errors.New("connection refused")
	f.infos = []namespace.Info{{FullName: "/x", Name: "/x", Sockets: 2, Retirement: time.Minute}}
	c := f.collector(false)
	c.opts.Away = func() time.Duration { return 12 * time.Second }
	rep := c.Collect(t.Context(), Query{})
	if rep.Redis.OK || rep.Redis.Alone || rep.Lease != (Lease{}) || len(rep.Namespaces) != 1 || rep.Totals.Sockets != 2 || len(rep.Nodes) != 1 {
		t.Errorf("report %+v", rep)
	}
	if len(rep.Problems) != 1 || !strings.HasPrefix(rep.Problems[0], "Redis has not answered for 12 s") {
		t.Errorf("problems %q", rep.Problems)
	}
}

// Answers are never all or nothing: those who did not answer are named.
func TestCollector_NamesWhoDidNotAnswer(t *testing.T) {
	f := wellNode()
	f.states = []cluster.NamespaceState{{FullName: "/x", Nodes: map[string]int{"a": 1, "b": 1, "c": 1}}}
	f.clients = map[string][]Client{"/x": {{ID: "1", Node: "a", Rooms: []string{"r"}}}}
	f.asked = func(_ *namespace.Message, each func(namespace.Answer)) error {
		each(namespace.Answer{Node: "b", Sockets: []namespace.SocketInfo{{ID: "2", Rooms: []string{"r", "2"}}}})
		return fmt.Errorf("bus: %w", &namespace.MissingError{Nodes: []string{"c"}})
	}
	rep := f.collector(false).Collect(t.Context(), Query{Namespace: "/x"})
	if n := rep.Namespaces[0]; len(n.Clients) != 2 || len(n.Rooms) != 1 || n.Rooms[0].Sockets != 2 || len(rep.Missing) != 1 || rep.Missing[0] != "c" {
		t.Errorf("%+v, missing %q", n, rep.Missing)
	}
	f.asked = func(*namespace.Message, func(namespace.Answer)) error { return errors.New("not sent") }
	rep = f.collector(false).Collect(t.Context(), Query{Namespace: "/x"})
	if len(rep.Namespaces[0].Clients) != 1 || !slices.Equal(rep.Missing, []string{"b", "c"}) {
		t.Errorf("%+v, missing %q", rep.Namespaces[0], rep.Missing)
	}
}

// A node alone pages, searches and lists what expires as a cluster does.
func TestCollector_Alone(t *testing.T) {
	now := time.Now()
	f := new(fakeNode)
	for i := range 25 {
		f.infos = append(f.infos, namespace.Info{
			FullName: fmt.Sprintf("/Room-%02d", i), Retirement: time.Duration(100-i) * time.Minute, Emptied: now,
		})
	}
	f.infos = append(f.infos, namespace.Info{FullName: "/other", Sockets: 3}, namespace.Info{FullName: "/kept", Permanent: true, Emptied: now})
	c := f.collector(true)
	var got []string
	for q := (Query{Limit: 10, Search: "ROOM"}); ; {
		rep := c.Collect(t.Context(), q)
		for _, n := range rep.Namespaces {
			got = append(got, n.FullName)
		}
		if q.After = rep.Next; q.After == "" {
			break
		}
	}
	if len(got) != 25 || !slices.IsSorted(got) {
		t.Errorf("search finds %q", got)
	}
	rep := c.Collect(t.Context(), Query{Limit: 5})
	if len(rep.Expiring) != 10 || rep.Expiring[0].FullName != "/Room-24" || rep.Totals.Empty != 25 || rep.Totals.Namespaces != 27 || rep.Lease.HeldMS < 59_000 || !rep.Redis.Alone {
		t.Errorf("expiring %+v, totals %+v, lease %+v", rep.Expiring, rep.Totals, rep.Lease)
	}
}

// However many ask, a few questions at a time go to Redis, and all are answered; a Redis that
// hangs holds none of them for longer than a second.
func TestCollector_AFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := wellNode()
		f.hang = true
		c := f.collector(false)
		begun := time.Now()
		var answered atomic.Int32
		for range 10 {
			go func() {
				if rep := c.Collect(context.Background(), Query{}); !rep.Redis.OK && len(rep.Problems) == 1 {
					answered.Add(1)
				}
			}()
		}
		gone, leave := context.WithCancel(t.Context())
		go func() { c.Collect(gone, Query{}) }()
		synctest.Wait()
		if n := f.asking.Load(); n != collectAtOnce {
			t.Errorf("%d questions to Redis at a time, want %d", n, collectAtOnce)
		}
		leave()
		time.Sleep(3 * collectTimeout)
		synctest.Wait()
		if n := answered.Load(); n != 10 {
			t.Errorf("%d of 10 answered after %v", n, time.Since(begun))
		}
	})
}

func TestCollector_Actions(t *testing.T) {
	f := new(fakeNode)
	c := f.collector(true)
	for err, want := range map[error]error{
		nil: nil, namespace.ErrUnknown: ErrNotFound, namespace.ErrOccupied: ErrOccupied, namespace.ErrPermanent: ErrPermanent, cluster.ErrAway: cluster.ErrAway,
	} {
		if f.dismiss = err; !errors.Is(c.Retire(t.Context(), "/x"), want) {
			t.Errorf("%v becomes %v", err, c.Retire(t.Context(), "/x"))
		}
	}
	if err := c.Disconnect(t.Context(), "/x", "1"); err == nil || err.Error() != "/x 1" {
		t.Errorf("disconnect: %v", err)
	}
	if err := c.Disconnect(t.Context(), "/x", ""); err == nil || err.Error() == "/x " {
		t.Error("no id means a room of that name, or everybody")
	}
}

// A permanent namespace in which only another node has been counts once, on whatever page.
func TestCollector_CountsAPermanentNamespaceOnce(t *testing.T) {
	f := wellNode()
	f.infos = []namespace.Info{{FullName: "/kept", Name: "/kept", Permanent: true}}
	f.states = []cluster.NamespaceState{{FullName: "/kept", Epoch: 1, Permanent: true}}
	for _, q := range []Query{{}, {After: "/later"}, {Namespace: "/other"}, {Search: "other"}, {Namespace: "/kept"}} {
		if got := f.collector(false).Collect(t.Context(), q).Totals.Namespaces; got != 2 {
			t.Errorf("%+v: %d namespaces, want 2", q, got)
		}
	}
	f.states = nil // nobody has been in it
	if got := f.collector(false).Collect(t.Context(), Query{After: "/later"}).Totals.Namespaces; got != 3 {
		t.Errorf("%d namespaces, want 3", got)
	}
}
