package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/dynamicio/dynamicio/cluster/wire"
)

// switched is an address that leads to one server, and later to another.
type switched struct {
	to     atomic.Pointer[redistest.Server]
	closed atomic.Bool // nobody gets through
}

func (s *switched) client(t *testing.T) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: "switched", DialerRetries: 1, Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
		if s.closed.Load() {
			return nil, errors.New("closed by the test")
		}
		return new(net.Dialer).DialContext(ctx, "tcp", s.to.Load().Addr)
	}})
	t.Cleanup(func() { c.Close() })
	return c
}

func runID(t *testing.T, s *redistest.Server) string {
	t.Helper()
	info, err := s.Client().Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if id, ok := strings.CutPrefix(line, "run_id:"); ok {
			return strings.TrimSpace(id)
		}
	}
	t.Fatal("no run_id")
	return ""
}

// After a planned failover the old master answers as before. The bus goes where the node is registered.
func TestBus_FollowsTheNodeToAnotherServer(t *testing.T) {
	old, next := redistest.Start(t), redistest.Start(t)
	var address switched
	address.to.Store(old)
	byAddress := func(o *Options) { o.Client = address.client(t) }
	a, b := start(t, old, "a", byAddress), start(t, old, "b", byAddress)
	b.enter("/x")
	b.expect(a, "/x")
	address.to.Store(next)
	for _, n := range []*testNode{a, b} {
		n.Follow(runID(t, next))
		if n.Connected() {
			t.Errorf("%s counts what it has subscribed at the old server", n.id)
		}
	}
	b.enter("/x")
	b.expect(a, "/x")
	if lines := clients(t, old.Client(), "dynamicio:"); len(lines) != 0 {
		t.Errorf("still at the old server: %v", lines)
	}
}

// An address that leads to a server which the node is not registered with is of no use.
func TestBus_RefusesAnotherServerThanTheNodes(t *testing.T) {
	s, other := redistest.Start(t), redistest.Start(t)
	a := start(t, s, "a")
	eventually(t, "connected", a.Connected)
	a.Follow(runID(t, other))
	before := a.Stats().SubscribeErrors
	eventually(t, "refused three times", func() bool { return a.Stats().SubscribeErrors > before+3 })
	if a.Connected() || a.Stats().Subscriptions > 0 {
		t.Error("connected to a server that the node is not registered with")
	}
	a.Follow("") // not registered anywhere: any server is better than none
	eventually(t, "connected again", a.Connected)
}

// What an abandoned connection brings late is dropped, for each sender and namespace on its own.
func TestBus_DropsWhatAnAbandonedConnectionBrings(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b")
	b.enter("/x")
	b.enter("/y")
	publish := func(full, uid, name string) {
		t.Helper()
		payload, err := wire.AppendBroadcast(nil, wire.Node, uid, broadcast(full, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Client().Publish(t.Context(), a.publishChannel(full), payload).Err(); err != nil {
			t.Fatal(err)
		}
	}
	const sender, node = "abcdefghijkl", "Uj_wrM"
	publish("/x", sender+"0001", "first")
	publish("/x", sender+"0002", "newer")
	publish("/x", sender+"0001", "late")
	publish("/x", "mnopqrstuvwx0001", "of another sender")
	publish("/x", node, "of another make")
	publish("/x", sender+"0002", "in order")
	b.expect(a, "/x", `0 /x 2/x,["first"]`, `0 /x 2/x,["newer"]`, `0 /x 2/x,["of another sender"]`,
		`0 /x 2/x,["of another make"]`, `0 /x 2/x,["in order"]`)
	publish("/y", sender+"0001", "not behind anything")
	b.expect(a, "/y", `0 /y 2/y,["not behind anything"]`)
	if late := b.Stats().Dropped["late"]; late != 1 {
		t.Errorf("%d late messages are counted, want 1", late)
	}
}

// Each publishing connection has a higher number than those before, in broadcasts and in commands.
func TestBus_ConnectionsAreNumbered(t *testing.T) {
	s := redistest.Start(t)
	a := start(t, s, "a")
	sub := s.Client().Subscribe(t.Context(), a.publishChannel("/x"))
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	uid := func() string {
		t.Helper()
		a.publish(broadcast("/x", "n"))
		msg, err := sub.ReceiveMessage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m, err := wire.DecodeBroadcast([]byte(msg.Payload))
		if err != nil {
			t.Fatal(err)
		}
		return m.UID
	}
	first := uid()
	kill(t, s.Client(), "dynamicio:a:publish")
	eventually(t, "noticed", func() bool { return errors.Is(a.out.current.Load().nc.SetReadDeadline(time.Time{}), net.ErrClosed) })
	second := uid()
	if first != a.uid+"0000" || second != a.uid+"0001" {
		t.Errorf("uids %q and %q, want %s with 0000 and 0001", first, second, a.uid)
	}
}

// A connection that brings messages and takes no command is given up.
func TestBus_SubscribeIsNotAwaitedForEver(t *testing.T) {
	s := redistest.Start(t)
	proxy := redistest.StartProxy(t, s.Addr)
	var mute atomic.Bool
	proxy.OnReply(func(c *redistest.ProxyConn, data []byte) bool {
		return !(mute.Load() && c.Subscribes() && strings.Contains(string(data), "subscribe\r\n"))
	})
	client := redis.NewClient(&redis.Options{Addr: proxy.Addr})
	t.Cleanup(func() { client.Close() })
	a := start(t, s, "a", func(o *Options) { o.Client, o.ReplyTimeout = client, 300*time.Millisecond })
	a.enter("/x")
	mute.Store(true)
	wait := a.Enter("/y")
	eventually(t, "given up", func() bool { return a.Stats().Timeouts > 0 })
	mute.Store(false)
	a.wait(wait)
}

// Somebody's slow script loses nothing: Redis says that it has published nothing, and is asked again, in order.
func TestBus_BusyRedisLosesNothing(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b")
	b.enter("/x")
	b.expect(a, "/x")
	admin := s.Client()
	if err := admin.ConfigSet(t.Context(), "lua-time-limit", "5").Err(); err != nil {
		t.Fatal(err)
	}
	var script sync.WaitGroup
	script.Go(func() {
		err := admin.Eval(t.Context(), `
			local function now() local t = redis.call('TIME') return t[1] * 1000 + t[2] / 1000 end
			local till = now() + 1500
			while now() < till do end
			return 1`, nil).Err()
		if err != nil {
			t.Error(err)
		}
	})
	eventually(t, "busy", func() bool {
		err := s.Client().Publish(t.Context(), "elsewhere", "").Err()
		return err != nil && strings.HasPrefix(err.Error(), "BUSY")
	})
	var want []string
	for i := range 500 {
		a.publish(broadcast("/x", "n", i))
		want = append(want, fmt.Sprintf(`0 /x 2/x,["n",%d]`, i))
		if i%50 == 0 {
			time.Sleep(time.Millisecond) // several pipelines
		}
	}
	script.Wait()
	b.expect(a, "/x", want...)
}

// What was kept while Redis was unavailable waits for the nodes that are not subscribed again yet.
func TestBus_KeptMessagesWaitForThePeers(t *testing.T) {
	s := redistest.Start(t)
	var address switched
	address.to.Store(s)
	a := start(t, s, "a", func(o *Options) {
		o.Peers = func(context.Context) ([]string, error) { return []string{"a", "b"}, nil }
		o.PeerWait = patience
	})
	b := start(t, s, "b", func(o *Options) { o.Client = address.client(t) })
	b.enter("/x")
	b.expect(a, "/x")
	eventually(t, "a knows b", func() bool { p := a.peers.Load(); return p != nil && len(*p) == 1 })
	address.closed.Store(true) // b finds the way later
	s.Kill()
	eventually(t, "both have noticed", func() bool { return !a.Connected() && !b.Connected() })
	a.publish(broadcast("/x", "kept"))
	s.Restart()
	eventually(t, "a is back", a.Connected)
	eventually(t, "a waits", func() bool { return len(clients(t, s.Client(), "dynamicio:a:publish")) == 1 })
	address.closed.Store(false)
	b.expect(a, "/x", `0 /x 2/x,["kept"]`)
}

// A Redis that turns the connection away takes no message with it, and is named.
func TestBus_TooManyClients(t *testing.T) {
	s := redistest.Start(t)
	var log lockedBuffer
	a := start(t, s, "a", func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	b := start(t, s, "b")
	b.enter("/x")
	b.expect(a, "/x")
	admin := s.Client()
	if err := admin.ConfigSet(t.Context(), "maxclients", "1").Err(); err != nil {
		t.Fatal(err)
	}
	kill(t, admin, "dynamicio:a:publish")
	eventually(t, "noticed", func() bool { return errors.Is(a.out.current.Load().nc.SetReadDeadline(time.Time{}), net.ErrClosed) })
	a.publish(broadcast("/x", "kept"))
	eventually(t, "named", func() bool { return strings.Contains(log.String(), "max number of clients") })
	if err := admin.ConfigSet(t.Context(), "maxclients", "1000").Err(); err != nil {
		t.Fatal(err)
	}
	b.messages(1)
	b.expect(a, "/x", `0 /x 2/x,["kept"]`)
	if n := strings.Count(log.String(), "level=WARN"); n > 3 {
		t.Errorf("%d warnings, want the connection's end and the reason:\n%s", n, log.String())
	}
}

type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
