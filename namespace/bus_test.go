package namespace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dynamicio/dynamicio/namespace/packet"
)

// trio is a cluster of three nodes with a client in /x of each, who has the
// same number as its node.
type trio struct {
	*mesh
	n       [3]*meshNode
	peers   [3]*peer
	sockets [3]*Socket
}

func newTrio(t *testing.T) *trio {
	c := &trio{mesh: newMesh(t)}
	for i := range c.n {
		c.n[i] = c.node(Options{})
		c.n[i].reg.Setup("*", accept)
	}
	for i := range c.n {
		c.peers[i] = newPeer(t, c.n[i].reg, dial{})
		c.sockets[i] = c.peers[i].join("/x")
	}
	return c
}

func (c *trio) ns(i int) *Namespace { return c.n[i].reg.Lookup("/x") }

// want checks which of the clients got nothing but an event e.
func (c *trio) want(t *testing.T, what string, who ...int) {
	t.Helper()
	c.settle()
	for i, p := range c.peers {
		got, want := p.unread(), []string(nil)
		if slices.Contains(who, i) {
			want = []string{`2/x,["e"]`}
		}
		p.read += len(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: client %d got %q, want %q", what, i, got, want)
		}
	}
}

func TestBroadcast_AcrossNodes(t *testing.T) {
	c := newTrio(t)
	for i, room := range []string{"a", "b", "a"} {
		if err := c.sockets[i].Join(room, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	id := func(i int) string { return c.sockets[i].Room() }
	ns := c.ns(0)
	for _, x := range []struct {
		what string
		b    Broadcast
		who  []int
	}{
		{"all", ns.All(), []int{0, 1, 2}},
		{"room", ns.To("a"), []int{0, 2}},
		{"two rooms, one socket in both", ns.To("a", "0"), []int{0, 2}},
		{"two rooms", ns.To("a").In("b"), []int{0, 1, 2}},
		{"except", ns.Except("a"), []int{1}},
		{"room except", ns.To("a").Except("2"), []int{0}},
		{"own room of another node", ns.To(id(1)), []int{1}},
		{"except own room of another node", ns.Except(id(1)), []int{0, 2}},
		{"local", ns.Local(), []int{0}},
		{"nobody", ns.To("none"), nil},
		{"socket's others", c.sockets[1].Broadcast(), []int{0, 2}},
		{"socket's room", c.sockets[2].To("a"), []int{0}},
		{"socket's local", c.sockets[2].Local(), nil},
	} {
		if err := x.b.Emit("e"); err != nil {
			t.Fatal(err)
		}
		c.want(t, x.what, x.who...)
	}
	c.sockets[1].Leave(id(1)) // it may leave its own room
	_ = ns.To(id(1)).Emit("e")
	c.want(t, "own room left")
	_ = c.sockets[1].Join(id(1))
	_ = ns.To(id(1)).Emit("e")
	c.want(t, "own room again", 1)
}

// Flags travel; a message that the bus refuses reaches nobody.
func TestBroadcast_FlagsAndErrors(t *testing.T) {
	c := newTrio(t)
	if err := c.ns(0).Volatile().Compress(false).Emit("e"); err != nil {
		t.Fatal(err)
	}
	c.settle()
	for i, p := range c.peers {
		flags := p.conn.flags[len(p.conn.flags)-1]
		if !flags.Volatile || !flags.NoCompress {
			t.Errorf("client %d: flags %+v", i, flags)
		}
		p.read = len(p.conn.frames)
	}
	tooLarge := errors.New("too large")
	c.n[0].script(func(n *meshNode) { n.publish = tooLarge })
	for what, err := range map[string]error{
		"Emit":              c.ns(0).Emit("e"),
		"SocketsJoin":       c.ns(0).SocketsJoin("r"),
		"DisconnectSockets": c.ns(0).DisconnectSockets(true),
		"ServerSideEmit":    c.ns(0).ServerSideEmit("e"),
	} {
		if !errors.Is(err, tooLarge) {
			t.Errorf("%s: %v", what, err)
		}
	}
	c.want(t, "refused")
	if err := c.ns(0).Local().Emit("e"); err != nil {
		t.Error(err)
	}
	c.want(t, "local", 0)
}

func TestBroadcast_FetchSockets(t *testing.T) {
	c := newTrio(t)
	c.sockets[1].Data.Set("name", "bea")
	_ = c.sockets[1].Join("r")
	all, err := c.ns(0).FetchSockets(testContext(t))
	if err != nil || len(all) != 3 {
		t.Fatalf("%d sockets, %v", len(all), err)
	}
	i := slices.IndexFunc(all, func(s RemoteSocket) bool { return s.ID == c.sockets[1].ID() })
	got := all[i]
	if got.Node != "node-2" || !slices.Equal(got.Rooms, []string{"r"}) || string(got.Data) != `{"name":"bea"}` ||
		got.Handshake.Address != "192.0.2.1" || got.Handshake.Query["x"] != "1" || got.Handshake.Headers["user-agent"] != "test" {
		t.Errorf("got %+v", got)
	}
	if h := got.Handshake.Headers; h["accept"] != "a, b" || h["cookie"] != "a=1; b=2" {
		t.Errorf("headers on several lines: %+v", h)
	}
	if local, _ := c.ns(0).Local().FetchSockets(context.Background()); len(local) != 1 {
		t.Errorf("%d local sockets", len(local))
	}
	if some, _ := c.ns(0).To("r").FetchSockets(testContext(t)); len(some) != 1 {
		t.Errorf("%d sockets in the room", len(some))
	}

	_ = got.Emit("e")
	c.want(t, "RemoteSocket.Emit", 1)
	_ = got.Join("s")
	_ = got.Leave("r")
	c.settle()
	if rooms := c.sockets[1].Rooms(); !slices.Equal(rooms, []string{"s"}) {
		t.Errorf("rooms %v", rooms)
	}
	_ = got.Disconnect(false)
	c.peers[1].want("1/x,")
}

// What came stands, and who did not answer is named.
func TestBroadcast_NodesThatDoNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrio(t)
		c.n[2].script(func(n *meshNode) { n.silent = true })
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		all, err := c.ns(0).FetchSockets(ctx)
		var missing *MissingError
		if !errors.As(err, &missing) || !slices.Equal(missing.Nodes, []string{"node-3"}) || len(all) != 2 {
			t.Errorf("%d sockets, %v", len(all), err)
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("it took %v", got)
		}
		for _, p := range c.peers {
			p.close()
		}
	})
}

func TestBroadcast_EmitWithAckAcrossNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrio(t)
		answer := func(i int) {
			f := c.peers[i].next()
			id := f[len("2/x,") : len(f)-len(`["q"]`)]
			ack := fmt.Sprintf(`3/x,%s["from %d"]`, id, i)
			c.peers[i].send(ack, ack)
		}
		ask := func(b Broadcast) ([]Reply, error) {
			var (
				replies []Reply
				err     error
				done    sync.WaitGroup
			)
			done.Go(func() { replies, err = b.Timeout(5*time.Second).EmitWithAck(context.Background(), "q") })
			synctest.Wait()
			answer(0)
			answer(1)
			done.Wait()
			return replies, err
		}
		said := func(replies []Reply) (got []string) {
			for _, r := range replies {
				var s string
				if r.Args != nil && r.Args.Bind(&s) == nil {
					got = append(got, r.Node+" "+s)
				}
			}
			slices.Sort(got)
			return got
		}

		start := time.Now()
		replies, err := ask(c.ns(0).Except(c.sockets[2].Room()))
		if err != nil || !slices.Equal(said(replies), []string{"node-1 from 0", "node-2 from 1"}) {
			t.Errorf("got %v, %v", said(replies), err)
		}
		if time.Since(start) != 0 {
			t.Error("it waited though all had answered")
		}

		// A client of this node that does not answer is reported.
		replies, err = ask(c.ns(2).All())
		late := slices.IndexFunc(replies, func(r Reply) bool { return r.Err != nil })
		if !errors.Is(err, ErrTimeout) || len(replies) != 3 || late < 0 || replies[late].SocketID != c.sockets[2].ID() {
			t.Errorf("got %v, %v", replies, err)
		}
		c.peers[2].next()

		// So is a node.
		c.n[1].script(func(n *meshNode) { n.silent = true })
		var missing *MissingError
		replies, err = nil, nil
		var done sync.WaitGroup
		done.Go(func() { replies, err = c.ns(0).To(c.sockets[0].Room()).EmitWithAck(context.Background(), "q") })
		synctest.Wait()
		answer(0)
		done.Wait()
		if !errors.As(err, &missing) || len(replies) != 1 {
			t.Errorf("got %v, %v", replies, err)
		}
		for _, s := range c.sockets {
			s.mu.Lock()
			if len(s.acks) != 0 {
				t.Errorf("%d acknowledgements are still waited for", len(s.acks))
			}
			s.mu.Unlock()
			if n := s.client.asking.Load(); n != 0 {
				t.Errorf("the client owes %d acknowledgements", n)
			}
		}
		for i, p := range c.peers {
			p.close()
			c.n[i].wantNoFaults(t)
		}
	})
}

// A client that has gone, and whose disconnect handlers wait behind a busy
// one, is not asked, not found, and not waited for.
func TestBroadcast_LeavesOutSocketsThatHaveGone(t *testing.T) {
	b := newBlocker(t, Options{})
	p, q := newPeer(t, b.Registry, dial{}), newPeer(t, b.Registry, dial{})
	ns := p.join("/").Namespace()
	q.join("/")
	p.event("/", `["block"]`)
	<-b.blocked
	p.close()
	if all, _ := ns.FetchSockets(context.Background()); len(all) != 1 {
		t.Errorf("%d sockets found, want 1", len(all))
	}
	got := make(chan error, 1)
	go func() {
		_, err := ns.EmitWithAck(testContext(t), "q")
		got <- err
	}()
	f := q.next()
	q.send("3" + f[1:len(f)-len(`["q"]`)] + `[]`)
	if err := receive(t, got); err != nil {
		t.Errorf("EmitWithAck: %v", err)
	}
	close(b.release)
}

// Whoever kept a namespace that has been retired since, and broadcasts through
// it, reaches those who are in its successor.
func TestBroadcast_ThroughARetiredIncarnation(t *testing.T) {
	m := newMesh(t)
	n := m.node(Options{})
	n.reg.Setup("*", accept)
	p := newPeer(t, n.reg, dial{})
	old := p.join("/x").Namespace()
	p.leave("/x")
	eventually(t, "retired", func() bool { m.settle(); return m.retire("/x") != 0 })
	m.settle()
	if err := old.Emit("nobody"); err != nil {
		t.Error(err)
	}
	s := p.join("/x")
	if s.Namespace() == old {
		t.Fatal("in the retired incarnation")
	}
	if err := old.To(s.Room()).Emit("e"); err != nil {
		t.Error(err)
	}
	p.want(`2/x,["e"]`)
	if all, _ := old.FetchSockets(testContext(t)); len(all) != 1 {
		t.Errorf("%d sockets found", len(all))
	}
	_ = old.SocketsJoin("r")
	if !s.InRoom("r") {
		t.Error("SocketsJoin reached nobody")
	}
	p.leave("/x")
}

func TestNamespace_ServerSideEmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrio(t)
		var got [3]atomic.Int64
		for i := range c.n {
			off := c.ns(i).OnServerSide("e", func(_ context.Context, e *Event) error {
				if e.Socket() != nil {
					t.Error("a server-side event has a socket")
				}
				got[i].Add(1)
				return e.Ack(i)
			})
			defer off()
		}
		if err := c.ns(0).ServerSideEmit("e", 1); err != nil {
			t.Fatal(err)
		}
		c.settle()
		if a, b, d := got[0].Load(), got[1].Load(), got[2].Load(); a != 0 || b != 1 || d != 1 {
			t.Errorf("handled %d, %d, %d times, want 0, 1, 1", a, b, d)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		replies, err := c.ns(0).ServerSideEmitWithAck(ctx, "e", 1)
		if err != nil || len(replies) != 2 {
			t.Errorf("got %v, %v", replies, err)
		}

		// A node without a handler, and one that answers too late, are missing.
		c.ns(1).OnServerSide("late", func(ctx context.Context, e *Event) error {
			c.n[1].answering.Go(func() { time.Sleep(2 * time.Second); _ = e.Ack("late") })
			return nil
		})
		c.ns(2).OnServerSide("late", func(ctx context.Context, e *Event) error { panic("costs nothing else") })
		replies, err = c.ns(0).ServerSideEmitWithAck(ctx, "late")
		var missing *MissingError
		if !errors.As(err, &missing) || !slices.Equal(missing.Nodes, []string{"node-2"}) || len(replies) != 1 {
			t.Errorf("got %v, %v", replies, err)
		}
		time.Sleep(3 * time.Second)
		for i, p := range c.peers {
			p.close()
			c.n[i].wantNoFaults(t)
		}
	})
}

// Messages for a namespace that the node does not have do nothing.
func TestRegistry_MessagesForUnknownNamespaces(t *testing.T) {
	r := newRegistry(t, Options{})
	for kind := KindBroadcast; kind <= KindServerSide; kind++ {
		m := &Message{Kind: kind, FullName: "/unknown", Name: "/unknown", Event: mustEncode(packet.Encode(packet.Header{Type: packet.Event, Namespace: "/unknown"}, "e"))}
		r.Deliver(m)
		answers := 0
		r.Answer(context.Background(), m, func(a Answer) { answers++ })
		if answers != 1 {
			t.Errorf("kind %d: %d answers, want 1", kind, answers)
		}
	}
	if r.Lookup("/unknown") != nil {
		t.Error("a message made a namespace")
	}
}
