package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// The reasons that OnDisconnecting and OnDisconnect get, as Socket.IO documents
// them; the rooms are there in the first and gone in the second.
func TestAPI_DisconnectReasons(t *testing.T) {
	ends := map[string]struct {
		how  how
		end  func(srv *testServer, c *client, s *namespace.Socket)
		want string
	}{
		"client leaves":          {how{}, func(_ *testServer, c *client, _ *namespace.Socket) { c.leave("/") }, namespace.ReasonClientLeft},
		"server takes it out":    {how{}, func(_ *testServer, _ *client, s *namespace.Socket) { s.Disconnect(false) }, namespace.ReasonServerLeft},
		"server closes":          {how{}, func(_ *testServer, _ *client, s *namespace.Socket) { s.Disconnect(true) }, namespace.ReasonServerLeft},
		"connection cut":         {how{}, func(_ *testServer, c *client, _ *namespace.Socket) { c.close() }, namespace.ReasonTransportClose},
		"Engine.IO close":        {how{}, func(_ *testServer, c *client, _ *namespace.Socket) { _ = c.write("1") }, namespace.ReasonTransportClose},
		"Engine.IO close, poll":  {how{polling: true}, func(_ *testServer, c *client, _ *namespace.Socket) { _ = c.write("1") }, namespace.ReasonTransportClose},
		"heartbeat missed":       {how{silent: true}, func(*testServer, *client, *namespace.Socket) {}, namespace.ReasonPingTimeout},
		"heartbeat missed, poll": {how{silent: true, polling: true}, func(*testServer, *client, *namespace.Socket) {}, namespace.ReasonPingTimeout},
		"no packet":              {how{}, func(_ *testServer, c *client, _ *namespace.Socket) { c.send("abc") }, namespace.ReasonParseError},
		"no Engine.IO packet":    {how{}, func(_ *testServer, c *client, _ *namespace.Socket) { _ = c.write("abc") }, namespace.ReasonParseError},
		"reserved event":         {how{}, func(_ *testServer, c *client, _ *namespace.Socket) { c.send(`2["disconnect"]`) }, namespace.ReasonParseError},
		"binary unannounced":     {how{}, func(_ *testServer, c *client, _ *namespace.Socket) { c.send("\x00\x01") }, namespace.ReasonParseError},
		"no packet, poll":        {how{polling: true}, func(_ *testServer, c *client, _ *namespace.Socket) { _ = c.write("4abc") }, namespace.ReasonParseError},
		"node stops":             {how{}, func(srv *testServer, _ *client, _ *namespace.Socket) { _ = srv.Close(context.Background()) }, namespace.ReasonShutdown},
		"node stops, poll":       {how{polling: true}, func(srv *testServer, _ *client, _ *namespace.Socket) { _ = srv.Close(context.Background()) }, namespace.ReasonShutdown},
		"client sends a refusal": {how{}, func(_ *testServer, c *client, _ *namespace.Socket) { c.send(`4{"message":"x"}`) }, namespace.ReasonForcedClose},
		"packet out of place":    {how{}, func(_ *testServer, c *client, _ *namespace.Socket) { c.send(`2/other,["e"]`) }, namespace.ReasonForcedClose},
		"CONNECT twice, poll":    {how{polling: true}, func(_ *testServer, c *client, _ *namespace.Socket) { c.send("0") }, namespace.ReasonForcedClose},
	}
	for name, tc := range ends {
		t.Run(name, func(t *testing.T) {
			inBubble(t, node.Options{}, func(t *testing.T, srv *testServer, j *journal) {
				c := srv.connect(tc.how)
				srv.Main().OnConnect(func(s *namespace.Socket) {
					_ = s.Join("room")
					s.OnDisconnecting(func(reason string) { j.add("disconnecting: %s, in %v", reason, s.Rooms()) })
					s.OnDisconnect(func(reason string) { j.add("disconnect: %s, in %v", reason, s.Rooms()) })
				})
				s := srv.Main().Socket(c.join("/"))
				synctest.Wait()
				tc.end(srv, c, s)
				pass(time.Minute)
				j.want(t, "disconnecting: "+tc.want+", in [room]", "disconnect: "+tc.want+", in []")
				if s.Connected() || srv.Main().SocketCount() != 0 {
					t.Error("the socket is still there")
				}
			})
		})
	}
}

// A connection that joins nothing is closed after the connect timeout, one that did is not.
func TestAPI_ConnectTimeout(t *testing.T) {
	inBubble(t, node.Options{ConnectTimeout: time.Minute}, func(t *testing.T, srv *testServer, _ *journal) {
		idle, member := srv.connect(how{}), srv.connect(how{})
		member.join("/")
		begun := time.Now()
		pass(time.Minute - time.Second)
		idle.wantNothing()
		idle.wantClosed()
		if took := time.Since(begun); took < time.Minute || took > time.Minute+5*time.Second {
			t.Errorf("closed after %v", took)
		}
		pass(time.Hour)
		member.wantNothing()
	})
}

// Namespace middleware runs in order before a socket is let in; an error refuses with its text and data.
func TestAPI_NamespaceMiddleware(t *testing.T) {
	srv, j := start(t, node.Options{}), newJournal()
	srv.SetupNamespace("/k", func(ns *namespace.Namespace, _ namespace.Match) error {
		ns.Use(func(_ context.Context, s *namespace.Socket) error {
			var auth string
			if err := s.Auth(&struct{ As *string }{&auth}); err != nil {
				return err
			}
			j.add("first %s", auth)
			switch auth {
			case "bad":
				return &namespace.ClientError{Message: "not you", Data: map[string]int{"code": 7}}
			case "plain":
				return errors.New("secret")
			case "panic":
				panic("boom")
			}
			return nil
		})
		ns.Use(func(_ context.Context, s *namespace.Socket) error {
			j.add("second, connected %v, %d in", ns.Socket(s.ID()) != nil, ns.SocketCount())
			return nil
		})
		ns.OnConnect(func(*namespace.Socket) { j.add("connect") })
		return nil
	})
	c := srv.connect(how{})
	for auth, want := range map[string]string{
		"bad":   `4/k,{"message":"not you","data":{"code":7}}`,
		"plain": `4/k,{"message":"Forbidden"}`,
		"panic": `4/k,{"message":"Forbidden"}`,
	} {
		c.send(fmt.Sprintf(`0/k,{"As":%q}`, auth))
		c.want(want)
	}
	c.joinWith("/k", `{"As":"good"}`)
	j.wait(t, "connect")
	if got := j.list()[3:]; !slices.Equal(got, []string{"first good", "second, connected false, 0 in", "connect"}) {
		t.Errorf("happened: %q", got)
	}
	if n := srv.live("/k").SocketCount(); n != 1 {
		t.Errorf("%d sockets, want 1", n)
	}
}

// Events that come right behind the CONNECT answer wait for the connect handlers, however long these take.
func TestAPI_NothingIsLostAfterConnect(t *testing.T) {
	srv := start(t, node.Options{})
	srv.SetupNamespace("*", func(ns *namespace.Namespace, _ namespace.Match) error {
		ns.OnConnect(func(s *namespace.Socket) {
			time.Sleep(5 * time.Millisecond)
			_ = s.Emit("welcome")
			s.On("e", namespace.Handle(func(_ context.Context, n int) (int, error) { return n, nil }))
		})
		return nil
	})
	for i := range 20 {
		c := srv.connect(how{polling: i%2 == 1})
		c.join("/") // the answer is there before the handlers have registered
		c.send(`21["e",1]`, `22["e",2]`)
		c.want(`2["welcome"]`, "31[1]", "32[2]")
	}
}
