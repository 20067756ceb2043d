package bus

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// logText collects a log. Its methods may be called from any goroutine.
type logText struct {
	mu   sync.Mutex // guards text; a leaf
	text strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// logged has a bus write its log there.
func (l *logText) logged(o *Options) { o.Logger = slog.New(slog.NewTextHandler(l, nil)) }

// Clusters under one prefix hear each other's broadcasts, and so each is told of the other. Under prefixes
// of their own, as they have by default, they do neither.
func TestBus_ClustersOfOnePrefixNoticeEachOther(t *testing.T) {
	s := redistest.Start(t)
	of := func(cluster, prefix string) func(*Options) {
		return func(o *Options) { o.Cluster, o.Prefix, o.ProbeInterval = cluster, prefix, 10*time.Millisecond }
	}
	log := &logText{}
	prod := start(t, s, "p1", of("prod", ""), log.logged)
	prod2 := start(t, s, "p2", of("prod", ""))
	staging, staging2 := start(t, s, "s1", of("staging", "")), start(t, s, "s2", of("staging", ""))
	for _, n := range []*testNode{prod, prod2, staging, staging2} {
		n.enter("/x")
	}
	prod.publish(broadcast("/x", "to production"))
	prod2.messages(1)
	staging.expect(staging2, "/x") // and nothing before
	if said := append(prod.Neighbors(), staging.Neighbors()...); said != nil || log.count("another cluster") != 0 {
		t.Errorf("%q; the log: %s", said, &log.text)
	}

	other := start(t, s, "o1", of("other", PrefixFor("prod")))
	const want = "Cluster other (node o1) uses the bus prefix socket.io-prod, too: the two hear each other's broadcasts."
	for _, n := range []*testNode{prod, prod2} {
		eventually(t, "noticed", func() bool { return strings.HasPrefix(strings.Join(n.Neighbors(), "\n"), want) })
	}
	eventually(t, "it notices, too", func() bool { return strings.Contains(strings.Join(other.Neighbors(), "\n"), "Cluster prod (node p") })
	time.Sleep(2 * announceEvery * 10 * time.Millisecond) // it is heard again
	if n := log.count("another cluster uses the same prefix"); n != 1 {
		t.Errorf("%d warnings, want one", n)
	}
	if got := staging.Neighbors(); got != nil {
		t.Errorf("staging: %q", got)
	}
	other.Bus.cancel()
	eventually(t, "forgotten", func() bool { return prod.Neighbors() == nil })
}

// What was published by @socket.io/redis-streams-adapter 0.3.1 for fetchSockets, serverSideEmit and a broadcast with
// acknowledgements, and by the sharded adapter.
const (
	streamsFetch  = "\x84\xa4type\x07\xa4data\x82\xa4opts\x82\xa5rooms\x90\xa6except\x90\xa9requestId\xb031fa2d2f59cf2b85\xa3uid\xb076e2de84715a8e3c\xa3nsp\xa2/x"
	streamsSSE    = "\x84\xa4type\x09\xa4data\x81\xa6packet\x92\xa3sse\x01\xa3uid\xb076e2de84715a8e3c\xa3nsp\xa2/x"
	shardedFetch  = `{"type":7,"data":{"opts":{"rooms":[],"except":[]},"requestId":"31fa2d2f59cf2b85"},"uid":"76e2de84715a8e3c","nsp":"/x"}`
	someOtherJSON = `{"type":"hello"}`
)

// A server whose adapter is not spoken here is recognised, named once, counted, and on the status page
// for as long as it is heard.
func TestBus_NamesForeignAdapters(t *testing.T) {
	s := redistest.Start(t)
	log := &logText{}
	a := start(t, s, "a", log.logged, func(o *Options) { o.ProbeInterval = 10 * time.Millisecond })
	a.enter("/x")
	c := s.Client()
	publish := func(payload string, times int) {
		for range times {
			if err := c.Publish(t.Context(), "socket.io#/x#", payload).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(streamsFetch, 3)
	publish(streamsSSE, 1)
	publish(shardedFetch, 2)
	publish(someOtherJSON, 1)
	eventually(t, "counted", func() bool {
		st := a.Stats()
		return st.Dropped["foreign"] == 6 && st.Dropped["malformed"] == 1
	})
	for _, adapter := range []string{"@socket.io/redis-streams-adapter", "createShardedAdapter"} {
		if n := log.count("Servers with "+adapter) + log.count("Servers with the sharded adapter ("+adapter); n != 1 {
			t.Errorf("%s is named %d times in the log, want once:\n%s", adapter, n, &log.text)
		}
		if said := strings.Join(a.Neighbors(), "\n"); !strings.Contains(said, adapter) || !strings.Contains(said, "--bus-prefix") {
			t.Errorf("%s is not in %q", adapter, said)
		}
	}
	eventually(t, "they have gone", func() bool { return a.Neighbors() == nil })
}

func FuzzParseAnnouncement(f *testing.F) {
	for _, s := range []string{"default\nnode-a", "", "\n", "a\n\n", "a\nb\nc", strings.Repeat("x", 500), "a\n\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		cluster, node, ok := parseAnnouncement(payload)
		if ok && (cluster == "" || node == "" || len(cluster)+len(node) > 2*maxAnnounced || strings.ContainsAny(cluster+node, "\n\x00")) {
			t.Fatalf("%q: %q %q", payload, cluster, node)
		}
	})
}
