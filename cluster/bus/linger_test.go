package bus

import (
	"slices"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/dynamicio/dynamicio/namespace"
)

// leave enters a namespace, with a socket in a room, and leaves it, and makes it linger for as long as the test
// wants: until a time is stored with lingerSince.
func (n *testNode) leave(full string) {
	n.t.Helper()
	once := func() {
		n.enter(full)
		n.SocketEntered(full, "sid")
		n.wait(n.EnterRoom(full, "room"))
		n.Leave(full)
	}
	for once(); !n.lingerSince(full, time.Now().Add(time.Hour)); once() {
		// The machine stood still for a second.
	}
}

// lingerSince sets when a namespace was left, and reports false if it does not linger any more.
func (n *testNode) lingerSince(full string, left time.Time) bool {
	n.Bus.mu.Lock()
	defer n.Bus.mu.Unlock()
	sp := n.lingering[full]
	if sp != nil {
		sp.leftAt = left
	}
	return sp != nil
}

// A server counted who is subscribed, and asks when one of them has just left: it must not wait in vain.
func TestBus_AnswersForAMomentAfterLeave(t *testing.T) {
	s := redistest.Start(t)
	b := start(t, s, "b")
	b.enter("/x")
	c := s.Client()
	heard := c.Subscribe(t.Context(), "socket.io-response#/x#")
	defer heard.Close()
	if _, err := heard.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := c.PubSubNumSub(t.Context(), "socket.io-request#/x#").Val()["socket.io-request#/x#"]; n != 1 {
		t.Fatalf("%d subscribers", n)
	}
	b.leave("/x")
	eventually(t, "the question is all it listens to", func() bool { return b.Stats().Subscriptions == ownChannels+1 })
	for request, want := range map[string]string{
		`{"requestId":"1","type":0}`:           `{"requestId":"1","sockets":[],"node":"b"}`,
		`{"requestId":"2","type":1}`:           `{"requestId":"2","rooms":[],"node":"b"}`,
		`{"requestId":"3","type":5,"opts":{}}`: `{"requestId":"3","sockets":[],"node":"b"}`,
	} {
		c.Publish(t.Context(), "socket.io-request#/x#", request)
		select {
		case m := <-heard.Channel():
			if m.Payload != want {
				t.Errorf("%s is answered by %s, want %s", request, m.Payload, want)
			}
		case <-time.After(patience):
			t.Fatalf("no answer to %s", request)
		}
	}
	left := time.Now()
	b.lingerSince("/x", left)
	eventually(t, "it listens to nothing any more", func() bool { return b.Stats().Subscriptions == ownChannels })
	if d := time.Since(left); d < lingerTime {
		t.Errorf("given up after %v", d)
	}
}

// What nobody waits for is not for a node that has left.
func TestBus_LeftGetsNothingButQuestions(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b")
	a.enter("/x")
	b.enter("/y")
	b.leave("/x")
	a.publish(broadcast("/x", "e"))
	event := broadcast("/x", "for servers")
	event.Kind = namespace.KindServerSide
	a.publish(event)
	a.publish(&namespace.Message{Kind: namespace.KindJoin, FullName: "/x", Name: "/x", To: []string{"room"}})
	if got, err := a.answers(&namespace.Message{Kind: namespace.KindFetch, FullName: "/x"}, patience); err != nil || !slices.Equal(got, []string{"b:"}) {
		t.Errorf("answers %q, %v", got, err)
	}
	b.expect(a, "/y", "asked 4 /x")
}

// Who comes back within the moment answers once.
func TestBus_AnswersOnceWhenItComesBack(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b")
	a.enter("/x")
	for range 3 {
		b.enter("/x")
		b.Leave("/x")
	}
	b.enter("/x")
	if got, err := a.answers(&namespace.Message{Kind: namespace.KindFetch, FullName: "/x"}, patience); err != nil || !slices.Equal(got, []string{"b:"}) {
		t.Errorf("answers %q, %v", got, err)
	}
	time.Sleep(lingerTime + lingerTime/2) // what lingered must not take the questions along
	b.forget()
	if got, err := a.answers(&namespace.Message{Kind: namespace.KindFetch, FullName: "/x"}, patience); err != nil || !slices.Equal(got, []string{"b:"}) {
		t.Errorf("later: answers %q, %v", got, err)
	}
	b.expect(a, "/x", "asked 4 /x")
}
