package namespace

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// What came is passed on undecoded: numbers keep their digits, attachments
// their bytes.
func TestArgs_PassedOnUndecoded(t *testing.T) {
	r := newRegistry(t, Options{})
	r.SetupRegexp(regexp.MustCompile(`^/\w+$`), func(ns *Namespace, _ Match) error {
		ns.On("pass", func(_ context.Context, e *Event) error {
			if err := ns.Except(e.Socket().Room()).EmitArgs("passed", e.Args); err != nil {
				return err
			}
			if err := e.Socket().EmitArgs("back", e.Args); err != nil {
				return err
			}
			return e.AckArgs(e.Args.From(1))
		})
		return nil
	})
	p, q := newPeer(t, r, dial{}), newPeer(t, r, dial{})
	p.join("/x")
	q.join("/x")
	p.send(`51-/x,7["pass",12345678901234567890.10,{"a":{"_placeholder":true,"num":0}}]`)
	if err := p.client.Receive([]byte{1, 2}, true); err != nil {
		t.Fatal(err)
	}
	p.want(`51-/x,["back",12345678901234567890.10,{"a":{"_placeholder":true,"num":0}}]`,
		`61-/x,7[{"a":{"_placeholder":true,"num":0}}]`)
	q.want(`51-/x,["passed",12345678901234567890.10,{"a":{"_placeholder":true,"num":0}}]`)
	q.conn.mu.Lock()
	defer q.conn.mu.Unlock()
	if got := q.conn.frames[len(q.conn.frames)-1].Part(1); !got.Binary || string(got.Data) != "\x01\x02" {
		t.Errorf("attachment %+v", got)
	}
}

func TestSocket_AuthAndHandshake(t *testing.T) {
	r, p, _ := pair(t)
	p.send(`0/auth,{"token":"t"}`)
	p.admitted("/auth")
	for _, s := range r.Lookup("/auth").Sockets() {
		var auth struct{ Token string }
		if err := s.Auth(&auth); err != nil || auth.Token != "t" {
			t.Errorf("Auth = %+v, %v", auth, err)
		}
		if err := s.Auth(new(string)); err == nil {
			t.Error("an object was decoded into a string")
		}
		if s.Handshake().Address != "192.0.2.1" || s.Query().Get("x") != "1" || s.ConnectionID() != p.conn.id || r.Lookup("/auth").Socket(s.ID()) != s {
			t.Error("the socket does not know its connection")
		}
	}
	var none struct{ Token string }
	if err := p.client.Sockets()[0].Auth(&none); err != nil || none.Token != "" {
		t.Errorf("Auth without one = %+v, %v", none, err)
	}
}

// A volatile event that the connection does not take is no error, any other is.
func TestSocket_VolatileAndCompress(t *testing.T) {
	_, p, s := pair(t)
	if err := s.Volatile().Compress(false).Emit("e"); err != nil {
		t.Error(err)
	}
	p.want(`2["e"]`)
	if f := p.conn.flags[len(p.conn.flags)-1]; !f.Volatile || !f.NoCompress {
		t.Errorf("flags %+v", f)
	}
	p.conn.setDeaf(true)
	before := s.Namespace().reg.Stats().Deliveries
	if err := s.Volatile().Emit("e"); err != nil {
		t.Errorf("volatile: %v", err)
	}
	if got := s.Namespace().reg.Stats().Deliveries - before; got != 0 {
		t.Errorf("%d deliveries counted of an event that was dropped", got)
	}
	if err := s.Compress(true).Emit("e"); err != ErrDisconnected {
		t.Errorf("not volatile: %v", err)
	}
}

// byName changes its form on the way; a client must not notice.
func TestClient_InManyNamespaces(t *testing.T) {
	r := newRegistry(t, Options{})
	r.Setup("*", accept)
	p := newPeer(t, r, dial{})
	const n = 3 * fewEntries
	for i := range n {
		p.join(fmt.Sprintf("/%d", i))
	}
	for i := 0; i < n; i += 2 {
		p.leave(fmt.Sprintf("/%d", i))
	}
	if got := len(p.client.Sockets()); got != n/2 {
		t.Errorf("%d sockets, want %d", got, n/2)
	}
	for i := 0; i < n; i += 2 {
		p.ask(fmt.Sprintf("/%d", i))
	}
	again := make(map[string]bool)
	for range n / 2 { // in no order: some of them had to wait for the directory
		name, _, _ := strings.Cut(p.next(), ",")
		again[name] = true
	}
	for i := 0; i < n; i += 2 {
		if !again[fmt.Sprintf("0/%d", i)] {
			t.Errorf("not admitted to /%d again", i)
		}
	}
	p.wantNothing()
	p.close()
	eventually(t, "all have left", func() bool { return r.Stats().Disconnects == n+n/2 })
}
