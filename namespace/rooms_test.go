package namespace

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
)

func TestBroadcast_CommandsAcrossNodes(t *testing.T) {
	c := newTrio(t)
	rooms := func() (n [3]int) {
		c.settle()
		for i, s := range c.sockets {
			n[i] = len(s.Rooms())
		}
		return n
	}
	if err := c.ns(0).SocketsJoin("r", "s"); err != nil {
		t.Fatal(err)
	}
	if got := rooms(); got != [3]int{2, 2, 2} {
		t.Errorf("rooms after SocketsJoin: %v", got)
	}
	if err := c.ns(1).Except(c.sockets[0].Room()).SocketsLeave("r", "none"); err != nil {
		t.Fatal(err)
	}
	if got := rooms(); got != [3]int{2, 1, 1} {
		t.Errorf("rooms after SocketsLeave: %v", got)
	}
	if !c.n[0].inRoom("/x", "r") || c.n[1].inRoom("/x", "r") {
		t.Error("the cluster was not told of the rooms")
	}
	if err := c.ns(2).To("r").DisconnectSockets(true); err != nil {
		t.Fatal(err)
	}
	c.peers[0].want("1/x,")
	c.peers[0].wantClosed(ReasonForcedClose)
	c.settle()
	if !c.sockets[1].Connected() || !c.sockets[2].Connected() {
		t.Error("others were disconnected")
	}
	eventually(t, "the room is left", func() bool { return !c.n[0].inRoom("/x", "s") && !c.n[0].inRoom("/x", c.sockets[0].Room()) })
	for _, n := range c.n {
		n.wantNoFaults(t)
	}
}

// Join waits for the room's subscription; a join that another node asks for
// must not make the bus wait, which brings the subscription about.
func TestSocket_JoinWaitsForTheSubscriptionAndTheBusDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrio(t)
		stands := make(chan struct{})
		c.n[1].script(func(n *meshNode) {
			n.enterRoom = func(ctx context.Context) error {
				select {
				case <-stands:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		})
		if err := c.ns(0).SocketsJoin("remote"); err != nil {
			t.Fatal(err)
		}
		_ = c.ns(0).Emit("e")
		c.want(t, "an event behind the command", 0, 1, 2)
		if !c.sockets[1].InRoom("remote") {
			t.Error("not in the room")
		}

		joined := make(chan error, 2)
		go func() { joined <- c.sockets[1].Join("own") }()
		synctest.Wait()
		if len(joined) != 0 {
			t.Error("Join did not wait for the subscription")
		}
		close(stands)
		if err := <-joined; err != nil {
			t.Error(err)
		}

		stands = make(chan struct{})
		go func() { joined <- c.sockets[1].Join("never") }()
		synctest.Wait()
		c.peers[1].close()
		if err := <-joined; !errors.Is(err, ErrDisconnected) {
			t.Errorf("Join of a socket that goes: %v", err)
		}
		c.peers[0].close()
		c.peers[2].close()
	})
}

// A room may bear the name of a socket: the cluster has to hear it until both
// are gone.
func TestSocket_RoomNamedLikeASocket(t *testing.T) {
	m := newMesh(t)
	n := m.node(Options{})
	n.reg.Setup("*", accept)
	p, q := newPeer(t, n.reg, dial{}), newPeer(t, n.reg, dial{})
	a, b := p.join("/"), q.join("/")
	room := b.Room()
	if err := a.Join(room); err != nil {
		t.Fatal(err)
	}
	_ = a.Namespace().To(room).Emit("both")
	p.want(`2["both"]`)
	q.want(`2["both"]`)
	a.Leave(room)
	if !n.inRoom("/", room) {
		t.Error("a socket's own room was left with another's membership")
	}
	_ = a.Join(room)
	q.close()
	eventually(t, "b has gone", func() bool { return a.Namespace().SocketCount() == 1 })
	if !n.inRoom("/", room) {
		t.Error("the room was left while a socket is in it")
	}
	a.Leave(room)
	if n.inRoom("/", room) {
		t.Error("the room was not left")
	}
	n.wantNoFaults(t)
}

func TestSocket_LimitsOfRooms(t *testing.T) {
	r := newRegistry(t, Options{MaxRooms: 3, MaxNameLength: 20})
	r.Setup("*", accept)
	s := newPeer(t, r, dial{}).join("/")
	if err := s.Join("a", "b", strings.Repeat("n", 21)); !errors.Is(err, ErrLimit) || len(s.Rooms()) != 0 {
		t.Errorf("a name beyond the limit: %v, rooms %v", err, s.Rooms())
	}
	if err := s.Join("a", "b", "c"); err != nil {
		t.Fatal(err)
	}
	if err := s.Join("d"); !errors.Is(err, ErrLimit) {
		t.Errorf("one room too many: %v", err)
	}
	if err := s.Join("a", s.Room()); err != nil {
		t.Errorf("rooms that it is in already: %v", err)
	}
}
