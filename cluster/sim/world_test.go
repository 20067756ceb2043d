package sim

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/proto"

	"github.com/dynamicio/dynamicio/cluster"
	"github.com/dynamicio/dynamicio/namespace"
)

// Times of the simulated cluster. They are the defaults of the program, but for
// the retirement, which is short so that much retires.
const (
	nodeTTL    = 10 * time.Second
	leaseTTL   = 5 * time.Second
	retirement = 3 * time.Second
)

// world is one simulated cluster. The bubble's main goroutine steps it; the nodes'
// goroutines reach it through the oracle.
type world struct {
	testing.TB
	*oracle
	begun time.Time
	rnd   *rand.Rand // of the main goroutine
	log   *trace

	mu    sync.Mutex // guards what follows
	redis *server    // where the address leads; nil: nobody listens

	lives   int
	dead    []*server // which may still have connections
	saved   dump
	nodes   []*node // alive ones
	started int     // nodes so far
	clients []*client
	closing sync.WaitGroup // nodes on their way out

	connections int
	timers      []timer // of the main goroutine, in order
	looked      time.Time
}

// trace is what happened, for a seed that fails.
type trace struct {
	mu    sync.Mutex // guards what follows
	begun time.Time
	lines []string
}

func (t *trace) add(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, fmt.Sprintf("%9.3fs  ", time.Since(t.begun).Seconds())+fmt.Sprintf(format, args...))
}

func (t *trace) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}

// Write takes the log of the nodes, a line a call.
func (t *trace) Write(line []byte) (int, error) {
	t.add("    %s", strings.TrimSpace(string(line)))
	return len(line), nil
}

// newWorld begins a world with a Redis and no nodes. verbose adds the nodes' own log to the trace.
func newWorld(t testing.TB, seed uint64, verbose bool) *world {
	now := time.Now()
	w := &world{TB: t, begun: now, looked: now, rnd: rand.New(rand.NewPCG(seed, 1)), log: &trace{begun: now}}
	w.oracle = newOracle(w, w.log)
	if err := w.startRedis(nil); err != nil {
		t.Fatal(err)
	}
	w.logger = slog.New(slog.DiscardHandler)
	if verbose {
		w.logger = slog.New(slog.NewTextHandler(io.Writer(w.log), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return w
}

// server is where the address of Redis leads, nil if nowhere.
func (w *world) server() *server {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.redis
}

func (w *world) setServer(s *server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.redis = s
}

// startRedis begins another life of Redis, with what a dump has.
func (w *world) startRedis(data dump) error {
	w.lives++
	s, err := startServer(w.lives, data)
	if err == nil {
		w.setServer(s)
	}
	return err
}

// stopRedis kills the process. Its connections break.
func (w *world) stopRedis() {
	if s := w.server(); s != nil {
		w.setServer(nil)
		s.stop()
	}
}

// node is one process of the cluster.
type node struct {
	*host
	w       *world
	cluster *cluster.Cluster
	reg     *namespace.Registry
}

// start starts a node under a name that no live node has.
func (w *world) start(name string) {
	n := &node{host: newHost(name), w: w}
	logger := w.logger.With("node", name)
	var err error
	n.cluster, err = cluster.Open(cluster.Config{
		Redis: "redis://redis:6379", Node: name, NodeTTL: nodeTTL, LeaseTTL: leaseTTL, Logger: logger,
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) { return n.dial(ctx, w) },
	})
	if err != nil {
		w.Fatal(err)
	}
	n.reg, err = namespace.New(namespace.Options{Cluster: n.cluster, NodeID: name, Retirement: retirement, Logger: logger})
	if err != nil {
		w.Fatal(err)
	}
	n.reg.OnRetire(func(full string, epoch uint64) { w.retired(n, full, epoch) })
	n.reg.Setup("*", func(ns *namespace.Namespace, _ namespace.Match) error {
		w.setUp(n, ns)
		return nil
	})
	w.started++
	w.nodes = append(w.nodes, n)
	w.noteNodes()
}

// remove takes a node off the list of live ones, with its clients.
func (w *world) remove(n *node) {
	for i := range w.nodes {
		if w.nodes[i] == n {
			w.nodes = append(w.nodes[:i:i], w.nodes[i+1:]...)
			break
		}
	}
	for _, c := range w.clients {
		if c.node == n {
			c.lose()
		}
	}
	w.noteNodes()
}

// stop stops a node as SIGTERM does.
func (w *world) stop(n *node) {
	w.leaving(n)
	w.remove(n)
	w.closing.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		n.close(ctx)
	})
}

// kill ends a node as SIGKILL does: from one moment to the next nothing of it gets
// anywhere. What is left of it in this process is cleared away.
func (w *world) kill(n *node) {
	w.leaving(n)
	n.vanish()
	w.remove(n)
	w.closing.Go(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		n.close(ctx)
	})
}

func (n *node) close(ctx context.Context) {
	n.cluster.Drain()
	_ = n.reg.Close(ctx)
	_ = n.cluster.Close(ctx)
}

// end stops everything, when the oracle has seen what it wants.
func (w *world) end() {
	for len(w.nodes) > 0 {
		w.stop(w.nodes[0])
	}
	w.closing.Wait()
}

// command runs a command, past the network.
func (w *world) command(args ...string) {
	c, err := w.server().mini.Dial()
	if err != nil {
		w.Fatal(err)
	}
	client := proto.NewClient(c)
	defer client.Close()
	if _, err := client.Do(args...); err != nil {
		w.Fatal(err)
	}
}

// endRedis stops all servers.
func (w *world) endRedis() {
	w.stopRedis()
	for _, s := range w.dead {
		s.stop()
	}
}
