package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// The tests below go by what they are about: words, a node, the holder of the lease.

// Words, era: a server with another run_id begins one, in which no registration stands.
func TestWords_AnotherServerBeginsAnEra(t *testing.T) {
	srv := redistest.Start(t)
	w := newWorld(t, srv)
	a, b := w.directory("a"), w.directory("b")
	s1 := w.register(a)
	if !s1.NewEra() {
		t.Error("the first registration did not begin an era")
	}
	s2 := w.register(b)
	if s2.NewEra() || s2.Era() != s1.Era() {
		t.Errorf("the second one: new %v, era %d after %d", s2.NewEra(), s2.Era(), s1.Era())
	}
	w.lead()
	srv.Save() // both sessions and the lease are in the dump
	srv.Kill()
	srv.Restart()
	s3 := w.register(a)
	if !s3.NewEra() || s3.Era() <= s2.Era() || s3.Number() <= s2.Number() {
		t.Errorf("after a restart: new %v, era %d after %d, session %d after %d",
			s3.NewEra(), s3.Era(), s2.Era(), s3.Number(), s2.Number())
	}
	if n := w.admin.HLen(w.ctx, "dynamicio:{default}:sessions").Val(); n != 1 {
		t.Errorf("%d sessions stand, want 1", n)
	}
	if n := w.admin.Exists(w.ctx, "dynamicio:{default}:lease").Val(); n != 0 {
		t.Error("the lease of the dump stands")
	}
	if got := w.admin.SMembers(w.ctx, "dynamicio:{default}:asserting").Val(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("asserting: %v, want a", got)
	}
}

// Words, era: so does a flushed one, and what was registered before is fenced off at once.
func TestWords_NoRecordBeginsAnEra(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	a := w.directory("a")
	s1 := w.register(a)
	w.admin.FlushAll(w.ctx)
	w.fenced("a heartbeat after FLUSHALL", s1.Heartbeat(w.ctx, Beat{}))
	s2 := w.register(a)
	if !s2.NewEra() || s2.Era() <= s1.Era() || s2.Number() <= s1.Number() {
		t.Errorf("new %v, era %d after %d", s2.NewEra(), s2.Era(), s1.Era())
	}
}

// Words, session: every command carries it and is refused when it does not stand.
func TestWords_CommandsOfAnEndedSessionAreFenced(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	d := w.directory("a")
	epoch := w.join(w.node("b"), "/x")
	calls := map[string]func(*Session) error{
		"heartbeat":  func(s *Session) error { return s.Heartbeat(w.ctx, Beat{Done: true}) },
		"join":       func(s *Session) error { return s.Do(w.ctx, &Join{FullName: "/x"}) },
		"leave":      func(s *Session) error { return s.Do(w.ctx, &Leave{FullName: "/x"}) },
		"assert":     func(s *Session) error { return s.Do(w.ctx, &Assert{FullName: "/x", Epoch: epoch, Occupied: true}) },
		"counts":     func(s *Session) error { return s.Counts(w.ctx, []Count{{FullName: "/x", Sockets: 9}}) },
		"deregister": func(s *Session) error { return s.Deregister(w.ctx) },
		"retire":     func(s *Session) error { _, err := s.Retire(w.ctx, w.token); return err },
		"evict":      func(s *Session) error { _, err := s.Evict(w.ctx, w.token); return err },
		"retime":     func(s *Session) error { return s.Do(w.ctx, &Retime{FullName: "/x", Epoch: epoch}) },
		"dismiss":    func(s *Session) error { return s.Do(w.ctx, &Dismiss{FullName: "/x"}) },
		"sweep":      func(s *Session) error { _, err := s.Sweep(w.ctx, w.token); return err },
	}
	w.lead()
	for name, call := range calls {
		old := w.register(d)
		successor := w.register(d)
		before := w.dump()
		w.fenced(name, call(old))
		if after := w.dump(); after != before {
			t.Errorf("%s of an ended session wrote:\n%s\nwas\n%s", name, after, before)
		}
		if err := successor.Heartbeat(w.ctx, Beat{}); err != nil {
			t.Errorf("after a fenced %s the successor is refused: %v", name, err)
		}
		old.Close() // the pool has no more connections than that
		successor.Close()
	}
}

// dump is everything in Redis, for comparing. TIME does not appear in it.
func (w *world) dump() string {
	keys, err := w.admin.Keys(w.ctx, "*").Result()
	if err != nil {
		w.Fatal(err)
	}
	slices.Sort(keys)
	var out string
	for _, k := range keys {
		out += fmt.Sprintf("%s %x\n", k, w.admin.Dump(w.ctx, k).Val())
	}
	return out
}

// Words, epoch: hybrid clocks grow when the data is lost, and when the server's clock
// went back behind what was handed in.
func TestWords_EpochsGrowThroughDataLoss(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	d := w.directory("a")
	s := w.register(d)
	first := w.join(s, "/x")
	w.admin.FlushAll(w.ctx)
	s = w.register(d)
	second := w.join(s, "/x")
	if second <= first {
		t.Errorf("epoch %d after %d", second, first)
	}
	// An epoch from a server whose clock was an hour ahead.
	ahead := second + uint64(time.Hour.Microseconds())
	got := w.assert(s, Assert{FullName: "/y", Epoch: ahead, Confirmed: s.Era(), Occupied: true})
	if got.Standing != Restored || got.Current <= ahead {
		t.Errorf("asserting epoch %d: %+v", ahead, got)
	}
	if e := w.join(s, "/z"); e <= got.Current {
		t.Errorf("epoch %d after %d", e, got.Current)
	}
	w.admin.FlushAll(w.ctx) // what the node has seen is in its memory only
	s = w.register(d)
	if s.Era() <= got.Current || s.Number() <= got.Current {
		t.Errorf("era %d, session %d after %d", s.Era(), s.Number(), got.Current)
	}
}

// Words, settled: a new era decides nothing for a node TTL, and time spent empty in it counts
// from then only.
func TestWords_NothingIsDecidedBeforeTheEraIsSettled(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	start := time.Now()
	s := w.node("a")
	w.lead()
	w.join(s, "/x")
	w.leave(s, "/x", 150*time.Millisecond)
	for {
		w.beat(s)
		names, d := w.retire(s)
		gone := time.Since(start)
		if len(names) == 0 && w.ctx.Err() == nil {
			if gone < ttl && d.Gate != Unsettled {
				t.Fatalf("decided after %v: %v", gone, d.Gate)
			}
			time.Sleep(5 * time.Millisecond)
			continue
		}
		if want := ttl + 150*time.Millisecond; gone < want {
			t.Errorf("retired after %v, want %v at the earliest", gone, want)
		}
		return
	}
}

// A node, rule 1: what a broken connection left behind does nothing late. The commands
// of the old session wait in Redis's socket while it is stopped.
func TestNode1_LateCommandsOfABrokenConnectionAreFenced(t *testing.T) {
	srv := redistest.Start(t)
	w := newWorld(t, srv)
	d := w.directory("a", Options{NodeTTL: ttl, Timeout: 300 * time.Millisecond})
	old := w.register(d)
	epoch := w.join(old, "/x")
	srv.Pause()
	err := old.Do(w.ctx, &Leave{FullName: "/x"}) // written, not read yet
	if err == nil {
		t.Fatal("a stopped Redis answered")
	}
	w.fenced("the next call on the session", old.Do(w.ctx, &Join{FullName: "/x"}))
	// Hold the late command back: let the new session in first, over a connection that
	// Redis serves before it comes to read the old one. It can not be had for sure from
	// outside, so the command is sent again below, byte for byte, after the registration.
	srv.Continue()
	s := w.register(d)
	if got := w.assert(s, Assert{FullName: "/x", Epoch: epoch, Confirmed: old.Era(), Occupied: true}); got.Current != epoch && got.Standing != Restored {
		t.Errorf("asserting: %+v", got)
	}
	c := (&Leave{FullName: "/x"}).call(old)
	err = w.admin.EvalSha(w.ctx, c.script.sha, c.keys, c.args...).Err()
	if err == nil || err.Error()[:6] != "FENCED" {
		t.Errorf("the late command = %v, want FENCED", err)
	}
	if n, ok := w.state("/x"); !ok || len(n.Nodes) != 1 {
		t.Errorf("the node is no member any more: %+v", n)
	}
}

// A node, rule 2: a session counts as asserting until it says done, and while one does nothing is
// retired.
func TestNode2_AssertingHoldsUpRetirement(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	a := w.node("a")
	w.settle(a)
	b := w.register(w.directory("b"))
	w.join(a, "/x")
	w.leave(a, "/x", 0)
	if names, d := w.retire(a); d.Gate != Asserting || names != nil {
		t.Errorf("with a session asserting: %v, %v", d.Gate, names)
	}
	if err := b.Heartbeat(w.ctx, Beat{}); err != nil { // alive, but not done
		t.Fatal(err)
	}
	if _, d := w.retire(a); d.Gate != Asserting {
		t.Errorf("after a heartbeat without done: %v", d.Gate)
	}
	w.beat(b)
	if names, d := w.retire(a); d.Gate != Decided || !slices.Equal(names, []string{"/x"}) {
		t.Errorf("with all done: %v, %v", d.Gate, names)
	}
}

// A node, rule 3, case by case.
func TestNode3_Assert(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	s, other := w.node("a"), w.node("b")
	standing := w.join(other, "/stands")
	former := s.Era() - 1
	for _, c := range []struct {
		name     string
		in       Assert
		want     Standing
		same     bool // the epoch handed in is the answer
		member   bool
		retained string
	}{
		{"stands, occupied", Assert{FullName: "/stands", Epoch: standing, Confirmed: s.Era(), Occupied: true}, Stands, true, true, ""},
		{"stands, empty", Assert{FullName: "/stands", Epoch: standing, Confirmed: s.Era()}, Stands, true, false, ""},
		{"another stands, occupied", Assert{FullName: "/stands", Epoch: 5, Confirmed: s.Era(), Occupied: true}, Replaced, false, true, ""},
		{"another stands, empty", Assert{FullName: "/stands", Epoch: 5, Confirmed: former}, Replaced, false, false, ""},
		{"made while Redis was away, another stands", Assert{FullName: "/stands", Occupied: true}, Replaced, false, true, ""},
		{"gone, occupied", Assert{FullName: "/1", Epoch: 5, Confirmed: s.Era(), Occupied: true}, Restored, false, true, ""},
		{"gone, occupied, former era", Assert{FullName: "/2", Epoch: 5, Confirmed: former, Occupied: true}, Restored, false, true, ""},
		{"gone, empty, former era", Assert{FullName: "/3", Epoch: 5, Confirmed: former}, Restored, false, false, ""},
		{"gone, empty, this era", Assert{FullName: "/4", Epoch: 5, Confirmed: s.Era()}, Retired, false, false, ""},
		{"made while Redis was away", Assert{FullName: "/5", Occupied: true}, Restored, false, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.leave(s, c.in.FullName, time.Hour)
			got := w.assert(s, c.in)
			if got.Standing != c.want {
				t.Errorf("answer %v, want %v", got.Standing, c.want)
			}
			if (got.Current == c.in.Epoch) != c.same || (got.Current == 0) != (c.want == Retired) {
				t.Errorf("epoch %d for %d", got.Current, c.in.Epoch)
			}
			n, ok := w.state(c.in.FullName)
			if ok != (c.want != Retired) {
				t.Errorf("it stands: %v", ok)
			}
			if _, member := n.Nodes["a"]; member != c.member {
				t.Errorf("member: %v, want %v", member, c.member)
			}
			if ok && n.Emptied.IsZero() != (len(n.Nodes) > 0) {
				t.Errorf("emptied %v with nodes %v", n.Emptied, n.Nodes)
			}
		})
	}
}

// A node, rule 3: two nodes that lost the same incarnation go on in the same one, whatever
// the order, and an empty one does not expire for it.
func TestNode3_AllContinueTheSameIncarnation(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	da, db := w.directory("a"), w.directory("b")
	a, b := w.register(da), w.register(db)
	epoch, era := w.join(a, "/x"), a.Era()
	w.join(b, "/x")
	w.leave(b, "/x", time.Hour)
	w.admin.FlushAll(w.ctx)
	a, b = w.register(da), w.register(db)
	first := w.assert(b, Assert{FullName: "/x", Epoch: epoch, Confirmed: era})
	second := w.assert(a, Assert{FullName: "/x", Epoch: epoch, Confirmed: era, Occupied: true})
	if first.Standing != Restored || second.Standing != Stands || first.Current != second.Current || first.Current <= epoch {
		t.Errorf("first %+v, second %+v", first, second)
	}
	if n, _ := w.state("/x"); !n.Emptied.IsZero() {
		t.Error("it is empty with a member in it")
	}
}

// A node, rule 4: join answers the epoch that stands or a new one, and calls off a retirement.
func TestNode4_Join(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	a, b := w.node("a"), w.node("b")
	w.settle(a, b)
	j := &Join{FullName: "/x", Retirement: time.Hour}
	if err := a.Do(w.ctx, j); err != nil || !j.Born {
		t.Fatalf("first join: %+v, %v", j, err)
	}
	if e := w.join(b, "/x"); e != j.Epoch {
		t.Errorf("second node: epoch %d, want %d", e, j.Epoch)
	}
	if l := w.leave(a, "/x", 0); l.Empty || l.Epoch != j.Epoch {
		t.Errorf("first leave: %+v", l)
	}
	if l := w.leave(b, "/x", 0); !l.Empty {
		t.Errorf("last leave: %+v", l)
	}
	if e := w.join(a, "/x"); e != j.Epoch {
		t.Errorf("join of an empty one: epoch %d, want %d", e, j.Epoch)
	}
	if names, d := w.retire(a); len(names) != 0 || d.Wait >= 0 {
		t.Errorf("retired %v, next in %v, want nothing due", names, d.Wait)
	}
	w.leave(a, "/x", 0)
	if names, _ := w.retire(a); len(names) != 1 {
		t.Fatalf("retired %v, want /x", names)
	}
	if e := w.join(b, "/x"); e <= j.Epoch {
		t.Errorf("next incarnation: epoch %d after %d", e, j.Epoch)
	}
}

// A node, rule 5: a node is fresh for a TTL from when its last heartbeat was sent, not answered.
func TestNode5_Fresh(t *testing.T) {
	srv := redistest.Start(t)
	w := newWorld(t, srv)
	s := w.node("a")
	fresh := func() bool { w.beat(s); return s.Fresh() } // a busy machine may let a TTL pass in between
	w.until("fresh after a heartbeat", fresh)
	srv.Pause()
	time.AfterFunc(ttl/2, srv.Continue)
	sent := time.Now()
	w.beat(s) // is answered after half a TTL
	time.Sleep(time.Until(sent.Add(ttl + time.Millisecond)))
	if s.Fresh() {
		t.Error("fresh a TTL after the heartbeat was sent")
	}
	w.until("fresh after another heartbeat", fresh)
	s.Close()
	if s.Fresh() {
		t.Error("fresh without a session")
	}
}

// A node, rule 6: leave is heard once; a node that is no member empties nothing.
func TestNode6_Leave(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	a, b := w.node("a"), w.node("b")
	e := w.join(a, "/x")
	if l := w.leave(b, "/x", 0); l.Empty || l.Epoch != e {
		t.Errorf("leave of a stranger: %+v", l)
	}
	if l := w.leave(a, "/x", time.Hour); !l.Empty || l.Epoch != e {
		t.Errorf("leave: %+v", l)
	}
	before, _ := w.state("/x")
	if l := w.leave(a, "/x", 0); l.Empty {
		t.Errorf("second leave: %+v", l)
	}
	if after, _ := w.state("/x"); after.Emptied != before.Emptied || after.Retirement != time.Hour {
		t.Errorf("the second leave changed %+v to %+v", before, after)
	}
	if l := w.leave(a, "/none", 0); l.Epoch != 0 || l.Empty {
		t.Errorf("leave of what is not there: %+v", l)
	}
}

// A permanent namespace is never due.
func TestNode6_PermanentIsNeverRetired(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	a := w.node("a")
	w.settle(a)
	w.join(a, "/x")
	w.leave(a, "/x", -1)
	if names, d := w.retire(a); names != nil || d.Wait >= 0 {
		t.Errorf("retired %v, next in %v", names, d.Wait)
	}
	if n, ok := w.state("/x"); !ok || !n.Permanent || n.Emptied.IsZero() {
		t.Errorf("state %+v, %v", n, ok)
	}
}

// A node, rules 7 and 8: the notice names the epoch, and goes out with the retirement; who
// missed it learns the same by asserting.
func TestNode7_NoticeAndComparing(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	a := w.node("a")
	w.settle(a)
	ps := w.admin.Subscribe(w.ctx, w.directory("x").ControlChannel())
	defer ps.Close()
	if _, err := ps.Receive(w.ctx); err != nil {
		t.Fatal(err)
	}
	name := "//host.com/with space\nand \"quotes\" {braces}"
	e := w.join(a, name)
	w.leave(a, name, 0)
	w.retire(a)
	for want := range slices.Values([]Notice{{NoticeDue, e, name}, {NoticeRetired, e, name}}) {
		m, err := ps.ReceiveMessage(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := ParseNotice(m.Payload); !ok || n != want {
			t.Errorf("notice %q, want %v", m.Payload, want)
		}
	}
	if got := w.assert(a, Assert{FullName: name, Epoch: e, Confirmed: a.Era()}); got.Standing != Retired {
		t.Errorf("comparing: %v, want retired", got.Standing)
	}
}
