package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/dynamicio/dynamicio/cluster/wire"
	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/namespace/frame"
)

// Everything a broadcast may say arrives at the other node, once, and nothing at the sender.
func TestBus_Broadcast(t *testing.T) {
	for name, edit := range map[string]func(*Options){
		"Node":     func(*Options) {},
		"stock Go": func(o *Options) { o.Dialect, o.Prefix = wire.StockGo, "go.io" },
	} {
		t.Run(name, func(t *testing.T) {
			s := redistest.Start(t)
			a, b := start(t, s, "a", edit), start(t, s, "b", edit)
			a.enter("/x")
			b.enter("/x")
			b.wait(b.EnterRoom("/x", "r1"))
			b.SocketEntered("/x", "sid1")
			send := func(change func(*namespace.Message), args ...any) {
				m := broadcast("/x", "e", args...)
				change(m)
				a.publish(m)
			}
			send(func(*namespace.Message) {}, 1, "two", map[string]any{"3": nil}, []byte{4, 5})
			send(func(m *namespace.Message) { m.Rooms = []string{"r1"} })
			send(func(m *namespace.Message) { m.Rooms = []string{"r2"} }) // not here
			send(func(m *namespace.Message) { m.Rooms = []string{"r2", "sid1"} })
			send(func(m *namespace.Message) { m.Rooms, m.Except = []string{"sid1"}, []string{"r1", "z"} })
			send(func(m *namespace.Message) { m.Flags = frame.Flags{Volatile: true} })
			b.expect(a, "/x",
				`0 /x 51-/x,["e",1,"two",{"3":null},{"_placeholder":true,"num":0}] <0405>`,
				`0 /x to:[r1] 2/x,["e"]`,
				`0 /x to:[r2 sid1] 2/x,["e"]`,
				`0 /x to:[sid1] except:[r1 z] 2/x,["e"]`,
				`0 /x {Volatile:true NoCompress:false} 2/x,["e"]`)
			a.expect(b, "/x")
		})
	}
}

// The channel of the namespace /a#b is that of the room b of /a. Each gets what is its own, whichever
// came first, and the one that stays keeps it.
func TestBus_NumberSignInNames(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b")
	c := s.Client()
	toRoom := broadcast("/a", "room")
	toRoom.Rooms = []string{"b"}
	payload, err := wire.AppendBroadcast(nil, wire.Node, "emitter", toRoom) // as others publish it
	if err != nil {
		t.Fatal(err)
	}
	check := func(want ...string) {
		t.Helper()
		if err := c.Publish(t.Context(), "socket.io#/a#b#", payload).Err(); err != nil {
			t.Fatal(err)
		}
		a.publish(broadcast("/a#b", "ns"))
		a.publish(broadcast("/z", "mark"))
		got := b.messages(len(want) + 1)
		slices.Sort(got)
		if want = append(want, `0 /z 2/z,["mark"]`); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		b.forget()
	}
	b.enter("/z")
	for _, nsFirst := range []bool{true, false} {
		b.enter("/a")
		if nsFirst {
			b.enter("/a#b")
		}
		b.wait(b.EnterRoom("/a", "b"))
		b.enter("/a#b")
		check(`0 /a to:[b] 2/a,["room"]`, `0 /a#b 2/a#b,["ns"]`)
		if nsFirst {
			b.Leave("/a#b")
			check(`0 /a to:[b] 2/a,["room"]`)
		} else {
			b.Leave("/a")
			check(`0 /a#b 2/a#b,["ns"]`)
		}
		b.Leave("/a")
		b.Leave("/a#b")
	}
	eventually(t, "all left", func() bool { return b.Stats().Subscriptions == ownChannels+4 })
}

// Redis's confirmation is waited for, not only that it was asked.
func TestBus_WaitsForConfirmation(t *testing.T) {
	s := redistest.Start(t)
	b := start(t, s, "b")
	eventually(t, "connected", b.Connected)
	s.Pause()
	wait := b.Enter("/x")
	eventually(t, "asked", func() bool { return b.Stats().SubscribeCommands == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := wait(ctx)
	s.Continue()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the end of the context", err)
	}
	b.wait(wait)
}

// A node that does not tell of its sockets gets every broadcast to rooms, or those to a socket
// would be lost.
func TestBus_SocketsNotTold(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b")
	b.enter("/x")
	m := broadcast("/x", "e")
	m.Rooms = []string{"sid"}
	a.publish(m)
	b.expect(a, "/x", `0 /x to:[sid] 2/x,["e"]`)
}

// Clients know the short name; Redis and the other servers the full one.
func TestBus_VirtualHost(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b")
	b.enter("//host.com/x")
	b.enter("/x")
	a.publish(broadcast("//host.com/x", "e"))
	b.expect(a, "//host.com/x", `0 /x full://host.com/x 2/x,["e"]`)
}

// Commands and broadcasts of one node stay in order: a room that sockets were just made to join hears
// what comes next, though its own channel is not subscribed yet.
func TestBus_CommandsInOrder(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b")
	b.enter("/")
	b.SocketEntered("/", "s")
	b.onDeliver(func(m *namespace.Message) {
		if m.Kind == namespace.KindJoin {
			b.wait(b.EnterRoom("/", m.To[0])) // as a handler's Join would
		}
	})
	a.publish(&namespace.Message{Kind: namespace.KindJoin, FullName: "/", Rooms: []string{"s"}, To: []string{"new"}})
	m := broadcast("/", "e")
	m.Rooms = []string{"new"}
	a.publish(m)
	a.publish(&namespace.Message{Kind: namespace.KindLeave, FullName: "/", Except: []string{"s"}, To: []string{"new", "r"}})
	a.publish(&namespace.Message{Kind: namespace.KindDisconnect, FullName: "/", Close: true})
	b.expect(a, "/",
		`1 / to:[s] rooms:[new]`,
		`0 / to:[new] 2["e"]`,
		`2 / except:[s] rooms:[new r]`,
		`3 / close`)
}

// Ten thousand messages of one node, to rooms and to all, arrive in order and once.
func TestBus_TenThousandInOrder(t *testing.T) {
	s := redistest.Start(t)
	a, b, c := start(t, s, "a"), start(t, s, "b"), start(t, s, "c")
	nodes := []*testNode{b, c}
	for _, n := range nodes {
		n.enter("/x")
		n.wait(n.EnterRoom("/x", "r"))
	}
	const count = 10000
	for i := range count {
		m := broadcast("/x", "n", i)
		if i%3 == 1 {
			m.Rooms = []string{"r"}
		}
		a.publish(m)
	}
	a.publish(broadcast("/x", "n", count)) // nothing comes behind it
	for _, n := range nodes {
		got := n.messages(count + 1)
		for i, g := range got {
			if want := fmt.Sprintf(`2/x,["n",%d]`, i); !strings.HasSuffix(g, want) || len(got) != count+1 {
				t.Fatalf("%s: message %d of %d is %s, want %s", n.id, i, len(got), g, want)
			}
		}
	}
}

// Once wait has returned, the very next broadcast is received. Twenty at a time, so that some are
// asked for while a command is under way.
func TestBus_SubscribedWhenWaitReturns(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b")
	done := make(chan string)
	const rounds, parallel = 15, 20
	for p := range parallel {
		go func() {
			for r := range rounds {
				full := fmt.Sprintf("/n%d-%d", p, r)
				if err := b.Enter(full)(context.Background()); err != nil {
					done <- err.Error()
					return
				}
				if err := a.Publish(broadcast(full, "e")); err != nil {
					done <- err.Error()
					return
				}
			}
			done <- ""
		}()
	}
	for range parallel {
		if msg := <-done; msg != "" {
			t.Fatal(msg)
		}
	}
	b.messages(rounds * parallel)
	if n := b.Stats().SubscribeCommands; n > rounds*parallel/2 {
		t.Errorf("%d commands for %d namespaces: they are not batched", n, rounds*parallel)
	}
}

// What was left is not received any more, and nothing stays in Redis or in the bus.
func TestBus_LeaveForgets(t *testing.T) {
	s := redistest.Start(t)
	a := start(t, s, "a")
	c := s.Client()
	before := channels(t, c)
	a.enter("/x")
	a.wait(a.EnterRoom("/x", "r"))
	a.SocketEntered("/x", "sid")
	a.SocketEntered("/x", "r") // a room may be called as a socket
	eventually(t, "subscribed", func() bool { return channels(t, c) == before+6 })
	a.SocketLeft("/x", "r")
	a.LeaveRoom("/x", "r")
	eventually(t, "room left", func() bool { return channels(t, c) == before+5 })
	a.Leave("/x")
	eventually(t, "left", func() bool { return channels(t, c) == before && a.Stats().Subscriptions == ownChannels })
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.subs) != ownChannels || len(a.spaces) != 0 {
		t.Errorf("%d channels and %d namespaces are left", len(a.subs), len(a.spaces))
	}
}

func channels(t *testing.T, c *redis.Client) int {
	t.Helper()
	list, err := c.PubSubChannels(context.Background(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// To enter, leave and enter again while commands are under way ends as the last call says.
func TestBus_EnterLeaveEnter(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b")
	for i := range 200 {
		full := "/" + strconv.Itoa(i%3)
		first := b.Enter(full)
		b.Leave(full)
		wait := b.Enter(full)
		if i%2 == 0 {
			b.wait(wait)
			a.publish(broadcast(full, "e", i))
			want := fmt.Sprintf(`0 %s 2%s,["e",%d]`, full, full, i)
			if got := b.messages(1); got[0] != want {
				t.Fatalf("got %v, want %s", got, want)
			}
			b.forget()
		}
		b.Leave(full)
		if err := first(t.Context()); !errors.Is(err, ErrLeft) {
			t.Fatalf("wait of what was left: %v", err)
		}
	}
	eventually(t, "all left", func() bool { return b.Stats().Subscriptions == ownChannels })
}

// A handler that does not return holds up its namespace, and no other; nor answers.
func TestBus_NamespacesDoNotWait(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b")
	b.enter("/stuck")
	b.enter("/x")
	a.enter("/x")
	gate, inside := make(chan struct{}), make(chan struct{})
	b.onDeliver(func(m *namespace.Message) {
		if m.FullName == "/stuck" {
			close(inside)
			<-gate
		}
	})
	a.publish(&namespace.Message{Kind: namespace.KindDisconnect, FullName: "/stuck"})
	<-inside
	defer close(gate)
	b.forget()
	b.expect(a, "/x")
	if err := b.Ask(t.Context(), &namespace.Message{Kind: namespace.KindFetch, FullName: "/x"}, func(namespace.Answer) {}); err != nil {
		t.Error(err)
	}
	// Asked from where the namespace is stuck, too.
	if err := b.Ask(t.Context(), &namespace.Message{Kind: namespace.KindFetch, FullName: "/stuck"}, func(namespace.Answer) {}); err != nil {
		t.Error(err)
	}
}

// What is too large for Redis is refused at the sender, with an error that says so.
func TestBus_TooLarge(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a", func(o *Options) { o.MaxMessage = 1000 }), start(t, s, "b", func(o *Options) { o.MaxMessage = 200 })
	b.enter("/x")
	m := broadcast("/x", "e", strings.Repeat("x", 1000))
	var tooLarge *TooLargeError
	if err := a.Publish(m); !errors.As(err, &tooLarge) || tooLarge.Max != 1000 || tooLarge.Size < 1000 {
		t.Errorf("%v, want a TooLargeError", err)
	}
	m.Kind = namespace.KindServerSide
	if err := a.Ask(t.Context(), m, nil); !errors.As(err, &tooLarge) {
		t.Errorf("asked: %v, want a TooLargeError", err)
	}
	// Received ones may be four times as large as the receiver's own.
	a.publish(broadcast("/x", "e", strings.Repeat("x", 900)))
	b.expect(a, "/x")
	if st := b.Stats(); st.Dropped["too_large"] != 1 {
		t.Errorf("dropped: %v", st.Dropped)
	}
	// Short on the wire, long in JSON: 1,000 empty attachments.
	var nothing []any
	for range 250 {
		nothing = append(nothing, []byte{})
	}
	a.publish(broadcast("/x", "e", nothing...))
	b.expect(a, "/x")
	if st := b.Stats(); st.Dropped["too_large"] != 2 {
		t.Errorf("dropped after decoding: %v", st.Dropped)
	}
}

// Strangers' bytes are dropped and counted, and what follows is delivered.
func TestBus_Malformed(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b")
	b.enter("/x")
	c := s.Client()
	for _, payload := range []string{"", "\xc0", "{", `{"type":6}`, "garbage", "\xdd\xff\xff\xff\xff", `{"type":7,"requestId":"i"}`} {
		for _, channel := range []string{"socket.io#/x#", "socket.io-request#/x#", "socket.io-response#/x#", b.probe.channel} {
			if err := c.Publish(t.Context(), channel, payload).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.expect(a, "/x")
	eventually(t, "all counted", func() bool { return b.Stats().Dropped["malformed"] == 26 }) // two are answers to nobody
}

// Redis's memory of the channels, and the bus's connections, do not depend on how many namespaces
// there are; nor does what a PUBLISH costs.
func TestBus_FiveThousandNamespaces(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b")
	c := s.Client()
	measure := func() float64 {
		c.ConfigResetStat(t.Context())
		for range 2000 {
			a.publish(broadcast("/0", "e"))
		}
		b.messages(2000)
		b.forget()
		info, err := c.Info(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(info, "cmdstat_publish:")
		_, rest, _ = strings.Cut(rest, "usec_per_call=")
		cost, err := strconv.ParseFloat(rest[:strings.IndexByte(rest, ',')], 64)
		if err != nil {
			t.Fatal(err)
		}
		return cost
	}
	b.enter("/0")
	few := measure()
	connections := len(clients(t, c, "dynamicio:"))
	start := time.Now()
	waits := make([]func(context.Context) error, 0, 5000)
	for i := range 5000 {
		waits = append(waits, b.Enter("/"+strconv.Itoa(i)))
	}
	for _, wait := range waits {
		b.wait(wait)
	}
	took := time.Since(start)
	many := measure()
	if n := len(clients(t, c, "dynamicio:")); n != connections || n != 4 {
		t.Errorf("%d connections with 5,000 namespaces, %d with one, want 4", n, connections)
	}
	if n, err := c.PubSubNumPat(t.Context()).Result(); n != 0 || err != nil {
		t.Errorf("%d patterns, %v", n, err)
	}
	// A pattern for each namespace made a PUBLISH two hundred times as dear. What it took is for people to
	// read: Redis counts in it what the machine did meanwhile.
	t.Logf("PUBLISH %.2f us with one namespace, %.2f with 5,000; entered in %v (%.0f/s), %d commands",
		few, many, took, 5000/took.Seconds(), b.Stats().SubscribeCommands)
}
