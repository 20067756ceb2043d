package namespace

import (
	"context"
	"testing"
)

// Who sends to the others is told from them as a socket: its own room may be
// left, and a room of its name is any client's to join.
func TestSocket_BroadcastLeavesOutTheSenderAndNobodyElse(t *testing.T) {
	c := newTrio(t)
	second := newPeer(t, c.n[0].reg, dial{})
	other := second.join("/x") // beside the sender on node 0
	sender := c.sockets[0]
	hears := func(what string, b Broadcast, second0, second1 bool) {
		t.Helper()
		if err := b.Emit("e"); err != nil {
			t.Fatal(err)
		}
		who := []int{}
		if second1 {
			who = append(who, 1, 2)
		}
		c.want(t, what, who...)
		got := len(second.unread())
		second.read += got
		if want := map[bool]int{true: 1}[second0]; got != want {
			t.Errorf("%s: the client beside the sender got %d events, want %d", what, got, want)
		}
	}

	sender.Leave(sender.ID())
	hears("after it left its own room", sender.Broadcast(), true, true)
	for _, s := range []*Socket{sender, other, c.sockets[1], c.sockets[2]} {
		if err := s.Join("r"); err != nil {
			t.Fatal(err)
		}
	}
	hears("to a room, after it left its own", sender.To("r"), true, true)
	hears("all but a room, after it left its own", sender.Except("none"), true, true)

	for _, s := range []*Socket{other, c.sockets[1], c.sockets[2]} {
		if err := s.Join(sender.ID()); err != nil {
			t.Fatal(err)
		}
	}
	hears("with others in a room of its id", sender.Broadcast(), true, true)
	hears("with others in a room of its id, local", sender.Local(), true, false)
	hears("to a room of its id", sender.To(sender.ID()), true, true)

	infos, err := sender.Broadcast().FetchSockets(testContext(t))
	if err != nil || len(infos) != 3 {
		t.Errorf("it finds %d others (%v), want 3", len(infos), err)
	}
	if err := sender.Broadcast().SocketsLeave("r"); err != nil {
		t.Fatal(err)
	}
	c.settle()
	if !sender.InRoom("r") || other.InRoom("r") || c.sockets[1].InRoom("r") {
		t.Error("SocketsLeave took the sender, or left somebody out")
	}
	if err := sender.To(sender.ID()).DisconnectSockets(false); err != nil {
		t.Fatal(err)
	}
	c.settle()
	if !sender.Connected() || other.Connected() || c.sockets[1].Connected() {
		t.Error("DisconnectSockets took the sender, or left somebody out")
	}
}

// To of an empty list addresses nobody, here and on the other nodes, where an
// empty list of rooms is everybody.
func TestBroadcast_ToNoRoomsIsNobody(t *testing.T) {
	c := newTrio(t)
	ns, s := c.ns(0), c.sockets[0]
	var none []string
	for what, b := range map[string]Broadcast{
		"To": ns.To(none...), "In": ns.In(none...), "socket's To": s.To(none...), "To and Except": ns.To(none...).Except("r"),
		"To twice": ns.To(none...).To(none...),
	} {
		if err := b.Emit("e"); err != nil {
			t.Fatal(err)
		}
		if err := b.EmitArgs("e", Args{}); err != nil {
			t.Fatal(err)
		}
		replies, err := b.EmitWithAck(context.Background(), "e")
		if err != nil || len(replies) > 0 {
			t.Errorf("%s: EmitWithAck: %d replies, %v", what, len(replies), err)
		}
		infos, err := b.FetchSockets(testContext(t))
		if err != nil || len(infos) > 0 {
			t.Errorf("%s: FetchSockets found %d, %v", what, len(infos), err)
		}
		if err := b.SocketsJoin("joined"); err != nil {
			t.Fatal(err)
		}
		if err := b.DisconnectSockets(true); err != nil {
			t.Fatal(err)
		}
		c.want(t, what)
	}
	for i, s := range c.sockets {
		if !s.Connected() || s.InRoom("joined") {
			t.Errorf("socket %d was disconnected, or joined a room", i)
		}
	}
	if err := ns.To(none...).To(s.ID()).Emit("e"); err != nil {
		t.Fatal(err)
	}
	c.want(t, "a room beside an empty list", 0)
}
