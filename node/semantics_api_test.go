package node_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// What a Go user writes, against a real node and raw clients.

type message struct {
	ID   int    `json:"id"`
	Text string `json:"text"`
	Blob []byte `json:"blob,omitempty"`
}

// inMain is a node with one client in "/", and its socket.
func inMain(t *testing.T, opts node.Options) (*testServer, *client, *namespace.Socket) {
	t.Helper()
	srv := start(t, opts)
	c, s := srv.member(how{})
	return srv, c, s
}

// member connects a client to "/" and returns its socket, too.
func (s *testServer) member(h how) (*client, *namespace.Socket) {
	s.t.Helper()
	c := s.connect(h)
	return c, s.Main().Socket(c.join("/"))
}

// Handle, Handle2 and Receive decode arguments and acknowledge with the result.
func TestAPI_TypedHandlers(t *testing.T) {
	_, c, s := inMain(t, node.Options{})
	s.On("one", namespace.Handle(func(_ context.Context, m message) (message, error) {
		m.Text += "!"
		m.Blob = append(slices.Clone(m.Blob), 9)
		return m, nil
	}))
	s.On("two", namespace.Handle2(func(_ context.Context, a string, b []int) (string, error) { return fmt.Sprint(a, b), nil }))
	s.On("got", namespace.Receive(func(ctx context.Context, m *message) error {
		if m == nil {
			return errors.New("secret reason")
		}
		if namespace.SocketFrom(ctx) != s {
			return errors.New("another socket")
		}
		return namespace.Errorf("id %d", m.ID)
	}))
	s.On("nothing", namespace.Receive(func(context.Context, string) error { return nil }))
	for _, tc := range [][2]string{
		{`21["one",{"id":7,"text":"hi"}]`, `61-1[{"id":7,"text":"hi!","blob":{"_placeholder":true,"num":0}}]`},
		{`22["two","a",[1,2]]`, `32["a[1 2]"]`},
		{`23["two"]`, `33["[]"]`},
		{`24["two",1,[1]]`, `34[{"error":"`},
		{`25["got",{"id":5}]`, `35[{"error":"id 5"}]`},
		{`26["got",null]`, `36[{"error":"internal error"}]`},
		{`27["nothing","x"]`, `37[]`},
	} {
		c.send(tc[0])
		if got := c.next(); !strings.HasPrefix(got, tc[1]) {
			t.Errorf("%s was answered with %s, want %s", tc[0], got, tc[1])
		}
		if strings.HasPrefix(tc[1], "61-") {
			c.want("\x00\x09")
		}
	}
	c.send(`51-8["one",{"id":1,"blob":{"_placeholder":true,"num":0}}]`, "\x00\x01\x02")
	c.want(`61-8[{"id":1,"text":"!","blob":{"_placeholder":true,"num":0}}]`, "\x00\x01\x02\x09")
	c.send(`2["one",{"id":7}]`, `2["two"]`) // no acknowledgement is wanted
	c.wantNothing()
}

// What a client presents, and what it came with.
func TestAPI_AuthQueryHandshakeData(t *testing.T) {
	srv := start(t, node.Options{})
	c := srv.connect(how{query: url.Values{"room": {"a b"}}, header: http.Header{"X-Test": {"yes"}}})
	s := srv.Main().Socket(c.joinWith("/", `{"token":"t","n":3}`))
	var auth struct {
		Token string
		N     int
	}
	if err := s.Auth(&auth); err != nil || auth.Token != "t" || auth.N != 3 {
		t.Errorf("auth %+v, %v", auth, err)
	}
	if err := s.Auth(new([]int)); err == nil {
		t.Error("an object was decoded into a list")
	}
	h := s.Handshake()
	if s.Query().Get("room") != "a b" || h.Header.Get("X-Test") != "yes" || h.Address != "127.0.0.1" || h.Secure || h.XDomain ||
		time.Since(h.Time) > time.Hour || h.Host != srv.addr || s.Transport() != "websocket" {
		t.Errorf("handshake %+v, query %v, transport %s", h, s.Query(), s.Transport())
	}
	s.Data.Set("user", "ann")
	if v, ok := namespace.Value[string](&s.Data, "user"); v != "ann" || !ok {
		t.Errorf("data %q, %v", v, ok)
	}
	if _, ok := namespace.Value[int](&s.Data, "user"); ok {
		t.Error("a string was taken for a number")
	}
	_, other := srv.member(how{polling: true})
	auth.Token = "unchanged"
	if err := other.Auth(&auth); err != nil || auth.Token != "unchanged" || other.Transport() != "polling" {
		t.Errorf("auth of one who presented nothing: %+v, %v", auth, err)
	}
}

// The order of what sees an event: middleware, OnAny, handlers of the namespace, of the socket.
func TestAPI_OrderOfHandlers(t *testing.T) {
	srv, c, s := inMain(t, node.Options{})
	j := newJournal()
	note := func(what string) namespace.Handler {
		return func(_ context.Context, e *namespace.Event) error {
			j.add("%s %s %d", what, e.Name, e.Len())
			return nil
		}
	}
	s.Use(func(_ context.Context, e *namespace.Event) error {
		if e.Name == "bad" {
			return namespace.Errorf("not you")
		}
		return note("use")(nil, e)
	})
	off := s.On("e", note("own 1"))
	s.On("e", note("own 2"))
	s.On("e", func(_ context.Context, e *namespace.Event) error { return e.Ack(e.Name) })
	anyOff := s.OnAny(note("any"))
	srv.Main().On("e", note("namespace"))
	srv.Main().OnAny(note("namespace any"))
	c.send(`21["e",1,2]`)
	c.want(`31["e"]`)
	want := []string{"use e 2", "namespace any e 2", "any e 2", "namespace e 2", "own 1 e 2", "own 2 e 2"}
	j.want(t, want...)
	c.send(`22["bad"]`)
	c.want(`32[{"error":"not you"}]`)
	c.send(`2["bad"]`)
	j.want(t, want...)
	off()
	off()
	anyOff()
	c.send(`23["e"]`)
	c.want(`33["e"]`)
	j.want(t, append(want, "use e 0", "namespace any e 0", "namespace e 0", "own 2 e 0")...)
}

// OnAnyOutgoing sees what is sent to the socket, broadcasts included, and nobody else's.
func TestAPI_OnAnyOutgoing(t *testing.T) {
	srv, _, s := inMain(t, node.Options{})
	_, other := srv.member(how{})
	j := newJournal()
	off := s.OnAnyOutgoing(func(_ context.Context, e *namespace.Event) error {
		var arg string
		err := e.Bind(&arg)
		j.add("%s %s", e.Name, arg)
		return err
	})
	_ = s.Emit("one", "a")
	_ = srv.Main().Emit("all", "b")
	_ = other.Emit("other", "c")
	_ = s.Broadcast().Emit("others", "d")
	off()
	_ = s.Emit("two", "e")
	j.want(t, "one a", "all b")
}

// A panic costs its event and nothing else: the next handler, the next event and other clients go on.
func TestAPI_HandlerPanics(t *testing.T) {
	srv, c, s := inMain(t, node.Options{})
	s.On("e", func(context.Context, *namespace.Event) error { panic("boom") })
	s.On("f", func(_ context.Context, e *namespace.Event) error { return e.Ack("fine") })
	s.OnDisconnect(func(string) { panic("boom") })
	gone := make(chan string, 1)
	s.OnDisconnect(func(reason string) { gone <- reason })
	c.send(`21["e"]`, `22["f"]`)
	c.want(`31[{"error":"internal error"}]`, `32["fine"]`)
	c.leave("/")
	if got := receive(t, gone); got != namespace.ReasonClientLeft {
		t.Errorf("reason %q", got)
	}
	if got := srv.Registry().Stats().Panics; got != 2 {
		t.Errorf("%d panics counted, want 2", got)
	}
	srv.Main().OnConnect(func(*namespace.Socket) { panic("boom") })
	c.join("/")
}

// A handler may wait for the acknowledgement of the client whose event it handles.
func TestAPI_HandlerAsksItsOwnClient(t *testing.T) {
	for _, polling := range []bool{false, true} {
		srv := start(t, node.Options{})
		c, s := srv.member(how{polling: polling})
		s.On("e", namespace.Handle(func(ctx context.Context, _ int) (string, error) {
			return namespace.Ask[string](ctx, s, "sure?", 1)
		}))
		c.send(`25["e",1]`)
		id := strings.TrimSuffix(strings.TrimPrefix(c.next(), "2"), `["sure?",1]`)
		c.send(`3` + id + `["yes"]`)
		c.want(`35["yes"]`)
	}
}

// It may do so as well when so many events wait behind the one handled that reading has paused.
func TestAPI_HandlerAsksItsOwnClientUnderLoad(t *testing.T) {
	const more = 2000 // far beyond MaxPendingEvents
	_, c, s := inMain(t, node.Options{})
	handled := atomic.Int64{}
	s.On("e", namespace.Handle(func(ctx context.Context, n int) (string, error) {
		if handled.Add(1); n != 0 {
			return "", nil
		}
		ctx, cancel := context.WithTimeout(ctx, patience/2)
		defer cancel()
		return namespace.Ask[string](ctx, s, "sure?")
	}))
	c.send(`25["e",0]`)
	id := strings.TrimSuffix(strings.TrimPrefix(c.next(), "2"), `["sure?"]`)
	packets := make([]string, 0, more+1)
	for i := range more {
		packets = append(packets, fmt.Sprintf(`2["e",%d]`, i+1))
	}
	c.send(append(packets, `3`+id+`["yes"]`)...)
	c.want(`35["yes"]`)
	waitFor(t, "all events are handled", func() bool { return handled.Load() == more+1 })
}

// Handlers of one connection run in order, one at a time; those of different connections in parallel.
func TestAPI_OrderAndParallelism(t *testing.T) {
	const n = 300
	srv := start(t, node.Options{})
	var got [2][]int
	bothIn := make(chan struct{})
	var arrived atomic.Int32
	srv.Main().On("n", func(_ context.Context, e *namespace.Event) error {
		var who, i int
		if err := e.Bind(&who, &i); err != nil {
			return err
		}
		if i == 0 { // only together can both go on
			if arrived.Add(1) == 2 {
				close(bothIn)
			}
			select {
			case <-bothIn:
			case <-time.After(patience):
				t.Error("handlers of two connections do not run in parallel")
			}
		}
		got[who] = append(got[who], i) // a race if two handlers of one connection ran at once
		if i == n-1 {
			return e.Ack() // the client's sign that all is over
		}
		return nil
	})
	var both [2]*client
	for who := range both {
		c := srv.connect(how{polling: who == 1})
		both[who] = c
		c.join("/")
		packets := make([]string, n)
		for i := range packets {
			packets[i] = fmt.Sprintf(`2["n",%d,%d]`, who, i)
		}
		packets[n-1] = fmt.Sprintf(`2%d["n",%d,%d]`, 7, who, n-1)
		sent := make(chan struct{})
		go func() { // ends when they are sent
			defer close(sent)
			if err := c.write(engine(packets)...); err != nil {
				t.Error(err)
			}
		}()
		defer func() { <-sent }()
	}
	for who, c := range both {
		c.want("37[]") // after its last event; what the handlers wrote is visible
		if !slices.IsSorted(got[who]) || len(got[who]) != n {
			t.Errorf("connection %d: %d events, sorted %v", who, len(got[who]), slices.IsSorted(got[who]))
		}
	}
}

// Events that a client sent before it left are handled; the context of a running handler ends.
func TestAPI_ContextEndsAtDisconnect(t *testing.T) {
	for name, leave := range map[string]func(*client, *namespace.Socket){
		"client leaves":   func(c *client, _ *namespace.Socket) { c.leave("/") },
		"connection cut":  func(c *client, _ *namespace.Socket) { c.close() },
		"server's doing":  func(_ *client, s *namespace.Socket) { s.Disconnect(false) },
		"connection shut": func(_ *client, s *namespace.Socket) { s.Disconnect(true) },
	} {
		t.Run(name, func(t *testing.T) {
			_, c, s := inMain(t, node.Options{})
			entered, cause := make(chan struct{}), make(chan error, 1)
			s.On("e", func(ctx context.Context, _ *namespace.Event) error {
				close(entered)
				<-ctx.Done()
				cause <- context.Cause(ctx)
				return nil
			})
			c.send(`2["e"]`)
			<-entered
			leave(c, s)
			if got := receive(t, cause); !errors.Is(got, namespace.ErrDisconnected) || s.Connected() {
				t.Errorf("cause %v, connected %v", got, s.Connected())
			}
			if err := s.Emit("late"); !errors.Is(err, namespace.ErrDisconnected) {
				t.Errorf("emit after the end: %v", err)
			}
		})
	}
}

// What a client sends right before it leaves is handled.
func TestAPI_LastWordsAreHeard(t *testing.T) {
	for _, bye := range []string{"DISCONNECT", "cut"} {
		srv := start(t, node.Options{})
		var mu sync.Mutex
		var got []int
		gone := make(chan string, 1)
		srv.Main().On("n", namespace.Receive(func(_ context.Context, i int) error {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, i)
			return nil
		}))
		srv.Main().OnConnect(func(s *namespace.Socket) { s.OnDisconnect(func(reason string) { gone <- reason }) })
		c := srv.connect(how{})
		c.join("/")
		const n = 200
		packets := make([]string, n)
		for i := range packets {
			packets[i] = fmt.Sprintf(`2["n",%d]`, i)
		}
		if bye == "DISCONNECT" {
			c.send(append(packets, "1")...)
		} else {
			c.send(packets...)
			_ = c.write("1") // Engine.IO's close
		}
		receive(t, gone)
		mu.Lock()
		if len(got) != n {
			t.Errorf("%s: %d of %d events were handled", bye, len(got), n)
		}
		mu.Unlock()
	}
}

// receive waits for a value.
func receive[T any](t testing.TB, from chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	return v
}
