package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/dynamicio/dynamicio/cluster/wire"
	"github.com/dynamicio/dynamicio/namespace"
)

// answers asks and returns what came, each in one line, sorted.
func (n *testNode) answers(m *namespace.Message, timeout time.Duration) ([]string, error) {
	ctx, cancel := context.WithTimeout(n.t.Context(), timeout)
	defer cancel()
	var got []string
	err := n.Ask(ctx, m, func(a namespace.Answer) {
		line := a.Node + ":"
		for _, s := range a.Sockets {
			line += fmt.Sprintf(" %s@%s%v%s", s.ID, s.Node, s.Rooms, s.Data)
		}
		if a.Clients > 0 {
			line += fmt.Sprintf(" %d clients", a.Clients)
		}
		if a.Args != nil {
			for i := range a.Args.Len() {
				var v any
				if err := a.Args.At(i).Bind(&v); err != nil {
					line += err.Error()
				}
				line += fmt.Sprintf(" %v", v)
			}
		}
		got = append(got, line)
	})
	slices.Sort(got)
	return got, err
}

func dialects(t *testing.T, f func(t *testing.T, edit func(*Options))) {
	t.Run("Node", func(t *testing.T) { f(t, func(*Options) {}) })
	t.Run("stock Go", func(t *testing.T) {
		f(t, func(o *Options) { o.Dialect, o.Prefix = wire.StockGo, "go.io" })
	})
}

func TestBus_AskFetch(t *testing.T) {
	dialects(t, func(t *testing.T, edit func(*Options)) {
		s := redistest.Start(t)
		a, b, c := start(t, s, "a", edit), start(t, s, "b", edit), start(t, s, "c", edit)
		for _, n := range []*testNode{a, b, c} {
			n.enter("/x")
		}
		b.onAnswer(func(_ context.Context, m *namespace.Message, reply func(namespace.Answer)) {
			reply(namespace.Answer{Node: "b", Sockets: []namespace.SocketInfo{{ID: "s1", Rooms: []string{"r"}, Data: json.RawMessage(`{"k":1}`)}, {ID: "s2"}}})
		})
		m := &namespace.Message{Kind: namespace.KindFetch, FullName: "/x", Rooms: []string{"r"}, Except: []string{"z"}}
		got, err := a.answers(m, patience)
		if want := []string{"b: s1@b[r]{\"k\":1} s2@b[]{}", "c:"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
		if asked := c.messages(1)[0]; asked != "asked 4 /x to:[r] except:[z]" {
			t.Errorf("asked %q", asked)
		}
		// One that has not entered may ask, too, and leaves no subscription.
		d := start(t, s, "d", edit)
		if got, err := d.answers(m, patience); err != nil || len(got) != 3 {
			t.Errorf("from outside: %q, %v", got, err)
		}
		eventually(t, "unsubscribed", func() bool { return d.Stats().Subscriptions == ownChannels })
		// Nobody has it: nobody is waited for.
		if got, err := d.answers(&namespace.Message{Kind: namespace.KindFetch, FullName: "/nobody"}, patience); err != nil || len(got) != 0 {
			t.Errorf("nobody: %q, %v", got, err)
		}
	})
}

func TestBus_AskServerSide(t *testing.T) {
	dialects(t, func(t *testing.T, edit func(*Options)) {
		s := redistest.Start(t)
		a, b, c := start(t, s, "a", edit), start(t, s, "b", edit), start(t, s, "c", edit)
		for _, n := range []*testNode{a, b, c} {
			n.enter("/x")
			n.onAnswer(func(_ context.Context, _ *namespace.Message, reply func(namespace.Answer)) {
				reply(namespace.Answer{Args: argsOf([]int{1, 2}, []byte{7}, n.id)})
			})
		}
		m := broadcast("/x", "sse", "arg", []byte{1})
		m.Kind = namespace.KindServerSide
		got, err := a.answers(m, patience)
		if want := []string{"b: [1 2] [7] b", "c: [1 2] [7] c"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
		b.forget()
		a.publish(m) // without acknowledgement: delivered, in order with its like
		if got := b.messages(1)[0]; got != `5 /x 51-/x,["sse","arg",{"_placeholder":true,"num":0}] <01>` {
			t.Errorf("got %s", got)
		}
	})
}

func TestBus_AskClients(t *testing.T) {
	dialects(t, func(t *testing.T, edit func(*Options)) {
		s := redistest.Start(t)
		a, b, c := start(t, s, "a", edit), start(t, s, "b", edit), start(t, s, "c", edit)
		for _, n := range []*testNode{a, b, c} {
			n.enter("/x")
		}
		b.onAnswer(func(ctx context.Context, m *namespace.Message, reply func(namespace.Answer)) {
			reply(namespace.Answer{Args: argsOf("early")}) // before the count: a fast client
			reply(namespace.Answer{Clients: 3})
			b.Deliver(broadcast("/x", "while waiting")) // stands for what else may happen
			reply(namespace.Answer{Args: argsOf(map[string]int{"n": 2}, "more")})
			time.Sleep(20 * time.Millisecond)
			reply(namespace.Answer{Args: argsOf([]byte{9})})
		})
		m := broadcast("/x", "q")
		m.Timeout = patience
		got, err := a.answers(m, patience)
		if want := []string{"b: 3 clients", "b: [9]", "b: early", "b: map[n:2] more", "c:"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	})
}

// The broadcast that asks stands in the order of the others: what follows waits until it has been
// sent to the clients, but not for their acknowledgements.
func TestBus_AcknowledgedBroadcastInOrder(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b")
	b.enter("/x")
	b.enter("/mark")
	sent, acked := make(chan struct{}), make(chan struct{})
	b.onAnswer(func(ctx context.Context, m *namespace.Message, reply func(namespace.Answer)) {
		<-sent
		reply(namespace.Answer{Clients: 1})
		<-acked
		reply(namespace.Answer{Args: argsOf(1)})
	})
	a.publish(broadcast("/x", "one"))
	m := broadcast("/x", "two")
	done := make(chan error)
	go func() { _, err := a.answers(m, patience); done <- err }()
	b.messages(2)
	a.publish(broadcast("/x", "three"))
	a.publish(broadcast("/mark", "e"))
	b.messages(3)
	time.Sleep(20 * time.Millisecond) // if it did not wait, it would be here by now
	if got, want := b.messages(3), []string{`0 /x 2/x,["one"]`, `asked 0 /x 2/x,["two"]`, `0 /mark 2/mark,["e"]`}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	close(sent)
	if got := b.messages(4)[3]; got != `0 /x 2/x,["three"]` {
		t.Errorf("%s, want three", got)
	}
	close(acked)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Who did not answer is named, what came stands, and the deadline is kept.
func TestBus_MissingNodesAreNamed(t *testing.T) {
	s := redistest.Start(t)
	var members atomic.Pointer[[]string]
	members.Store(&[]string{"a", "b", "c", "d"})
	a := start(t, s, "a", func(o *Options) {
		o.Members = func(context.Context, string) ([]string, error) { return *members.Load(), nil }
	})
	b, c := start(t, s, "b"), start(t, s, "c", func(o *Options) { o.MaxMessage = 1000 })
	for _, n := range []*testNode{a, b, c} {
		n.enter("/x")
	}
	m := &namespace.Message{Kind: namespace.KindFetch, FullName: "/x"}
	check := func(what string, wantAnswers []string, m *namespace.Message, want ...string) {
		t.Helper()
		for timeout := 500 * time.Millisecond; ; timeout *= 5 { // a busy machine takes longer
			got, err := a.answers(m, timeout)
			missing, ok := errors.AsType[*namespace.MissingError](err)
			switch {
			case ok && slices.Equal(missing.Nodes, want) && slices.Equal(got, wantAnswers):
				return
			case timeout > patience:
				t.Errorf("%s: %q, %v; want %q and %v missing", what, got, err, wantAnswers, want)
				return
			}
		}
	}
	// d is a member but deaf: everybody who was asked answers, and d is named without waiting for the deadline.
	got, err := a.answers(m, 24*time.Hour)
	if missing, ok := errors.AsType[*namespace.MissingError](err); !ok || !slices.Equal(missing.Nodes, []string{"d"}) || !slices.Equal(got, []string{"b:", "c:"}) {
		t.Errorf("%q, %v, want that d is missing", got, err)
	}

	// A stranger that is subscribed to requests and silent.
	stranger := s.Client().Subscribe(t.Context(), "socket.io-request#/x#")
	if _, err := stranger.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("stranger", []string{"b:", "c:"}, m, "d")
	members.Store(&[]string{})
	check("stranger without a directory", []string{"b:", "c:"}, m, "unknown")
	stranger.Close()
	redisClient := s.Client()
	eventually(t, "the stranger has gone", func() bool {
		n, err := redisClient.PubSubNumSub(t.Context(), "socket.io-request#/x#").Result()
		return err == nil && n["socket.io-request#/x#"] == 3
	})
	members.Store(&[]string{"a", "b", "c"})

	silent := func(ctx context.Context, _ *namespace.Message, reply func(namespace.Answer)) { <-ctx.Done() }
	c.onAnswer(silent)
	sse := broadcast("/x", "sse")
	sse.Kind = namespace.KindServerSide
	check("server-side", []string{"b:"}, sse, "c")

	// An answer that does not fit into a message.
	c.onAnswer(func(_ context.Context, _ *namespace.Message, reply func(namespace.Answer)) {
		reply(namespace.Answer{Sockets: []namespace.SocketInfo{{ID: strings.Repeat("s", 1000)}}})
	})
	check("too large", []string{"b:", "c:"}, m, "c")
}

// A node answers with how many clients it has asked: if they are silent, they are late, and the node is not.
func TestBus_SilentClientsAreNoMissingNode(t *testing.T) {
	s := redistest.Start(t)
	members := func(context.Context, string) ([]string, error) { return []string{"a", "b", "c", "d"}, nil }
	a := start(t, s, "a", func(o *Options) { o.Members = members })
	b, c := start(t, s, "b"), start(t, s, "c")
	for _, n := range []*testNode{a, b, c} {
		n.enter("/x")
	}
	clients := func(n, acknowledge int) func(context.Context, *namespace.Message, func(namespace.Answer)) {
		return func(ctx context.Context, _ *namespace.Message, reply func(namespace.Answer)) {
			reply(namespace.Answer{Clients: n})
			for range acknowledge {
				reply(namespace.Answer{Args: argsOf(1)})
			}
			<-ctx.Done()
		}
	}
	b.onAnswer(clients(1, 1))
	c.onAnswer(clients(3, 1))
	_, err := a.answers(broadcast("/x", "q"), 500*time.Millisecond)
	if !errors.Is(err, namespace.ErrTimeout) || !strings.Contains(fmt.Sprint(err), "2 clients of node c") {
		t.Errorf("%v, want ErrTimeout of 2 clients of node c", err)
	}
	if missing, ok := errors.AsType[*namespace.MissingError](err); !ok || !slices.Equal(missing.Nodes, []string{"d"}) {
		t.Errorf("%v, want the deaf node d missing and no other", err)
	}
	d := start(t, s, "d")
	d.enter("/x")
	d.onAnswer(clients(1, 1))
	_, err = a.answers(broadcast("/x", "q"), 500*time.Millisecond)
	if _, ok := errors.AsType[*namespace.MissingError](err); ok || !errors.Is(err, namespace.ErrTimeout) {
		t.Errorf("%v, want ErrTimeout alone", err)
	}

	// Servers that answer without a name have clients, too.
	b.onAnswer(clients(0, 0))
	c.onAnswer(clients(0, 0))
	stranger := s.Client().Subscribe(t.Context(), "socket.io-request#/x#")
	defer stranger.Close()
	if _, err := stranger.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	redisClient := s.Client()
	go func() {
		m := <-stranger.Channel()
		q, err := wire.DecodeRequest([]byte(m.Payload), 1<<20)
		if err == nil {
			err = redisClient.Publish(context.Background(), "socket.io-response#/x#", `{"type":8,"requestId":"`+q.ID+`","clientCount":1}`).Err()
		}
		if err != nil {
			t.Error(err)
		}
	}()
	_, err = a.answers(broadcast("/x", "q"), 500*time.Millisecond)
	if _, ok := errors.AsType[*namespace.MissingError](err); ok || !errors.Is(err, namespace.ErrTimeout) || !strings.Contains(fmt.Sprint(err), "1 client of other servers") {
		t.Errorf("%v, want ErrTimeout of 1 client of other servers", err)
	}
}

// Redis is away: the question ends with its context and says that it was not sent.
func TestBus_AskWithoutRedis(t *testing.T) {
	s := redistest.Start(t)
	a := start(t, s, "a")
	a.enter("/x")
	s.Kill()
	eventually(t, "down", func() bool { return !a.Connected() })
	if _, err := a.answers(&namespace.Message{Kind: namespace.KindFetch, FullName: "/x"}, 100*time.Millisecond); !errors.Is(err, ErrUnsent) {
		t.Errorf("%v, want ErrUnsent", err)
	}
}

// A Node server counts us, whatever we have to say: every question has its answer, on the
// channel of the one who asks.
func TestBus_AnswersWhatNodeAsks(t *testing.T) {
	s := redistest.Start(t)
	b := start(t, s, "b")
	b.enter("/x")
	b.wait(b.EnterRoom("/x", "r"))
	b.SocketEntered("/x", "sid")
	b.onAnswer(func(_ context.Context, m *namespace.Message, reply func(namespace.Answer)) {
		switch m.Kind {
		case namespace.KindFetch:
			reply(namespace.Answer{Sockets: []namespace.SocketInfo{{ID: "sid", Rooms: []string{"r"}, Handshake: namespace.HandshakeInfo{Time: "T"}}}})
		case namespace.KindBroadcast:
			reply(namespace.Answer{Clients: 1})
			reply(namespace.Answer{Args: argsOf("cb-ack")})
		default:
			reply(namespace.Answer{Args: argsOf(map[string]string{"from": "B"})})
		}
	})
	c := s.Client()
	sub := c.Subscribe(t.Context(), "socket.io-response#/x#", "socket.io-response#/x#uuuuuu#")
	defer sub.Close()
	for range 2 {
		if _, err := sub.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	const socket = `{"id":"sid","handshake":{"headers":{},"time":"T","address":"","xdomain":false,"secure":false,"issued":0,"url":"","query":{},"auth":{}},"rooms":["sid","r"],"data":{}}`
	own, common := "socket.io-response#/x#uuuuuu#", "socket.io-response#/x#"
	for _, tt := range []struct{ request, channel, want string }{
		{`{"uid":"uuuuuu","requestId":"1","type":0,"rooms":["r"]}`, own, `{"requestId":"1","sockets":["sid"],"node":"b"}`},
		{`{"uid":"uuuuuu","requestId":"2","type":1}`, own, `{"requestId":"2","rooms":["sid","r"],"node":"b"}`},
		{`{"uid":"uuuuuu","requestId":"3","type":5,"opts":{"rooms":[],"except":[]}}`, own, `{"requestId":"3","sockets":[` + socket + `],"node":"b"}`},
		{`{"requestId":"4","type":5,"opts":{}}`, common, `{"requestId":"4","sockets":[` + socket + `],"node":"b"}`},
		{`{"uid":"uuuuuu","requestId":"5","type":6,"data":["sse",1]}`, own, `{"type":6,"requestId":"5","data":{"from":"B"},"node":"b"}`},
		{`{"uid":"uuuuuu","requestId":"6","type":2,"sid":"sid","room":"n"}`, own, `{"requestId":"6","node":"b"}`},
		{`{"uid":"uuuuuu","requestId":"7","type":2,"sid":"other","room":"n"}`, "", ``},
		{`{"uid":"uuuuuu","type":2,"opts":{"rooms":["r"]},"rooms":["n"]}`, "", ``},
		{"\x85\xa3uid\xa6uuuuuu\xa9requestId\xa18\xa4type\x07\xa6packet\x83\xa4type\x02\xa4data\x91\xa1q\xa3nsp\xa2/x\xa4opts\x80", own,
			`{"type":8,"requestId":"8","clientCount":1,"node":"b"}`},
		{``, own, "\x84\xa4type\x09\xa9requestId\xa18\xa6packet\xa6cb-ack\xa4node\xa1b"},
	} {
		if tt.request != "" {
			if err := c.Publish(t.Context(), "socket.io-request#/x#", tt.request).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if tt.want == "" {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		msg, err := sub.ReceiveMessage(ctx)
		cancel()
		if err != nil || msg.Channel != tt.channel || msg.Payload != tt.want {
			t.Errorf("%s: %v, %v\nwant %s %s", tt.request, msg, err, tt.channel, tt.want)
		}
	}
	b.forget()
	// What a server of another make publishes to one room, and to one socket, comes by their channels.
	payload, err := wire.AppendBroadcast(nil, wire.Node, "emitter", &namespace.Message{FullName: "/x", Event: broadcast("/x", "e").Event, Rooms: []string{"sid"}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the socket's room is subscribed", func() bool { return b.Stats().Subscriptions == ownChannels+6 })
	for _, channel := range []string{"socket.io#/x#sid#", "socket.io#/x#r#", "socket.io#/x#"} {
		if err := c.Publish(t.Context(), channel, payload).Err(); err != nil {
			t.Fatal(err)
		}
	}
	b.messages(1) // lanes keep the order
	a := start(t, s, "a")
	b.expect(a, "/x", slices.Repeat([]string{`0 /x to:[sid] 2/x,["e"]`}, 3)...)
}

// More questions at a time than allowed are dropped and counted.
func TestBus_BoundsAnswersAside(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b", func(o *Options) { o.MaxAside = 2 })
	b.enter("/x")
	b.onAnswer(func(ctx context.Context, _ *namespace.Message, reply func(namespace.Answer)) { <-ctx.Done() })
	m := broadcast("/x", "sse")
	m.Kind = namespace.KindServerSide
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	for range 4 {
		go func() { done <- a.Ask(ctx, m, func(namespace.Answer) {}) }()
	}
	eventually(t, "two dropped", func() bool { return b.Stats().Dropped["busy"] == 2 })
	cancel()
	for range 4 {
		if _, ok := errors.AsType[*namespace.MissingError](<-done); !ok {
			t.Error("want a MissingError")
		}
	}
}
