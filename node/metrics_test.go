package node_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/dynamicio/dynamicio/cluster"
	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// series are the samples of one scrape, by name with labels as they are written.
type series map[string]float64

// scrape asks a node for its metrics, as Prometheus does.
func (s *testServer) scrape() series {
	s.t.Helper()
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil)); w.Code != http.StatusOK {
		s.t.Fatalf("/metrics: %d %s", w.Code, w.Body)
	}
	all := make(series)
	for line := range strings.Lines(w.Body.String()) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			s.t.Fatalf("/metrics has the line %q", line)
		}
		all[strings.TrimPrefix(line[:i], "dynamicio_")] = v
	}
	return all
}

// counts waits until the metrics have these values. Most follow what a client sees
// at once; some a moment later.
func (s *testServer) counts(want series) {
	s.t.Helper()
	var wrong []string
	end := time.Now().Add(patience)
	for {
		got := s.scrape()
		wrong = wrong[:0]
		for name, v := range want {
			if have, ok := got[name]; !ok || have != v {
				wrong = append(wrong, fmt.Sprintf("%s is %v, want %v", name, have, v))
			}
		}
		if len(wrong) == 0 {
			return
		}
		if time.Now().After(end) {
			s.t.Fatal(strings.Join(wrong, "\n"))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestMetrics_ConnectionsAndSockets(t *testing.T) {
	s := start(t, node.Options{})
	s.SetupNamespace("*", accept)
	a, b := s.connect(how{}), s.connect(how{polling: true})
	a.join("/")
	a.join("/x")
	b.join("/x")
	s.counts(series{
		`connections{transport="websocket"}`: 1, `connections{transport="polling"}`: 1, "handshakes_total": 2, "upgrades_total": 0,
		"sockets": 3, "connects_total": 3, `disconnects_total{reason="transport_close"}`: 0,
		`namespaces{state="occupied"}`: 2, `namespaces{state="empty"}`: 0, "ready": 1, "draining": 0,
	})
	a.close()
	s.counts(series{
		`connections{transport="websocket"}`: 0, `connections{transport="polling"}`: 1, "handshakes_total": 2,
		"sockets": 1, "connects_total": 3, `disconnects_total{reason="transport_close"}`: 2, `disconnects_total{reason="other"}`: 0,
		`namespaces{state="occupied"}`: 1, `namespaces{state="empty"}`: 1,
	})
	s.Drain()
	s.counts(series{"ready": 0, "draining": 1})
}

func TestMetrics_Refusals(t *testing.T) {
	s := start(t, node.Options{Limits: namespace.Options{MaxNamespaces: 4, MaxConnectionNamespaces: 2}})
	s.SetupNamespace("/open", accept)
	s.SetupNamespace("/more", accept)
	s.SetupNamespace("/shut", func(*namespace.Namespace, namespace.Match) error { return errors.New("no") })
	s.SetupNamespace("/guarded", func(ns *namespace.Namespace, _ namespace.Match) error {
		ns.Use(func(context.Context, *namespace.Socket) error { return errors.New("no") })
		return nil
	})
	c := s.connect(how{})
	c.refused("//evil")
	c.refused("/unknown")
	c.refused("/shut")
	c.refused("/guarded")
	c.join("/open")
	c.join("/")
	c.refused("/more")
	d := s.connect(how{})
	d.join("/more")
	s.SetupNamespace("/last", accept)
	d.refused("/last")
	want := series{}
	for _, reason := range []string{"invalid_name", "unknown_namespace", "setup", "middleware", "too_many", "node_limit"} {
		want[`connects_refused_total{reason="`+reason+`"}`] = 1
	}
	want[`connects_refused_total{reason="unavailable"}`] = 0

	s.get("/socket.io/?EIO=4&transport=carrier-pigeon", "")
	s.get("/socket.io/?EIO=4&transport=polling&sid=nobody", "")
	want[`requests_refused_total{reason="unknown_transport"}`] = 1
	want[`requests_refused_total{reason="unknown_sid"}`] = 1
	s.Drain()
	s.get("/socket.io/?EIO=4&transport=polling", "")
	want[`requests_refused_total{reason="draining"}`] = 1
	s.counts(want)
}

func TestMetrics_Events(t *testing.T) {
	s := start(t, node.Options{})
	s.SetupNamespace("/x", func(ns *namespace.Namespace, _ namespace.Match) error {
		ns.On("all", func(_ context.Context, e *namespace.Event) error { return ns.Emit("hello", "1234567890") })
		ns.On("back", func(_ context.Context, e *namespace.Event) error { return e.Socket().Emit("hello", 1) })
		ns.On("oops", func(context.Context, *namespace.Event) error { panic("oops") })
		return nil
	})
	a, b := s.connect(how{}), s.connect(how{})
	a.join("/x")
	b.join("/x")
	s.counts(series{"sent_messages_total": 2}) // what has arrived may not have been counted yet
	before := s.scrape()
	a.send(`2/x,["all"]`)
	a.want(`2/x,["hello","1234567890"]`)
	b.want(`2/x,["hello","1234567890"]`)
	a.send(`2/x,["back"]`)
	a.want(`2/x,["hello",1]`)
	a.send(`2/x,["oops"]`)
	s.counts(series{
		"received_events_total": 3, "broadcasts_total": 1, "delivered_events_total": 3, "panics_total": 1,
		"received_messages_total": before["received_messages_total"] + 3,
		"sent_messages_total":     before["sent_messages_total"] + 3,
		"received_bytes_total":    before["received_bytes_total"] + 12 + 13 + 13,
		// The header of a WebSocket frame has two bytes.
		"sent_bytes_total": before["sent_bytes_total"] + 2*(2+27) + (2 + 16),
	})
}

func TestMetrics_NamespacesComeAndGo(t *testing.T) {
	s := start(t, node.Options{Retirement: time.Millisecond})
	s.SetupNamespace("*", accept)
	c := s.connect(how{})
	for i := range 5 {
		c.join(fmt.Sprint("/", i))
	}
	s.counts(series{`namespaces{state="occupied"}`: 5, `namespaces{state="empty"}`: 1, "namespaces_created_total": 6})
	c.close()
	s.counts(series{
		`namespaces{state="occupied"}`: 0, `namespaces{state="empty"}`: 1,
		"namespaces_created_total": 6, "namespaces_retired_total": 5,
	})
}

// What waits for a client that does not read, and what becomes of it.
func TestMetrics_SendQueue(t *testing.T) {
	s := startInBubble(t, node.Options{MaxQueue: 100_000}) // a pipe holds nothing: the first write waits
	s.SetupNamespace("/x", accept)
	conn, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	r := bufio.NewReader(conn)
	for line := "x"; strings.TrimSpace(line) != ""; {
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if err := (&client{link: &link{conn: conn}}).write("40/x,"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the socket is in", func() bool { ns := s.Registry().Lookup("/x"); return ns != nil && ns.SocketCount() == 1 })
	s.counts(series{"send_queue_clients": 1, "slow_clients_closed_total": 0})

	ns := s.Registry().Lookup("/x")
	before := s.scrape()
	payload := strings.Repeat("x", 10_000)
	for range 3 {
		if err := ns.Emit("e", payload); err != nil {
			t.Fatal(err)
		}
	}
	if err := ns.All().Volatile().Emit("e", payload); err != nil {
		t.Fatal(err)
	}
	after := s.scrape()
	if grown := after["send_queue_bytes"] - before["send_queue_bytes"]; grown < 30_000 || grown > 31_000 {
		t.Errorf("30,000 bytes more wait, counted are %v", grown)
	}
	if after["send_queue_max_bytes"] != after["send_queue_bytes"] || after["send_queue_packets"]-before["send_queue_packets"] != 3 {
		t.Errorf("the queue is counted as %v bytes at most, and %v packets more", after["send_queue_max_bytes"], after["send_queue_packets"]-before["send_queue_packets"])
	}
	s.counts(series{"volatile_dropped_total": 1})
	for range 10 {
		_ = ns.Emit("e", payload)
	}
	s.counts(series{"slow_clients_closed_total": 1, "send_queue_bytes": 0, "send_queue_clients": 0, "sockets": 0})
}

func TestMetrics_PendingEvents(t *testing.T) {
	s := start(t, node.Options{})
	enter, leave := make(chan struct{}), make(chan struct{})
	s.SetupNamespace("/x", func(ns *namespace.Namespace, _ namespace.Match) error {
		ns.On("wait", func(context.Context, *namespace.Event) error {
			enter <- struct{}{}
			<-leave
			return nil
		})
		return nil
	})
	c := s.connect(how{})
	c.join("/x")
	c.send(`2/x,["wait"]`)
	<-enter
	c.send(`2/x,["nobody",1234567890]`, `2/x,["nobody",1234567890]`)
	s.counts(series{"pending_events": 2})
	// Each takes the memory of its payload and of an entry in the queue.
	if bytes := s.scrape()["pending_events_bytes"]; bytes < 2*200 || bytes > 2*1000 {
		t.Errorf("two small events are counted as %v bytes", bytes)
	}
	close(leave)
	s.counts(series{"pending_events": 0, "pending_events_bytes": 0, "received_events_total": 3})
}

// startCluster runs nodes that meet in a Redis of their own.
func startCluster(t *testing.T, n int) (*redistest.Server, []*testServer) {
	redis := redistest.Start(t)
	var all []*testServer
	for i := range n {
		s := start(t, node.Options{
			Redis: redis.URL(), NodeID: fmt.Sprint("n", i), NodeTTL: 2 * time.Second, LeaseTTL: time.Second,
			Retirement: 10 * time.Millisecond,
		})
		s.SetupNamespace("*", accept)
		all = append(all, s)
	}
	for _, s := range all {
		s.counts(series{"ready": 1, "registered": 1, "bus_connected": 1})
	}
	return redis, all
}

func TestMetrics_Cluster(t *testing.T) {
	_, nodes := startCluster(t, 2)
	a, b := nodes[0], nodes[1]
	waitFor(t, "one node holds the lease", func() bool { return a.scrape()["lease_held"]+b.scrape()["lease_held"] == 1 })
	for _, s := range nodes {
		got := s.scrape()
		if n := got[`redis_command_duration_seconds_count{operation="lease_acquire"}`]; n < 1 {
			t.Errorf("told of %v candidacies", n)
		}
		if held, token := got["lease_held"], got["lease_token"]; (held == 1) != (token > 1e15) {
			t.Errorf("lease_held is %v with the token %v", held, token)
		}
		for _, name := range []string{"heartbeat_age_seconds", "bus_probe_age_seconds", "bus_probe_latency_seconds"} {
			if v := got[name]; v <= 0 || v > patience.Seconds() {
				t.Errorf("%s is %v", name, v)
			}
		}
	}

	ca, cb := a.connect(how{}), b.connect(how{})
	ca.join("/x")
	cb.join("/x")
	before := b.scrape()
	if err := a.Registry().Lookup("/x").Emit("hello", strings.Repeat("x", 1000)); err != nil {
		t.Fatal(err)
	}
	cb.next()
	after := b.scrape()
	if n := after["bus_delivered_messages_total"] - before["bus_delivered_messages_total"]; n != 1 {
		t.Errorf("%v messages carried out, want 1", n)
	}
	if n := after["bus_received_bytes_total"] - before["bus_received_bytes_total"]; n < 1000 {
		t.Errorf("%v bytes received, want 1000 and more", n)
	}
	got := a.scrape()
	for _, name := range []string{
		"bus_sent_messages_total", "bus_sent_bytes_total", "bus_received_messages_total", "bus_subscriptions", "bus_subscribe_batches_total",
		"join_duration_seconds_count", "join_duration_seconds_sum", "publish_duration_seconds_count", "publish_duration_seconds_sum",
		`redis_command_duration_seconds_count{operation="register"}`, `redis_command_duration_seconds_count{operation="heartbeat"}`,
		`redis_command_duration_seconds_count{operation="join"}`, "registrations_total", "bus_namespaces",
	} {
		if got[name] <= 0 {
			t.Errorf("%s is %v", name, got[name])
		}
	}

	ca.leave("/x")
	cb.leave("/x")
	waitFor(t, "the retirement is counted", func() bool {
		x, y := a.scrape(), b.scrape()
		return x["retirements_decided_total"]+y["retirements_decided_total"] == 1 &&
			x["retirement_lateness_seconds_count"]+y["retirement_lateness_seconds_count"] == 1 &&
			x["namespaces_retired_total"] == 1 && y["namespaces_retired_total"] == 1 &&
			x["leave_duration_seconds_count"] == 1 && y["leave_duration_seconds_count"] == 1
	})
	if late := a.scrape()["retirement_lateness_seconds_sum"] + b.scrape()["retirement_lateness_seconds_sum"]; late <= 0 || late > patience.Seconds() {
		t.Errorf("it was retired %v s after its time", late)
	}
	// There from the start, so that the first error is an increase.
	for _, op := range append(cluster.Commands(), "publish", "subscribe") {
		if _, ok := a.scrape()[`redis_errors_total{operation="`+op+`"}`]; !ok {
			t.Errorf("errors of %s have no series", op)
		}
	}
}

func TestMetrics_RedisAway(t *testing.T) {
	redis, nodes := startCluster(t, 1)
	s := nodes[0]
	waitFor(t, "the node holds the lease", func() bool { return s.scrape()["lease_held"] == 1 })
	redis.Kill()
	waitFor(t, "that Redis is away shows everywhere", func() bool {
		m := s.scrape()
		return m["registered"] == 0 && m["ready"] == 0 && m["bus_connected"] == 0 && m["lease_held"] == 0 && m["lease_token"] == 0 &&
			m["heartbeat_age_seconds"] > 1 && m["bus_probe_age_seconds"] > 1 &&
			m[`redis_errors_total{operation="register"}`] > 0 && m[`redis_errors_total{operation="subscribe"}`] > 0 &&
			m[`redis_errors_total{operation="publish"}`] > 0 && m[`redis_errors_total{operation="lease_renew"}`] > 0
	})
	redis.Restart()
	waitFor(t, "that it is back shows, too", func() bool {
		m := s.scrape()
		return m["ready"] == 1 && m["lease_held"] == 1 && m["registrations_total"] >= 2 && m["bus_reconnects_total"] >= 1 &&
			m["heartbeat_age_seconds"] < 1
	})
}

// What clients choose makes no series.
func TestMetrics_SeriesDoNotDependOnClients(t *testing.T) {
	s := start(t, node.Options{Host: namespace.Exact("main")})
	s.SetupNamespace("*", func(ns *namespace.Namespace, _ namespace.Match) error {
		ns.On("join", func(_ context.Context, e *namespace.Event) error { return e.Socket().Join("room of " + ns.FullName()) })
		return nil
	})
	names := func() []string { return slices.Sorted(maps.Keys(s.scrape())) }
	s.connect(how{}).join("/")
	before := names()
	for i := range 100 {
		c := s.connect(how{host: fmt.Sprintf("host%d", i), header: http.Header{"User-Agent": {fmt.Sprint("agent", i)}}})
		ns := fmt.Sprintf("/n%d", i)
		c.join(ns)
		c.send(`2`+ns+`,["join"]`, fmt.Sprintf(`2%s,["event%d"]`, ns, i))
		c.refused("//" + ns)
	}
	s.counts(series{"sockets": 101, "received_events_total": 200, `connects_refused_total{reason="invalid_name"}`: 100})
	if after := names(); !slices.Equal(after, before) {
		t.Errorf("there were %d series, now there are %d", len(before), len(after))
	}
}

// Scrapes and clients do not get into each other's way; the race detector looks on.
func TestMetrics_ScrapedUnderLoad(t *testing.T) {
	s := start(t, node.Options{Retirement: time.Millisecond})
	s.SetupNamespace("*", func(ns *namespace.Namespace, _ namespace.Match) error {
		ns.On("all", func(_ context.Context, e *namespace.Event) error { return ns.All().EmitArgs("all", e.Args) })
		return nil
	})
	const clients, events = 8, 200
	stop := make(chan struct{})
	var scrapes, work sync.WaitGroup
	for range 2 {
		scrapes.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					w := httptest.NewRecorder()
					s.MetricsHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
					if w.Code != http.StatusOK {
						t.Errorf("scrape: %d %s", w.Code, w.Body)
					}
				}
			}
		})
	}
	var all [clients]*client
	for i := range all {
		all[i] = s.connect(how{})
		all[i].join(fmt.Sprint("/", i%2))
	}
	for i, c := range all {
		work.Go(func() {
			for n := range events {
				if err := c.write(fmt.Sprintf(`42/%d,["all",%d]`, i%2, n)); err != nil {
					t.Errorf("send: %v", err)
				}
			}
			for range events * clients / 2 {
				if p, ok := c.receive(); !ok {
					t.Error(p)
					return
				}
			}
			c.close()
		})
	}
	work.Wait()
	close(stop)
	scrapes.Wait()
	s.counts(series{
		"received_events_total": clients * events, "delivered_events_total": clients * events * clients / 2,
		"sockets": 0, "pending_events": 0, "send_queue_bytes": 0, "namespaces_retired_total": 2,
	})
}

func TestMetrics_WhereTheyAre(t *testing.T) {
	s := start(t, node.Options{DisableMetrics: true})
	if r, _ := s.get("/metrics", ""); r.StatusCode != http.StatusNotFound {
		t.Errorf("/metrics answers %d where it is off", r.StatusCode)
	}
	w := httptest.NewRecorder()
	s.MetricsHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if body := w.Body.String(); !strings.Contains(body, "dynamicio_sockets 0\n") || !strings.Contains(body, "go_goroutines ") || !strings.Contains(body, "process_cpu_seconds_total ") {
		t.Errorf("the handler of its own answers %d %s", w.Code, body)
	}

	// Another node of the same process, both in one registry of the program's own.
	other := start(t, node.Options{NodeID: "other"})
	reg := prometheus.NewPedanticRegistry()
	prometheus.WrapRegistererWith(prometheus.Labels{"which": "a"}, reg).MustRegister(s.Collector())
	prometheus.WrapRegistererWith(prometheus.Labels{"which": "b"}, reg).MustRegister(other.Collector())
	families, err := reg.Gather()
	if err != nil || len(families) == 0 {
		t.Errorf("%d families from a registry of one's own: %v", len(families), err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "dynamicio_") {
			t.Errorf("the collector brings %s, which the program has already", f.GetName())
		}
	}
	if _, err := node.New(node.Options{Path: "/metrics"}); err == nil || !strings.Contains(err.Error(), "Options.Path") {
		t.Errorf("a path that is taken: %v", err)
	}
}

// BenchmarkScrape is one scrape of a node with so many clients.
func BenchmarkScrape(b *testing.B) {
	for _, clients := range []int{0, 1000, 5000} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			s := start(b, node.Options{})
			s.SetupNamespace("*", accept)
			for i := range clients {
				s.connect(how{}).join(fmt.Sprint("/", i%100))
			}
			h, r := s.MetricsHandler(), httptest.NewRequest(http.MethodGet, "/metrics", nil)
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}

// A program that has a registry of its own takes the node's metrics into it.
func ExampleServer_Collector() {
	srv, err := node.New(node.Options{DisableMetrics: true})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close(context.Background())
	prometheus.MustRegister(srv.Collector())
	http.Handle("/metrics", promhttp.Handler()) // with all else that the program counts
	http.Handle("/socket.io/", srv)
}
