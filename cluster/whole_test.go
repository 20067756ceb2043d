package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/namespace/frame"
)

// whole is some nodes, each with all of a [Cluster] and a registry, and one socket of each
// in one namespace.
type whole struct {
	testing.TB
	ctx   context.Context
	nodes []*wholeNode
	sent  int // events so far; each has a number
}

// wholeName is the namespace, of a virtual host.
const wholeName = "//host.com/x"

// wholeRetirement is how long it stays empty.
const wholeRetirement = 200 * time.Millisecond

type wholeNode struct {
	*Cluster
	t   testing.TB
	id  string
	reg *namespace.Registry

	peer    *wholePeer
	expired atomic.Int64 // times that OnExpire was called
	decided atomic.Int64 // times that OnRetire was called
}

// wholePeer is a client's connection, of which everything that is sent is kept.
type wholePeer struct {
	id     string
	client *namespace.Client

	mu     sync.Mutex // guards the rest
	got    []string
	closed string // why
}

func (p *wholePeer) ID() string        { return p.id }
func (p *wholePeer) Protocol() int     { return 4 }
func (p *wholePeer) Transport() string { return "websocket" }
func (p *wholePeer) Reserve(int) bool  { return true }
func (p *wholePeer) Release(int)       {}

func (p *wholePeer) Send(f *frame.Frame, _ frame.Flags) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, string(f.Part(0).Data))
	return true
}

func (p *wholePeer) Close(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = reason
}

// count is how many frames begin like this.
func (p *wholePeer) count(prefix string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.got {
		if strings.HasPrefix(f, prefix) {
			n++
		}
	}
	return n
}

func (p *wholePeer) frames() (got []string, closed string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got), p.closed
}

// openWhole starts nodes under a URL, and waits until all are ready.
func openWhole(t testing.TB, url string, n int) *whole {
	t.Helper()
	w := &whole{TB: t, ctx: limit(t)}
	for i := range n {
		w.nodes = append(w.nodes, openNode(t, url, fmt.Sprint("node-", i)))
	}
	w.ready()
	return w
}

func openNode(t testing.TB, redisURL, id string) *wholeNode {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	c, err := Open(Config{Redis: redisURL, Node: id, NodeTTL: memberTTL, LeaseTTL: memberTTL, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	n := &wholeNode{Cluster: c, t: t, id: id}
	n.reg, err = namespace.New(namespace.Options{
		Cluster: c, NodeID: id, Host: namespace.Exact("main.com"), Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.close)
	n.reg.Setup("*", func(ns *namespace.Namespace, _ namespace.Match) error {
		ns.SetRetirement(wholeRetirement)
		ns.OnExpire(func() { n.expired.Add(1) })
		return nil
	})
	n.reg.OnRetire(func(string, uint64) { n.decided.Add(1) })
	return n
}

func (n *wholeNode) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := n.reg.Close(ctx); err != nil {
		n.t.Errorf("%s: registry: %v", n.id, err)
	}
	if err := n.Close(ctx); err != nil {
		n.t.Errorf("%s: cluster: %v", n.id, err)
	}
}

// until waits for something that comes about by itself.
func (w *whole) until(what string, true func() bool) {
	w.Helper()
	for ; !true(); time.Sleep(5 * time.Millisecond) {
		if w.ctx.Err() != nil {
			for _, n := range w.nodes {
				m, b := n.Stats()
				w.Logf("%s: ready %v, member %+v, bus %+v", n.id, n.Ready(), m, b)
			}
			w.Fatal("never: ", what)
		}
	}
}

func (w *whole) ready() {
	w.Helper()
	for _, n := range w.nodes {
		w.until(n.id+" is ready", func() bool { return n.Ready() == nil && n.bus.Connected() })
	}
}

// connect lets a client of each node into the namespace.
func (w *whole) connect() {
	w.Helper()
	for _, n := range w.nodes {
		p := &wholePeer{id: "connection-of-" + n.id}
		var err error
		p.client, err = n.reg.Accept(p, &namespace.Handshake{
			Header: http.Header{}, URL: &url.URL{Path: "/socket.io/"}, Host: "host.com", Time: time.Now(),
		})
		if err != nil {
			w.Fatal(err)
		}
		n.peer = p
		if err := p.client.Receive([]byte("0/x,"), false); err != nil {
			w.Fatal(err)
		}
		w.until("a client of "+n.id+" is in", func() bool { return p.count(`0/x,{"sid"`) == 1 })
	}
}

// cross has every node emit to all, and to a room that only the last node's socket is in.
// Every event gets to whom it is for.
func (w *whole) cross() {
	w.Helper()
	last := w.nodes[len(w.nodes)-1]
	room := fmt.Sprint("room", w.sent)
	if err := last.reg.Lookup(wholeName).Sockets()[0].Join(room); err != nil {
		w.Fatal(err)
	}
	for _, n := range w.nodes {
		all, one := w.event(), w.event()
		ns := n.reg.Lookup(wholeName)
		if err := ns.Emit(all); err != nil {
			w.Fatal(err)
		}
		if err := ns.To(room).Emit(one); err != nil {
			w.Fatal(err)
		}
		for _, to := range w.nodes {
			w.until(all+" of "+n.id+" is at "+to.id, func() bool { return to.peer.count(eventFrame(all)) == 1 })
		}
		w.until(one+" of "+n.id+" is in the room", func() bool { return last.peer.count(eventFrame(one)) == 1 })
	}
}

// event is a name that no other event has.
func (w *whole) event() string { w.sent++; return fmt.Sprintf("event%d", w.sent) }

func eventFrame(name string) string { return `2/x,["` + name + `"]` }

// ask has every node ask the others for their sockets.
func (w *whole) ask() {
	w.Helper()
	for _, n := range w.nodes {
		ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
		sockets, err := n.reg.Lookup(wholeName).FetchSockets(ctx)
		cancel()
		if err != nil || len(sockets) != len(w.nodes) {
			w.Errorf("%s fetched %d sockets, want %d: %v", n.id, len(sockets), len(w.nodes), err)
		}
	}
}

// agree waits until the directory and all nodes are of one mind about the namespace.
func (w *whole) agree() {
	w.Helper()
	w.until("all agree on "+wholeName, func() bool {
		s, ok, err := w.nodes[0].Directory().Namespace(w.ctx, wholeName)
		if err != nil || !ok || len(s.Nodes) != len(w.nodes) || !s.Emptied.IsZero() {
			return false
		}
		for _, n := range w.nodes {
			if ns := n.reg.Lookup(wholeName); ns == nil || ns.Epoch() != s.Epoch {
				return false
			}
		}
		return true
	})
}

// undisturbed checks that no client has noticed anything: none was dropped, nothing came twice, and
// nothing but its admission and events came.
func (w *whole) undisturbed() {
	w.Helper()
	for _, n := range w.nodes {
		frames, closed := n.peer.frames()
		if closed != "" || n.expired.Load() != 0 {
			w.Errorf("%s: connection closed: %q, namespace expired %d times", n.id, closed, n.expired.Load())
		}
		seen := make(map[string]bool)
		for i, f := range frames {
			if seen[f] || i > 0 && !strings.HasPrefix(f, `2/x,["event`) {
				w.Errorf("%s: frame %d is %q, seen before: %v", n.id, i, f, seen[f])
			}
			seen[f] = true
		}
	}
}

// retire has all clients leave. The namespace is gone everywhere, told once on each node and decided once.
func (w *whole) retire() {
	w.Helper()
	for _, n := range w.nodes {
		n.peer.client.Closed("transport close")
	}
	w.until(wholeName+" is retired", func() bool {
		decided := int64(0)
		for _, n := range w.nodes {
			if n.reg.Lookup(wholeName) != nil || n.expired.Load() == 0 {
				return false
			}
			decided += n.decided.Load()
		}
		return decided > 0
	})
	if _, ok, err := w.nodes[0].Directory().Namespace(w.ctx, wholeName); ok || err != nil {
		w.Errorf("the directory still has it: %v, %v", ok, err)
	}
	decided := int64(0)
	for _, n := range w.nodes {
		decided += n.decided.Load()
		if n.expired.Swap(0) != 1 {
			w.Errorf("%s: it did not expire once", n.id)
		}
		n.decided.Store(0)
	}
	if decided != 1 {
		w.Errorf("decided %d times", decided)
	}
}

// life goes through everything once.
func (w *whole) life() {
	w.Helper()
	w.connect()
	w.agree()
	w.cross()
	w.ask()
	w.watch()
	w.undisturbed()
	w.retire()
}

// watch looks at the cluster as the status page does, and emits as a process that is no node.
func (w *whole) watch() {
	w.Helper()
	n := w.nodes[0]
	if o, err := n.Directory().Overview(w.ctx); err != nil || len(o.Nodes) != len(w.nodes) || o.Namespaces != 1 {
		w.Errorf("overview %+v, %v", o, err)
	}
	if page, err := n.Directory().Namespaces(w.ctx, PageQuery{}); err != nil || len(page.Namespaces) != 1 {
		w.Errorf("page %+v, %v", page, err)
	}
	e, err := NewEmitter(n.client, EmitterOptions{})
	if err != nil {
		w.Fatal(err)
	}
	name := w.event()
	if _, err := e.Emit(w.ctx, wholeName, nil, name); err != nil {
		w.Error(err)
	}
	if servers, err := e.Emit(w.ctx, wholeName, []string{}, "none"); err != nil || servers != 0 {
		w.Errorf("an event to an empty list of rooms went to %d servers, %v", servers, err)
	}
	for _, to := range w.nodes {
		w.until(name+" of the emitter is at "+to.id, func() bool { return to.peer.count(eventFrame(name)) == 1 })
	}
}
