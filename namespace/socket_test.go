package namespace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pair is a registry that accepts everything and one client in "/".
func pair(t *testing.T) (*Registry, *peer, *Socket) {
	r := newRegistry(t, Options{})
	r.Setup("*", accept)
	p := newPeer(t, r, dial{})
	return r, p, p.join("/")
}

// Disconnect drops what the client has sent and nobody has handled yet.
func TestSocket_DisconnectDropsWaitingEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker(t, Options{})
		p := newPeer(t, b.Registry, dial{})
		s := p.join("/")
		p.event("/", `["block"]`)
		<-b.blocked
		p.event("/", `["e"]`)
		s.Disconnect(false)
		p.want("1")
		if s.Connected() || s.Emit("x") != ErrDisconnected || s.Join("r") != ErrDisconnected {
			t.Error("the socket works on after Disconnect")
		}
		if context.Cause(s.Context()) != ErrDisconnected {
			t.Error("its context is not over")
		}
		close(b.release)
		synctest.Wait()
		if n := b.handled.Load(); n != 0 {
			t.Errorf("%d events handled, want none", n)
		}
		s.Disconnect(false)
		p.wantNothing()
		p.join("/") // the connection lives on
	})
}

func TestSocket_DisconnectClosesConnection(t *testing.T) {
	r := newRegistry(t, Options{})
	reasons := make(chan string, 2)
	r.Setup("*", func(ns *Namespace, _ Match) error {
		ns.OnConnect(func(s *Socket) { s.OnDisconnect(func(reason string) { reasons <- reason }) })
		return nil
	})
	p := newPeer(t, r, dial{})
	p.join("/a")
	p.join("/b").Disconnect(true)
	p.wantClosed(ReasonForcedClose)
	for range 2 {
		if got := receive(t, reasons); got != ReasonServerLeft {
			t.Errorf("reason %q", got)
		}
	}
}

// The rooms are there in OnDisconnecting and gone in OnDisconnect; both run
// once, in the socket's place among its events.
func TestSocket_DisconnectHandlers(t *testing.T) {
	r := newRegistry(t, Options{})
	log := make(chan string, 10)
	r.Setup("/", func(ns *Namespace, _ Match) error {
		ns.OnConnect(func(s *Socket) {
			if err := s.Join("room"); err != nil {
				t.Error(err)
			}
			s.OnDisconnecting(func(string) { log <- fmt.Sprint("disconnecting ", s.Rooms()) })
			s.OnDisconnect(func(string) { log <- fmt.Sprint("disconnected ", s.Rooms(), ns.Rooms()) })
			s.OnDisconnect(func(string) { panic("costs nobody else anything") })
			_ = s.Emit("in")
		})
		return nil
	})
	p := newPeer(t, r, dial{})
	p.join("/")
	p.want(`2["in"]`)
	p.leave("/")
	p.close()
	if got, want := []string{receive(t, log), receive(t, log)}, []string{"disconnecting [room]", "disconnected [] map[]"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	eventually(t, "the client is finished", func() bool { return r.Stats().Disconnects == 1 && uses(r.Lookup("/")) == 0 })
	if n := len(log); n != 0 {
		t.Errorf("%d more handlers ran", n)
	}
	if got := r.Stats().Panics; got != 1 {
		t.Errorf("%d panics counted, want 1", got)
	}
}

// What a middleware began under the socket's context ends when the socket is
// not let in.
func TestSocket_ContextEndsIfRefused(t *testing.T) {
	for name, refuse := range map[string]bool{"middleware": true, "client gone": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry(t, Options{})
				r.Setup("/", func(ns *Namespace, _ Match) error {
					ns.Use(func(_ context.Context, s *Socket) error {
						ctx := s.Context()
						go func() { <-ctx.Done() }() // synctest fails if it stays
						time.Sleep(time.Second)
						if refuse {
							return errors.New("no")
						}
						return nil
					})
					return nil
				})
				p := newPeer(t, r, dial{})
				p.ask("/")
				synctest.Wait()
				if !refuse {
					p.leave("/")
				}
				time.Sleep(2 * time.Second)
				p.close()
			})
		})
	}
}

func TestMiddleware_RefusalTellsTheClient(t *testing.T) {
	for _, c := range []struct {
		name string
		m    Middleware
		want string
	}{
		{"error", func(context.Context, *Socket) error { return errors.New("secret") }, `{"message":"Forbidden"}`},
		{"client error", func(context.Context, *Socket) error { return &ClientError{Message: "no", Data: 7} }, `{"message":"no","data":7}`},
		{"data that cannot be encoded", func(context.Context, *Socket) error { return &ClientError{Message: "no", Data: make(chan int)} }, `{"message":"no"}`},
		{"panic", func(context.Context, *Socket) error { panic("secret") }, `{"message":"Forbidden"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRegistry(t, Options{})
			r.Setup("/m", func(ns *Namespace, _ Match) error { ns.Use(c.m); return nil })
			p := newPeer(t, r, dial{})
			p.ask("/m")
			p.want("4/m," + c.want)
			eventually(t, "the pin is back", func() bool { return uses(r.Lookup("/m")) == 0 })
		})
	}
}

// A listener of outgoing events slows broadcasts down as long as its socket is
// there, and no longer.
func TestSocket_OutgoingListenersGoWithTheSocket(t *testing.T) {
	_, p, s := pair(t)
	ns := s.Namespace()
	seen := make(chan string, 10)
	off := s.OnAnyOutgoing(func(_ context.Context, e *Event) error { seen <- e.Name; return nil })
	s.OnAnyOutgoing(func(context.Context, *Event) error { return nil })
	_ = ns.Emit("broadcast")
	_ = s.Emit("single")
	if a, b := receive(t, seen), receive(t, seen); a != "broadcast" || b != "single" {
		t.Errorf("saw %q and %q", a, b)
	}
	off()
	off()
	if n := ns.outgoing.Load(); n != 1 {
		t.Errorf("%d listeners counted, want 1", n)
	}
	p.close()
	off()
	if n := ns.outgoing.Load(); n != 0 {
		t.Errorf("%d listeners counted after the socket has gone, want 0", n)
	}
	s.OnAnyOutgoing(func(context.Context, *Event) error { return nil })()
	if n := ns.outgoing.Load(); n != 0 {
		t.Errorf("%d listeners counted for a socket that is gone, want 0", n)
	}
}

func TestSocket_HandlersRunInOrder(t *testing.T) {
	r := newRegistry(t, Options{})
	log := make(chan string, 20)
	note := func(what string) Handler {
		return func(ctx context.Context, e *Event) error {
			if SocketFrom(ctx) != e.Socket() || e.Socket() == nil {
				t.Errorf("%s: the context does not know the socket", what)
			}
			log <- what
			return nil
		}
	}
	var off func()
	r.Setup("/", func(ns *Namespace, _ Match) error {
		ns.OnConnect(func(s *Socket) {
			s.On("e", note("socket 1"))
			off = s.On("e", note("socket 2"))
			s.OnAny(note("socket any"))
			s.Use(note("middleware"))
			s.On("end", note("end"))
			s.Use(func(_ context.Context, e *Event) error {
				if e.Name == "bad" {
					return Errorf("refused")
				}
				return nil
			})
		})
		ns.On("e", note("namespace"))
		ns.OnAny(note("namespace any"))
		return nil
	})
	p := newPeer(t, r, dial{})
	p.join("/")
	expect := func(event string, want ...string) {
		t.Helper()
		p.event("/", `["`+event+`"]`)
		for _, w := range want {
			if got := receive(t, log); got != w {
				t.Errorf("%s: %q ran, want %q", event, got, w)
			}
		}
	}
	expect("e", "middleware", "namespace any", "socket any", "namespace", "socket 1", "socket 2")
	off()
	off()
	expect("e", "middleware", "namespace any", "socket any", "namespace", "socket 1")
	p.send(`27["bad"]`)
	p.want(`37[{"error":"refused"}]`)
	expect("end", "middleware", "middleware", "namespace any", "socket any", "end")
}

func TestEvent_Acknowledgements(t *testing.T) {
	type in struct{ N int }
	for _, c := range []struct {
		name    string
		handler Handler
		want    string
	}{
		{"typed result", Handle(func(_ context.Context, a in) (int, error) { return a.N + 1, nil }), `31[6]`},
		{"two arguments", Handle2(func(_ context.Context, a in, b string) (string, error) { return fmt.Sprint(a.N, b), nil }), `31["5x"]`},
		{"nothing to say", Receive(func(_ context.Context, a in) error { return nil }), `31[]`},
		{"wrong type", Receive(func(_ context.Context, a string) error { t.Error("ran"); return nil }), ""},
		{"error", Receive(func(context.Context, in) error { return errors.New("secret") }), `31[{"error":"internal error"}]`},
		{"client error", Receive(func(context.Context, in) error { return &ClientError{Message: "no", Data: 1} }), `31[{"data":1,"error":"no"}]`},
		{"panic", Receive(func(context.Context, in) error { panic("secret") }), `31[{"error":"internal error"}]`},
		{"twice", func(_ context.Context, e *Event) error {
			if !e.WantsAck() {
				return e.Ack("goes nowhere")
			}
			if err := e.Ack(make(chan int)); err == nil {
				t.Error("a channel was encoded")
			}
			if err := e.Ack(1); err != nil {
				t.Error(err)
			}
			if err := e.Ack(2); err != ErrAcked {
				t.Errorf("second Ack: %v", err)
			}
			return errors.New("too late to be told")
		}, `31[1]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRegistry(t, Options{})
			done := make(chan bool, 2)
			r.Setup("/", func(ns *Namespace, _ Match) error {
				ns.On("e", c.handler)
				ns.On("done", func(context.Context, *Event) error { done <- true; return nil })
				return nil
			})
			p := newPeer(t, r, dial{})
			p.join("/")
			p.send(`21["e",{"N":5},"x"]`)
			if c.want != "" {
				p.want(c.want)
			} else if got := p.next(); !strings.HasPrefix(got, `31[{"error":`) {
				t.Errorf("got %q", got)
			}
			p.event("/", `["e",{"N":5},"x"]`) // nobody waits: no answer
			p.event("/", `["done"]`)
			receive(t, done)
			p.wantNothing()
		})
	}
}

func TestSocket_EmitWithAck(t *testing.T) {
	id := func(frame string) string { // of 2<id>["q"]
		return frame[1:strings.IndexByte(frame, '[')]
	}
	type result struct {
		args *Args
		err  error
	}
	ask := func(s *Socket, d time.Duration) <-chan result {
		got := make(chan result, 1)
		go func() {
			args, err := s.Timeout(d).EmitWithAck(context.Background(), "q")
			got <- result{args, err}
		}()
		return got
	}
	pending := func(s *Socket) int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.acks)
	}
	t.Run("answered, then again", func(t *testing.T) {
		_, p, s := pair(t)
		got := ask(s, 0)
		ack := `3` + id(p.next()) + `["yes"]`
		p.send(ack, ack)
		r := receive(t, got)
		var answer string
		if r.err != nil || r.args.Bind(&answer) != nil || answer != "yes" {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, p, s := pair(t)
			start := time.Now()
			r := <-ask(s, 3*time.Second)
			if !errors.Is(r.err, ErrTimeout) || time.Since(start) != 3*time.Second {
				t.Errorf("%v after %v", r.err, time.Since(start))
			}
			if n := pending(s); n != 0 {
				t.Errorf("%d acknowledgements are still waited for", n)
			}
			p.send(`3` + id(p.next()) + `["late"]`)
			p.close()
		})
	})
	t.Run("disconnected", func(t *testing.T) {
		_, p, s := pair(t)
		got := ask(s, 0)
		p.next()
		p.close()
		if r := receive(t, got); r.err != ErrDisconnected {
			t.Errorf("got %v", r.err)
		}
		if r := receive(t, ask(s, 0)); r.err != ErrDisconnected {
			t.Errorf("afterwards: %v", r.err)
		}
	})
	t.Run("connection takes nothing", func(t *testing.T) {
		_, p, s := pair(t)
		p.conn.setDeaf(true)
		if r := receive(t, ask(s, 0)); r.err != ErrDisconnected {
			t.Errorf("got %v", r.err)
		}
		if n := pending(s); n != 0 {
			t.Errorf("%d acknowledgements are still waited for", n)
		}
	})
	t.Run("no time-out given", func(t *testing.T) {
		for _, ctx := range []func(*Socket) context.Context{
			func(*Socket) context.Context { return context.Background() },
			(*Socket).Context, // that of a handler, which ends with the socket
		} {
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry(t, Options{AckTimeout: 7 * time.Second})
				r.Setup("/", accept)
				p := newPeer(t, r, dial{})
				s := p.join("/")
				start := time.Now()
				_, err := Ask[int](ctx(s), s, "q")
				if took := time.Since(start); !errors.Is(err, ErrTimeout) || took != 7*time.Second {
					t.Errorf("%v after %v", err, took)
				}
				p.close()
			})
		}
	})
	t.Run("volatile and dropped", func(t *testing.T) {
		_, p, s := pair(t)
		p.conn.setDeaf(true)
		if _, err := s.Volatile().EmitWithAck(context.Background(), "q"); err != ErrDropped {
			t.Errorf("got %v", err)
		}
		replies, err := s.Namespace().Volatile().EmitWithAck(context.Background(), "q")
		if !errors.Is(err, ErrDropped) || errors.Is(err, ErrTimeout) || len(replies) != 1 || replies[0].Err != ErrDropped {
			t.Errorf("broadcast: %+v, %v", replies, err)
		}
		if err := s.Volatile().Emit("e"); err != nil {
			t.Errorf("without an acknowledgement: %v", err)
		}
		if n := pending(s); n != 0 {
			t.Errorf("%d acknowledgements are still waited for", n)
		}
	})
	t.Run("answered without arguments", func(t *testing.T) {
		_, p, s := pair(t)
		got := ask(s, 0)
		p.send(`3` + id(p.next()))
		if r := receive(t, got); r.err != nil || r.args.Len() != 0 {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("from a handler", func(t *testing.T) {
		r := newRegistry(t, Options{})
		r.Setup("/", func(ns *Namespace, _ Match) error {
			ns.On("e", func(ctx context.Context, e *Event) error {
				n, err := Ask[int](ctx, e.Socket(), "q")
				if err != nil {
					return err
				}
				return e.Ack(n + 1)
			})
			return nil
		})
		p := newPeer(t, r, dial{})
		p.join("/")
		p.send(`27["e"]`)
		p.send(`3` + id(p.next()) + `[41]`)
		p.want(`37[42]`)
	})
}

func TestSocket_EmitRefusesWhatCannotBeSent(t *testing.T) {
	_, p, s := pair(t)
	for _, event := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		if s.Emit(event) == nil || s.Namespace().Emit(event) == nil {
			t.Errorf("reserved event %q was sent", event)
		}
	}
	if s.Emit("e", func() {}) == nil {
		t.Error("a function was sent")
	}
	p.wantNothing()
}

type panicker struct{}

func (panicker) MarshalJSON() ([]byte, error) { panic("in MarshalJSON") }

type asker struct{ d *Data }

func (a asker) MarshalJSON() ([]byte, error) { return json.Marshal(a.d.Get("other")) }

// FetchSockets encodes values that are the application's, also for other
// nodes, in the goroutine that serves them all.
func TestData_ValuesThatCannotBeEncoded(t *testing.T) {
	_, _, s := pair(t)
	s.Data.Set("ok", 1)
	s.Data.Set("chan", make(chan int))
	s.Data.Set("panics", panicker{})
	s.Data.Set("other", 2)
	s.Data.Set("asks", asker{&s.Data})
	got := make(chan string, 1)
	go func() { got <- string(s.Data.encode()) }()
	if got, want := receive(t, got), `{"asks":2,"ok":1,"other":2}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if n, ok := Value[int](&s.Data, "ok"); n != 1 || !ok {
		t.Errorf("Value = %d, %v", n, ok)
	}
	if _, ok := Value[string](&s.Data, "ok"); ok {
		t.Error("a number is a string")
	}
}

// No event is lost between the CONNECT answer and the handlers' registration.
func TestSocket_EventsRightAfterConnect(t *testing.T) {
	r := newRegistry(t, Options{})
	var handled atomic.Int64
	r.Setup("*", func(ns *Namespace, _ Match) error {
		ns.OnConnect(func(s *Socket) {
			time.Sleep(100 * time.Microsecond)
			s.On("e", func(context.Context, *Event) error { handled.Add(1); return nil })
		})
		return nil
	})
	const clients = 200
	for i := range clients {
		p := newPeer(t, r, dial{})
		name := fmt.Sprintf("/%d", i%7)
		p.ask(name)
		p.admitted(name)
		p.event(name, `["e"]`)
	}
	eventually(t, "all events", func() bool { return handled.Load() == clients })
}

// Who asks within the context of a socket that goes hears that it has gone, not
// that the time is over; who gives up hears why.
func TestSocket_EmitWithAckSaysWhyNothingCame(t *testing.T) {
	r := newRegistry(t, Options{})
	r.Setup("*", accept)
	p := newPeer(t, r, dial{})
	s := p.join("/x")
	asked := make(chan error, 1)
	go func() {
		_, err := s.EmitWithAck(s.Context(), "question")
		asked <- err
	}()
	p.next()
	p.leave("/x")
	if err := receive(t, asked); !errors.Is(err, ErrDisconnected) || errors.Is(err, ErrTimeout) {
		t.Errorf("a client that goes: %v, want ErrDisconnected", err)
	}

	s = p.join("/y")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("changed my mind")
	cancel(why)
	if _, err := s.EmitWithAck(ctx, "question"); !errors.Is(err, ErrTimeout) || !errors.Is(err, why) {
		t.Errorf("a caller that gives up: %v", err)
	}
}
