package node_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// Retirement. Whole nodes run in synctest bubbles here, with real clients on
// in-memory pipes: hours pass in no time, and "never before R" is exact.

// lateness is what SEMANTICS allows a retirement on top of its time (3.2).
const lateness = 200 * time.Millisecond

// inBubble runs a test with a node of its own, within fake time.
func inBubble(t *testing.T, opts node.Options, f func(t *testing.T, srv *testServer, j *journal)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, startInBubble(t, opts), newJournal()) })
}

// noted is a setup that notes setup and expiry, and sets the retirement time
// unless it is negative.
func (j *journal) noted(retirement time.Duration) namespace.SetupFunc {
	return func(ns *namespace.Namespace, _ namespace.Match) error {
		j.add("setup %s", ns.FullName())
		if retirement >= 0 {
			ns.SetRetirement(retirement)
		}
		ns.OnExpire(func() { j.add("expired %s", ns.FullName()) })
		return nil
	}
}

// wantExpiry checks that a namespace expires when it should have.
func (j *journal) wantExpiry(t *testing.T, full string, n int, left time.Time, r time.Duration) {
	t.Helper()
	time.Sleep(time.Until(left.Add(r))) // it may be longer than patience
	took := j.waitN(t, "expired "+full, n).Sub(left)
	if took < r || took > r+lateness {
		t.Errorf("%s expired %v after it was left, want %v to %v", full, took, r, r+lateness)
	}
}

// pass lets time go by, and everything happen that can.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// 3.1: when the last client has left, the namespace goes after its time, and its expiry callbacks run.
func TestSemantics_3_1_OnDemandRetires(t *testing.T) {
	const r = 3 * time.Second
	inBubble(t, node.Options{Retirement: r}, func(t *testing.T, srv *testServer, j *journal) {
		srv.SetupNamespace("/k", j.noted(-1))
		retired := make(chan string, 1)
		srv.OnRetire(func(full string, epoch uint64) { retired <- fmt.Sprint(full, epoch > 0) })
		c := srv.connect(how{})
		c.join("/k")
		pass(time.Hour) // occupied: it stays
		left := time.Now()
		c.leave("/k")
		pass(r - time.Millisecond)
		srv.live("/k")
		j.wantExpiry(t, "/k", 1, left, r)
		pass(lateness)
		if srv.exists("/k") {
			t.Error("it is still there")
		}
		if got := <-retired; got != "/ktrue" {
			t.Errorf("OnRetire got %s", got)
		}
		c.wantNothing()
	})
}

// 3.2 (decided): never before R, at most 200 ms later, whatever the times of other namespaces are.
func TestSemantics_3_2_WhenExactly(t *testing.T) {
	times := []time.Duration{10 * time.Second, 0, time.Millisecond, 3 * time.Second, 100 * time.Millisecond, 400 * time.Millisecond}
	inBubble(t, node.Options{}, func(t *testing.T, srv *testServer, j *journal) {
		c := srv.connect(how{})
		for i, r := range times {
			name := fmt.Sprintf("/%d", i)
			srv.SetupNamespace(name, j.noted(r))
			c.join(name)
		}
		left := time.Now()
		for i := range times {
			c.leave(fmt.Sprintf("/%d", i))
		}
		for i, r := range times {
			j.wantExpiry(t, fmt.Sprintf("/%d", i), 1, left, r)
		}
	})
}

// 3.3: a client that joins during the countdown ends it; no second setup; the time starts afresh.
func TestSemantics_3_3_ComingBackInTime(t *testing.T) {
	const r = time.Second
	inBubble(t, node.Options{Retirement: r}, func(t *testing.T, srv *testServer, j *journal) {
		srv.SetupNamespace("/k", j.noted(-1))
		c := srv.connect(how{})
		c.join("/k")
		ns, epoch := srv.live("/k"), srv.live("/k").Epoch()
		for _, back := range []time.Duration{0, r / 2, r - time.Nanosecond} {
			c.leave("/k")
			pass(back)
			c.join("/k")
			pass(10 * r)
		}
		if srv.live("/k") != ns || ns.Epoch() != epoch {
			t.Error("it is another incarnation")
		}
		left := time.Now()
		c.leave("/k")
		j.wantExpiry(t, "/k", 1, left, r)
		j.want(t, "setup /k", "expired /k")
	})
}

// 3.3: of a join and a countdown that ends at the same moment, one wins; no client is ever in a retired incarnation.
func TestSemantics_3_3_ComingBackAtTheLastMoment(t *testing.T) {
	const clients, rounds = 4, 150
	srv := start(t, node.Options{Limits: namespace.Options{MaxConnectionNamespaces: 10 * rounds}}) // a tenth of it a second
	var setups, expiries atomic.Int64
	srv.SetupNamespaceRegexp(regexp.MustCompile(`^/k`), func(ns *namespace.Namespace, _ namespace.Match) error {
		setups.Add(1)
		ns.SetRetirement(0) // so that every join races a retirement
		var expired atomic.Bool
		ns.OnExpire(func() {
			expired.Store(true)
			expiries.Add(1)
		})
		ns.On("still there?", func(_ context.Context, e *namespace.Event) error {
			return e.Ack(!expired.Load() && srv.Registry().Lookup(ns.FullName()) == ns)
		})
		return nil
	})
	var all sync.WaitGroup
	for i := range clients {
		c, name := srv.connect(how{polling: i == 0}), fmt.Sprintf("/k%d", i)
		c.join(name)
		all.Go(func() {
			say := func(want string, packets ...string) bool {
				if err := c.write(engine(packets)...); err != nil {
					t.Error(err)
					return false
				}
				p, ok := c.receive()
				if !ok || !strings.HasPrefix(p, want) {
					t.Errorf("%q was answered with %q, want %s", packets, p, want)
					return false
				}
				return true
			}
			for n := range rounds {
				// In one piece or in two: leaving, retiring and coming back meet in
				// any order. The acknowledgement is false in an incarnation that
				// was retired.
				leave, join := at("1", name), at("0", name)
				back := []string{leave, join}
				if n%2 == 0 {
					if err := c.write("4" + leave); err != nil {
						t.Error(err)
						return
					}
					back = back[1:]
				}
				if !say(join+"{", back...) || !say(at("3", name)+"1[true]", at("2", name)+`1["still there?"]`) {
					return
				}
			}
			if err := c.write("4" + at("1", name)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	waitFor(t, "all are gone", func() bool {
		return len(srv.Registry().Namespaces()) == 1 && setups.Load() == expiries.Load()
	})
	t.Logf("%d incarnations for %d joins", setups.Load(), clients*rounds)
}

// 3.4: when one of several leaves, no countdown begins.
func TestSemantics_3_4_NotTheLastOne(t *testing.T) {
	inBubble(t, node.Options{Retirement: time.Second}, func(t *testing.T, srv *testServer, j *journal) {
		srv.SetupNamespace("/k", j.noted(-1))
		a, b := srv.connect(how{}), srv.connect(how{polling: true})
		a.join("/k")
		b.join("/k")
		a.leave("/k")
		pass(time.Hour)
		j.want(t, "setup /k")
		_ = srv.live("/k").Emit("hi")
		b.want(`2/k,["hi"]`)
	})
}

// 3.5: any way of leaving counts; a lost connection from when the heartbeat misses it.
func TestSemantics_3_5_AnyWayOfLeaving(t *testing.T) {
	const r, ping, pong = 7 * time.Second, 25 * time.Second, 20 * time.Second
	ways := map[string]struct {
		leave  func(srv *testServer, c *client)
		after  time.Duration // how long until it is noticed
		silent bool
	}{
		"DISCONNECT":           {leave: func(_ *testServer, c *client) { c.leave("/k") }},
		"connection cut":       {leave: func(_ *testServer, c *client) { c.close() }},
		"server":               {leave: func(srv *testServer, _ *client) { _ = srv.live("/k").DisconnectSockets(false) }},
		"server, connection":   {leave: func(srv *testServer, _ *client) { _ = srv.live("/k").DisconnectSockets(true) }},
		"Engine.IO close":      {leave: func(_ *testServer, c *client) { _ = c.write("1") }},
		"malformed packet":     {leave: func(_ *testServer, c *client) { c.send("2[") }},
		"heartbeat unanswered": {leave: func(*testServer, *client) {}, after: ping + pong, silent: true},
	}
	for name, way := range ways {
		for _, polling := range []bool{false, true} {
			if polling && name == "malformed packet" {
				continue // answered with 400, which the client here takes for a failure
			}
			if polling && name == "connection cut" {
				continue // there is none, only the heartbeat
			}
			t.Run(fmt.Sprintf("%s, polling %v", name, polling), func(t *testing.T) {
				inBubble(t, node.Options{Retirement: r, PingInterval: ping, PingTimeout: pong}, func(t *testing.T, srv *testServer, j *journal) {
					srv.SetupNamespace("/k", j.noted(-1))
					c := srv.connect(how{silent: way.silent, polling: polling})
					c.join("/k")
					left := time.Now().Add(way.after)
					way.leave(srv, c)
					j.wantExpiry(t, "/k", 1, left, r)
				})
			})
		}
	}
}

// 3.6: a retired name is looked up and set up anew: a new object, without old rooms, handlers or state.
func TestSemantics_3_6_MadeAnew(t *testing.T) {
	inBubble(t, node.Options{Retirement: time.Second}, func(t *testing.T, srv *testServer, j *journal) {
		srv.SetupNamespace("*", func(ns *namespace.Namespace, m namespace.Match) error {
			ns.OnConnect(func(s *namespace.Socket) { _ = s.Join("old") })
			ns.On("old", func(_ context.Context, e *namespace.Event) error { return e.Ack("old") })
			return j.named("star")(ns, m)
		})
		c := srv.connect(how{})
		c.join("/k")
		before := srv.live("/k")
		epoch := before.Epoch()
		c.leave("/k")
		pass(2 * time.Second)

		srv.SetupNamespace("/k", j.named("exact")) // the registrations of that moment
		c.join("/k")
		after := srv.live("/k")
		j.want(t, "star: /", "star: /k", "exact: /k")
		if after == before || after.Epoch() <= epoch {
			t.Errorf("epoch %d after %d, the same object: %v", after.Epoch(), epoch, after == before)
		}
		c.send(`2/k,1["old"]`)
		c.wantNothing()
		if rooms := after.Rooms(); len(rooms) > 0 {
			t.Errorf("rooms of the old one: %v", rooms)
		}
	})
}

// 3.6: an acknowledgement meant for the incarnation before hits nothing in the new one.
func TestSemantics_3_6_StaleAcknowledgement(t *testing.T) {
	inBubble(t, node.Options{Retirement: time.Second}, func(t *testing.T, srv *testServer, _ *journal) {
		srv.SetupNamespace("/k", accept)
		c := srv.connect(how{})
		ask := func() (id string, answer chan string) {
			c.join("/k")
			s, got := srv.live("/k").Sockets()[0], make(chan string, 1)
			go func() { // ends with the acknowledgement, or the socket
				v, err := namespace.Ask[string](context.Background(), s, "q")
				got <- fmt.Sprint(v, err)
			}()
			id, _, _ = strings.Cut(strings.TrimPrefix(c.next(), "2/k,"), "[")
			return id, got
		}
		stale, first := ask()
		c.leave("/k")
		if got := <-first; got != namespace.ErrDisconnected.Error() {
			t.Errorf("first question: %s", got)
		}
		pass(2 * time.Second)
		id, second := ask()
		if id == stale {
			t.Fatalf("both incarnations ask under id %s", id)
		}
		c.send(`3/k,`+stale+`["stale"]`, `3/k,`+id+`["fresh"]`)
		if got := <-second; got != "fresh<nil>" {
			t.Errorf("second question: %s", got)
		}
	})
}

// 3.7: explicit namespaces and the main "/" stay, empty or not; a setup does not change that.
func TestSemantics_3_7_PermanentOnesStay(t *testing.T) {
	inBubble(t, node.Options{Retirement: time.Second}, func(t *testing.T, srv *testServer, j *journal) {
		if _, err := srv.Of("/permanent", ""); err != nil {
			t.Fatal(err)
		}
		srv.SetupNamespace("*", j.noted(time.Millisecond))
		c := srv.connect(how{})
		for _, name := range []string{"/", "/permanent"} {
			c.join(name)
			c.leave(name)
		}
		pass(48 * time.Hour)
		for _, name := range []string{"/", "/permanent"} {
			if ns := srv.live(name); !ns.Permanent() || ns.Retirement() != namespace.Never {
				t.Errorf("%s: retirement %v", name, ns.Retirement())
			}
		}
		j.want(t, "setup /", "setup /permanent")
	})
}

// 3.8: a namespace has a time of its own; "at least 30 s" leaves a permanent one permanent.
// Decided: the seed reads it when the namespace becomes empty; here a new one counts for an empty one, too.
func TestSemantics_3_8_OwnValue(t *testing.T) {
	inBubble(t, node.Options{Retirement: 10 * time.Second}, func(t *testing.T, srv *testServer, j *journal) {
		srv.SetupNamespace("*", func(ns *namespace.Namespace, m namespace.Match) error {
			err := j.noted(-1)(ns, m)
			ns.SetRetirement(max(ns.Retirement(), 30*time.Second))
			return err
		})
		if !srv.Main().Permanent() {
			t.Error("the main / is not permanent any more")
		}
		c := srv.connect(how{})
		c.join("/k")
		left := time.Now()
		c.leave("/k")
		j.wantExpiry(t, "/k", 1, left, 30*time.Second)

		c.join("/k")
		srv.live("/k").SetRetirement(time.Minute) // anybody may
		left = time.Now()
		c.leave("/k")
		synctest.Wait()
		pass(30 * time.Second)
		srv.live("/k").SetRetirement(2 * time.Minute) // what it has been empty counts
		j.wantExpiry(t, "/k", 2, left, 2*time.Minute)

		c.join("/k")
		c.leave("/k")
		pass(10 * time.Second)
		left = time.Now()
		srv.live("/k").SetRetirement(time.Second) // its time is over already
		j.wantExpiry(t, "/k", 3, left, 0)
	})
}

// 3.9: each expiry callback runs once, the last registered first.
func TestSemantics_3_9_ExpiryCallbacks(t *testing.T) {
	inBubble(t, node.Options{Retirement: time.Second}, func(t *testing.T, srv *testServer, j *journal) {
		incarnation := 0
		srv.SetupNamespace("/k", func(ns *namespace.Namespace, _ namespace.Match) error {
			incarnation++
			for i, n := range []int{1, 2, 3} {
				of := incarnation
				ns.OnExpire(func() {
					if j.add("%d.%d", of, n); i == 1 {
						panic("one callback costs the others nothing")
					}
				})
			}
			return nil
		})
		c := srv.connect(how{})
		for range 2 { // they belong to the incarnation
			c.join("/k")
			c.leave("/k")
			pass(time.Minute)
		}
		j.want(t, "1.3", "1.2", "1.1", "2.3", "2.2", "2.1")
	})
}

// 3.9: none runs for a namespace that is refused, nor for one that is shut down.
func TestSemantics_3_9_NoCallbackAtShutdown(t *testing.T) {
	for range 20 {
		inBubble(t, node.Options{}, func(t *testing.T, srv *testServer, j *journal) {
			srv.OnRetire(func(full string, _ uint64) { j.add("retired %s", full) })
			srv.SetupNamespace("/refused", func(ns *namespace.Namespace, _ namespace.Match) error {
				ns.OnExpire(func() { j.add("expired") })
				return errors.New("no")
			})
			c := srv.connect(how{})
			c.refused("/refused")
			for i := range 8 {
				name := fmt.Sprintf("/%d", i)
				srv.SetupNamespace(name, func(ns *namespace.Namespace, _ namespace.Match) error {
					ns.SetRetirement(0)
					ns.OnExpire(func() { j.add("expired") })
					return nil
				})
				srv.connect(how{}).join(name)
			}
			if err := srv.Close(t.Context()); err != nil {
				t.Error(err)
			}
			pass(time.Minute)
			j.want(t)
		})
	}
}

// 3.10 (decided): an explicit Of makes an on-demand namespace permanent, also while it counts down.
func TestSemantics_3_10_OfRescues(t *testing.T) {
	inBubble(t, node.Options{Retirement: time.Second}, func(t *testing.T, srv *testServer, j *journal) {
		srv.SetupNamespace("*", j.noted(-1))
		srv.OnRetire(func(full string, _ uint64) { j.add("retired %s", full) })
		c := srv.connect(how{})
		c.join("/occupied")
		c.join("/empty")
		epoch := srv.live("/empty").Epoch()
		c.leave("/empty")
		synctest.Wait()
		for _, name := range []string{"/occupied", "/empty"} {
			before := srv.live(name)
			if ns, err := srv.Of(name, ""); err != nil || ns != before || !ns.Permanent() {
				t.Errorf("Of(%s) = %v, %v", name, ns, err)
			}
		}
		c.leave("/occupied")
		pass(time.Hour)
		srv.live("/occupied")
		srv.live("/empty")
		c.join("/empty")
		if got := srv.live("/empty").Epoch(); got != epoch {
			t.Errorf("epoch %d, before %d", got, epoch)
		}
		j.want(t, "setup /", "setup /occupied", "setup /empty")
	})
}

// 3.11 (decided): when the only join fails after the setup, the countdown starts.
func TestSemantics_3_11_NeverJoined(t *testing.T) {
	const r = 2 * time.Second
	inBubble(t, node.Options{Retirement: r}, func(t *testing.T, srv *testServer, j *journal) {
		entered := make(chan struct{})
		srv.SetupNamespace("*", func(ns *namespace.Namespace, m namespace.Match) error {
			ns.Use(func(ctx context.Context, s *namespace.Socket) error {
				switch ns.Name() {
				case "/refused":
					return errors.New("no")
				case "/gone":
					entered <- struct{}{}
					<-ctx.Done()
					return ctx.Err()
				case "/unaware": // that the client has gone
					entered <- struct{}{}
					time.Sleep(2 * r)
				}
				return nil
			})
			return j.noted(-1)(ns, m)
		})
		left := time.Now()
		if got := srv.connect(how{}).refused("/refused"); got != `{"message":"Forbidden"}` {
			t.Errorf("refusal = %s", got)
		}
		srv.live("/refused")
		j.wantExpiry(t, "/refused", 1, left, r)

		for name, busy := range map[string]time.Duration{"/gone": 0, "/unaware": 2 * r} {
			c := srv.connect(how{})
			c.send("0" + name + ",")
			<-entered
			left = time.Now().Add(busy)
			c.close()
			j.wantExpiry(t, name, 1, left, r)
		}
		pass(lateness)
		if got := srv.Registry().Namespaces(); len(got) != 1 {
			t.Errorf("%d namespaces are left, want the main one", len(got))
		}
	})
}

// 3.12: an option of 0 is the default of 10 s; a namespace's own value may be 0.
func TestSemantics_3_12_Zero(t *testing.T) {
	inBubble(t, node.Options{Retirement: 0}, func(t *testing.T, srv *testServer, j *journal) {
		srv.SetupNamespace("/default", j.noted(-1))
		srv.SetupNamespace("/zero", j.noted(0))
		c := srv.connect(how{})
		for name, r := range map[string]time.Duration{"/default": 10 * time.Second, "/zero": 0} {
			c.join(name)
			left := time.Now()
			c.leave(name)
			j.wantExpiry(t, name, 1, left, r)
		}
	})
}

// 3.13: the seed's sequence, over a real network and in real time.
func TestSemantics_3_13_TheSeedsSequence(t *testing.T) {
	srv, j := start(t, node.Options{Retirement: time.Millisecond}), newJournal()
	srv.SetupNamespaceRegexp(dynamic, func(ns *namespace.Namespace, _ namespace.Match) error {
		j.add("setup fleeting")
		ns.OnConnect(func(s *namespace.Socket) {
			j.add("connect fleeting")
			s.OnDisconnect(func(string) { j.add("disconnect fleeting") })
		})
		ns.OnExpire(func() { j.add("expire fleeting") })
		return nil
	})
	permanent, err := srv.Of("/permanent", "")
	if err != nil {
		t.Fatal(err)
	}
	permanent.OnConnect(func(*namespace.Socket) { j.add("connect permanent") })
	permanent.OnExpire(func() { j.add("expire permanent") })

	a := srv.connect(how{})
	a.join("/dyn/fleeting")
	j.add("client fleeting")
	b := srv.connect(how{})
	b.join("/permanent")
	j.add("client permanent")
	j.wait(t, "connect fleeting") // a client that is gone at once could come and go unseen
	j.wait(t, "connect permanent")
	left := time.Now()
	a.close()
	b.close()
	if took := j.wait(t, "expire fleeting").Sub(left); took < time.Millisecond {
		t.Errorf("expired after %v", took)
	}
	waitFor(t, "/permanent is empty", func() bool { return permanent.SocketCount() == 0 })

	got := j.list()
	slices.Sort(got)
	want := []string{"client fleeting", "client permanent", "connect fleeting", "connect permanent",
		"disconnect fleeting", "expire fleeting", "setup fleeting"}
	if !slices.Equal(got, want) {
		t.Errorf("happened: %q\nwant:     %q", got, want)
	}
	if srv.live("/permanent") != permanent {
		t.Error("/permanent is another one")
	}
}

// A middleware that takes its time does not race retirement: the namespace is pinned from the arrival of the CONNECT.
func TestSemantics_3_SlowMiddleware(t *testing.T) {
	const r = 100 * time.Millisecond
	inBubble(t, node.Options{Retirement: r}, func(t *testing.T, srv *testServer, j *journal) {
		slow := time.Duration(0)
		srv.SetupNamespace("/k", func(ns *namespace.Namespace, m namespace.Match) error {
			ns.Use(func(context.Context, *namespace.Socket) error { time.Sleep(slow); return nil })
			return j.noted(-1)(ns, m)
		})
		a, b := srv.connect(how{}), srv.connect(how{})
		a.join("/k")
		ns := srv.live("/k")
		slow = 10 * r
		b.send("0/k,")
		pass(r / 2)
		a.leave("/k") // empty but for the one on its way in
		if p := b.next(); !strings.HasPrefix(p, `0/k,{"sid":`) {
			t.Fatalf("received %q", p)
		}
		if srv.live("/k") != ns || ns.SocketCount() != 1 {
			t.Error("the client is in another incarnation")
		}
		j.want(t, "setup /k")
		left := time.Now()
		b.leave("/k")
		j.wantExpiry(t, "/k", 1, left, r)
	})
}
