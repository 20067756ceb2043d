package namespace

import (
	"context"
	"testing"
)

// A middleware may put a socket into rooms, as in Node's Socket.IO: it is in
// them from the moment that it is in the namespace, and no trace is left of one
// that is refused.
func TestSocket_JoinsRoomsInAMiddleware(t *testing.T) {
	refuse := false
	r := newRegistry(t, Options{})
	r.Setup("/x", func(ns *Namespace, _ Match) error {
		ns.Use(func(_ context.Context, s *Socket) error {
			if err := s.Join("a", "b"); err != nil {
				t.Error(err)
			}
			s.Leave("b")
			if refuse {
				return Errorf("no")
			}
			return nil
		})
		return nil
	})
	p := newPeer(t, r, dial{})
	p.join("/x")
	ns := r.Lookup("/x")
	if err := ns.To("a").Emit("early"); err != nil {
		t.Fatal(err)
	}
	if err := ns.To("b").Emit("never"); err != nil {
		t.Fatal(err)
	}
	p.want(`2/x,["early"]`)
	if rooms := ns.Rooms(); len(rooms) != 1 || rooms["a"] != 1 {
		t.Errorf("rooms %v, want one socket in a", rooms)
	}

	refuse = true
	late := newPeer(t, r, dial{})
	late.ask("/x")
	late.want(`4/x,{"message":"no"}`)
	if rooms := ns.Rooms(); rooms["a"] != 1 {
		t.Errorf("rooms %v: a refused socket is in one", rooms)
	}
}
