package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/dynamicio/dynamicio/cluster/wire"
	"github.com/dynamicio/dynamicio/namespace"
)

// kill breaks the connections whose name ends so.
func kill(t *testing.T, c *redis.Client, name string) {
	t.Helper()
	lines := clients(t, c, "name="+name+" ")
	if len(lines) == 0 {
		t.Fatalf("no connection %s", name)
	}
	for _, line := range lines {
		id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " ")
		if err := c.ClientKillByFilter(t.Context(), "ID", id).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// A subscriber connection that breaks is replaced, everything is subscribed again, the
// callback tells, and nothing is left behind.
func TestBus_SubscriberKilled(t *testing.T) {
	s := redistest.Start(t)
	var calls atomic.Int32
	a, b := start(t, s, "a"), start(t, s, "b", func(o *Options) { o.OnReconnect = func() { calls.Add(1) } })
	for i := range 2500 { // more than fit into two batches
		b.Enter(fmt.Sprint("/", i))
	}
	b.enter("/x")
	b.wait(b.EnterRoom("/x", "r"))
	c := s.Client()
	before, connections := channels(t, c), len(clients(t, c, "dynamicio:"))
	goroutines := runtime.NumGoroutine()
	for i := range 3 {
		kill(t, c, "dynamicio:b:subscribe")
		eventually(t, "called back", func() bool { return int(calls.Load()) == i+1 })
		if n := channels(t, c); n != before {
			t.Errorf("%d channels when the callback was called, want %d", n, before)
		}
		b.wait(b.Enter("/x"))
		b.expect(a, "/x")
	}
	if n := len(clients(t, c, "dynamicio:")); n != connections {
		t.Errorf("%d connections, want %d", n, connections)
	}
	eventually(t, "no more goroutines", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	if st := b.Stats(); st.Reconnects != 3 || st.Subscriptions != before-1 {
		t.Errorf("%+v, want 3 reconnects and %d subscriptions", st, before-1)
	}
}

// A publishing connection that breaks while nothing is under way costs no message.
func TestBus_PublisherKilled(t *testing.T) {
	s := redistest.Start(t)
	a := start(t, s, "a", func(o *Options) { o.ProbeInterval = time.Minute }) // so that it is idle
	b := start(t, s, "b")
	b.enter("/x")
	c := s.Client()
	var want []string
	for i := range 20 {
		a.publish(broadcast("/x", "n", i))
		want = append(want, fmt.Sprintf(`0 /x 2/x,["n",%d]`, i))
		b.messages(i + 1)
		kill(t, c, "dynamicio:a:publish")
		eventually(t, "noticed", func() bool {
			return errors.Is(a.out.current.Load().nc.SetReadDeadline(time.Time{}), net.ErrClosed)
		})
	}
	b.expect(a, "/x", want...)
}

// A restart of Redis: what was published meanwhile waits, what is subscribed stays so, and
// health says what is.
func TestBus_RedisRestart(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b")
	b.enter("/x")
	eventually(t, "healthy", func() bool { return a.Healthy() && b.Healthy() })
	s.Kill()
	eventually(t, "not healthy", func() bool { return !a.Healthy() && !b.Healthy() && !b.Connected() })
	// A room is joined without Redis.
	if wait := b.EnterRoom("/x", "r"); wait != nil {
		b.wait(wait)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := b.Enter("/y")(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a namespace is entered without Redis: %v", err)
	}
	s.Restart()
	eventually(t, "healthy again", func() bool { return a.Healthy() && b.Healthy() && b.Connected() })
	b.enter("/y")
	if n, err := s.Client().PubSubNumSub(t.Context(), "socket.io#/x#r#").Result(); err != nil || n["socket.io#/x#r#"] != 1 {
		t.Errorf("room: %v, %v", n, err)
	}
	b.expect(a, "/x")
}

// The queue is bounded while Redis is away; what does not fit is counted, and told to who waits.
func TestBus_QueueBounded(t *testing.T) {
	s := redistest.Start(t)
	a := start(t, s, "a", func(o *Options) { o.MaxQueue = 4000 })
	a.enter("/x")
	s.Kill()
	eventually(t, "down", func() bool { return !a.Connected() })
	for range 100 {
		a.publish(broadcast("/x", "e", strings.Repeat("x", 100)))
	}
	if st := a.Stats(); st.Queue > 4000 || st.Dropped["queue_full"] < 50 {
		t.Errorf("%d bytes queued, dropped %v", st.Queue, st.Dropped)
	}
}

// A backlog behind a handler that does not return is bounded, too.
func TestBus_BacklogBounded(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b", func(o *Options) { o.MaxBacklog = 10000 })
	b.enter("/x")
	gate := make(chan struct{})
	b.onDeliver(func(*namespace.Message) { <-gate })
	for range 100 {
		a.publish(broadcast("/x", "e", strings.Repeat("x", 500)))
	}
	eventually(t, "dropped", func() bool { return b.Stats().MessagesIn >= 100 && b.Stats().Dropped["overflow"] > 50 })
	if n := b.Stats().Backlog; n > 10000 {
		t.Errorf("backlog of %d bytes", n)
	}
	close(gate)
	eventually(t, "empty", func() bool { return b.Stats().Backlog == 0 })
}

// A panic of whoever handles a message costs that message.
func TestBus_Panics(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b")
	b.enter("/x")
	b.onDeliver(func(m *namespace.Message) {
		if m.Kind == namespace.KindLeave {
			panic("handler")
		}
	})
	b.onAnswer(func(context.Context, *namespace.Message, func(namespace.Answer)) { panic("handler") })
	a.publish(&namespace.Message{Kind: namespace.KindLeave, FullName: "/x"})
	go a.answers(broadcast("/x", "q"), patience) // ends with the test
	b.messages(2)
	b.forget()
	b.expect(a, "/x")
	eventually(t, "counted", func() bool { return b.Stats().Dropped["panic"] == 2 })
}

// A node can be deaf while Redis takes everything from it. Its probe finds out, health says so,
// and the connection is replaced.
func TestBus_DeafConnectionIsReplaced(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.StartProxy(t, s.Addr)
	client := redis.NewClient(&redis.Options{Addr: p.Addr})
	defer client.Close()
	b := start(t, s, "b", func(o *Options) { o.Client, o.ProbeInterval = client, 200*time.Millisecond })
	b.enter("/x")
	eventually(t, "healthy", b.Healthy)
	p.OnReply(func(_ *redistest.ProxyConn, data []byte) bool { return !bytes.Contains(data, []byte("*")) }) // what subscribers would hear
	eventually(t, "not healthy", func() bool { return !b.Healthy() })
	eventually(t, "given up", func() bool { return b.Stats().Timeouts > 0 })
	p.OnReply(nil)
	eventually(t, "healthy again", func() bool { return b.Healthy() && b.Stats().Reconnects > 0 })
	b.expect(start(t, s, "a"), "/x")
}

// Redis stands still for longer than the bus waits for a reply: what was under way may or may not be
// delivered, but nothing is delivered twice, nor out of order.
func TestBus_RedisStallsNothingTwice(t *testing.T) {
	s := redistest.Start(t)
	short := func(o *Options) { o.ReplyTimeout = 200 * time.Millisecond }
	a, b := start(t, s, "a", short), start(t, s, "b")
	b.enter("/x")
	eventually(t, "healthy", a.Healthy)
	s.Pause()
	for i := range 2000 {
		a.publish(broadcast("/x", "n", i))
	}
	eventually(t, "given up", func() bool { return a.Stats().Timeouts > 0 })
	s.Continue()
	a.publish(broadcast("/x", "n", 2000))
	last := -1
	eventually(t, "the last one is delivered", func() bool {
		got := b.messages(1)
		last = number(t, got[len(got)-1])
		return last == 2000
	})
	previous := -1
	for _, g := range b.messages(1) {
		if n := number(t, g); n <= previous {
			t.Fatalf("%d behind %d", n, previous)
		} else {
			previous = n
		}
	}
}

func number(t *testing.T, message string) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscanf(message, `0 /x 2/x,["n",%d]`, &n); err != nil {
		t.Fatalf("%s: %v", message, err)
	}
	return n
}

// Close publishes what is queued, ends who waits, and says so to who comes later.
func TestBus_Close(t *testing.T) {
	s := redistest.Start(t)
	b := start(t, s, "b")
	b.enter("/x")
	a, err := New(Options{Client: s.Client(), NodeID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	a.Start(&testNode{t: t, id: "a", changed: make(chan struct{}, 1)})
	b.onAnswer(func(ctx context.Context, _ *namespace.Message, _ func(namespace.Answer)) { <-ctx.Done() })
	sse := broadcast("/x", "sse")
	sse.Kind = namespace.KindServerSide
	asked := make(chan error)
	go func() { asked <- a.Ask(t.Context(), sse, func(namespace.Answer) {}) }()
	b.messages(1)
	b.forget()
	for i := range 1000 {
		if err := a.Publish(broadcast("/x", "n", i)); err != nil {
			t.Fatal(err)
		}
	}
	a.Close(t.Context())
	if got := b.messages(1000); number(t, got[999]) != 999 {
		t.Errorf("last is %s", got[999])
	}
	if err := <-asked; !errors.Is(err, ErrClosed) {
		t.Errorf("asked: %v, want ErrClosed", err)
	}
	if err := a.Enter("/z")(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("entered: %v, want ErrClosed", err)
	}
	if err := a.Ask(t.Context(), sse, func(namespace.Answer) {}); !errors.Is(err, ErrClosed) {
		t.Errorf("asked afterwards: %v, want ErrClosed", err)
	}
	if n := len(clients(t, s.Client(), "dynamicio:a:")); n != 0 {
		t.Errorf("%d connections left", n)
	}
}

// A user that may only what the bus needs can log in; one with a wrong password is told so.
func TestBus_UserWithFewRights(t *testing.T) {
	s := redistest.Start(t)
	c := s.Client()
	if err := c.Do(t.Context(), "ACL", "SETUSER", "bus", "on", ">secret", "resetchannels", "&socket.io*", "&dynamicio:*",
		"-@all", "+subscribe", "+unsubscribe", "+publish", "+pubsub|numsub", "+ping").Err(); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: s.Addr, Username: "bus", Password: "secret"})
	defer client.Close()
	b := start(t, s, "b", func(o *Options) { o.Client = client })
	b.enter("/x")
	eventually(t, "healthy", b.Healthy)
	if err := b.Ask(t.Context(), &namespace.Message{Kind: namespace.KindFetch, FullName: "/x"}, func(namespace.Answer) {}); err != nil {
		t.Error(err)
	}
	b.expect(start(t, s, "a"), "/x")
}

// In a Redis Cluster the bus goes to one master, and counts the subscribers of all.
func TestBus_RedisCluster(t *testing.T) {
	s := redistest.Start(t, "--cluster-enabled", "yes")
	plain := s.Client()
	if err := plain.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cluster works", func() bool {
		info, err := plain.ClusterInfo(t.Context()).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	})
	edit := func(o *Options) {
		client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Addr}})
		t.Cleanup(func() { client.Close() })
		o.Client = client
	}
	a, b := start(t, s, "a", edit), start(t, s, "b", edit)
	a.enter("/x")
	b.enter("/x")
	b.expect(a, "/x")
	got, err := a.answers(&namespace.Message{Kind: namespace.KindFetch, FullName: "/x"}, patience)
	if err != nil || !slices.Equal(got, []string{"b:"}) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestOptions_Refused(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer client.Close()
	for name, o := range map[string]Options{
		"no client":                   {NodeID: "a"},
		"no id":                       {Client: client},
		"Go dialect on Node's prefix": {Client: client, NodeID: "a", Dialect: wire.StockGo},
		"negative":                    {Client: client, NodeID: "a", MaxQueue: -1},
		"negative time":               {Client: client, NodeID: "a", ProbeInterval: -1},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A password that the server does not want keeps nobody out: the client of the node's session lets that pass, too.
func TestBus_NeedlessPassword(t *testing.T) {
	s := redistest.Start(t)
	b := start(t, s, "b")
	b.enter("/x")
	a := start(t, s, "a", func(o *Options) {
		o.Client = redis.NewClient(&redis.Options{Addr: s.Addr, Password: "needless"})
		t.Cleanup(func() { o.Client.Close() })
	})
	b.expect(a, "/x")
}
