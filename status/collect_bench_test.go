package status

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster"
	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// busy is a cluster of three nodes with that many namespaces in a real Redis, one in ten of
// them empty, some on two nodes, and one in a hundred of a virtual host. The node that collects
// has none of its own.
func busy(tb testing.TB, namespaces int) *Collector {
	srv := redistest.Start(tb)
	var dirs [3]*cluster.Directory
	for i := range dirs {
		client, err := cluster.Connect(srv.URL())
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { client.Close() })
		if dirs[i], err = cluster.New(client, cluster.Options{Node: fmt.Sprint("node-", i), NodeTTL: time.Minute}); err != nil {
			tb.Fatal(err)
		}
		fill(tb, dirs[i], i, namespaces)
	}
	return NewCollector(CollectorOptions{Cluster: "default", Node: "node-0", Local: new(fakeNode), Directory: dirs[0]})
}

func fill(tb testing.TB, d *cluster.Directory, node, namespaces int) {
	ctx := context.Background()
	s, err := d.Register(ctx, cluster.NodeInfo{Address: "10.0.0.1:8080", Version: "v1.2.3", Started: time.Now()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	var ops []cluster.Op
	var counts []cluster.Count
	for i := range namespaces {
		if i%3 != node && (i%5 != 0 || (i+1)%3 != node) {
			continue
		}
		name := fmt.Sprintf("/tenant/%d/room-%05d", i%7, i)
		if i%100 == 0 {
			name = "//h.com" + name
		}
		ops = append(ops, &cluster.Join{FullName: name, Retirement: time.Hour})
		if i%10 == 1 {
			ops = append(ops, &cluster.Leave{FullName: name, Retirement: time.Hour})
		}
		counts = append(counts, cluster.Count{FullName: name, Sockets: i % 50, Retirement: time.Hour})
	}
	for len(ops) > 0 {
		n := min(len(ops), 500)
		if err := s.Do(ctx, ops[:n]...); err != nil {
			tb.Fatal(err)
		}
		ops = ops[n:]
	}
	if err := s.Counts(ctx, counts); err != nil {
		tb.Fatal(err)
	}
	var trend Trend
	for i := range 60 {
		trend.add(int64(1000+i), 1234, 56789)
	}
	trend.StepMS = 5000
	beat := cluster.Beat{Done: true, Counters: map[string]int64{"sockets": 1000, "events_milli": 1234000}, Trend: trend.Text()}
	if err := s.Heartbeat(ctx, beat); err != nil {
		tb.Fatal(err)
	}
}

// What status.json and the page ask for; the page renders 100 namespaces.
var firstPages = map[string]Query{
	"json":  {Limit: DefaultLimit},
	"page":  {Limit: 100, Trend: true},
	"host":  {Limit: 100, Host: "h.com"},
	"q=999": {Limit: 100, Search: "999"},
	"all":   {Limit: MaxLimit},
}

func BenchmarkCollector_TenThousandNamespaces(b *testing.B) {
	c := busy(b, 10_000)
	for _, name := range []string{"json", "page", "host", "q=999", "all"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := writeFirstPage(c, firstPages[name]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func writeFirstPage(c *Collector, q Query) error {
	rep := c.Collect(context.Background(), q)
	if !rep.Redis.OK {
		return fmt.Errorf("no answer from Redis: %q", rep.Problems)
	}
	w := httptest.NewRecorder()
	w.Body = nil // what the client gets is not kept
	return rep.WriteJSON(w)
}

var _ Directory = (*cluster.Directory)(nil)
var _ Local = (*fakeNode)(nil)
