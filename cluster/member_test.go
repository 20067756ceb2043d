package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/dynamicio/dynamicio/namespace"
)

// memberTTL is the node TTL of these tests. An era settles in it.
const memberTTL = time.Second

// fakeLocal is a registry that writes down what it is told.
type fakeLocal struct {
	namespace.Local // what a member never calls

	mu    sync.Mutex // guards the rest
	told  []string
	block chan struct{} // if not nil, Retire waits for it
}

func (l *fakeLocal) note(what, name string, epoch uint64) {
	l.mu.Lock()
	l.told = append(l.told, fmt.Sprintf("%s %s %d", what, name, epoch))
	block := l.block
	l.mu.Unlock()
	if block != nil && what == "retire" {
		<-block
	}
}

func (l *fakeLocal) Retire(name string, epoch uint64)             { l.note("retire", name, epoch) }
func (l *fakeLocal) Retired(name string, epoch uint64)            { l.note("decided", name, epoch) }
func (l *fakeLocal) Adopt(name string, epoch uint64)              { l.note("adopt", name, epoch) }
func (l *fakeLocal) Count(name string) (int, time.Duration, bool) { return 3, time.Minute, true }

// times is how often the registry was told that.
func (l *fakeLocal) times(what, name string, epoch uint64) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.told {
		if s == fmt.Sprintf("%s %s %d", what, name, epoch) {
			n++
		}
	}
	return n
}

// adopted returns the epoch under which a namespace goes on, 0 if it was never told.
func (l *fakeLocal) adopted(name string) (epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.told {
		if rest, ok := strings.CutPrefix(s, "adopt "+name+" "); ok {
			epoch, _ = strconv.ParseUint(rest, 10, 64)
		}
	}
	return epoch
}

// testMember is a member with its registry.
type testMember struct {
	*Member
	w     *world
	local *fakeLocal
}

func (w *world) member(id string, o MemberOptions) *testMember {
	w.Helper()
	return w.memberOf(w.directory(id, Options{NodeTTL: memberTTL, Timeout: 2 * time.Second}), o)
}

// memberOver is member with a client of the test's.
func (w *world) memberOver(client redis.UniversalClient, id string, o MemberOptions) *testMember {
	w.Helper()
	d, err := New(client, Options{Node: id, NodeTTL: memberTTL, Timeout: 2 * time.Second})
	if err != nil {
		w.Fatal(err)
	}
	return w.memberOf(d, o)
}

func (w *world) memberOf(d *Directory, o MemberOptions) *testMember {
	w.Helper()
	o.LeaseTTL, o.Logger = memberTTL, slog.New(slog.DiscardHandler)
	m, err := NewMember(d, d.client, o)
	if err != nil {
		w.Fatal(err)
	}
	t := &testMember{m, w, &fakeLocal{}}
	m.Start(t.local)
	w.Cleanup(t.close)
	return t
}

// close closes the member; it may be closed already.
func (m *testMember) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := m.Close(ctx); err != nil && m.w.ctx.Err() == nil && !errors.Is(err, ErrFenced) {
		m.w.Logf("close: %v", err)
	}
}

func (m *testMember) join(name string) uint64 {
	m.w.Helper()
	epoch, err := m.Join(name, 100*time.Millisecond)(m.w.ctx)
	if err != nil {
		m.w.Fatalf("join %s: %v", name, err)
	}
	return epoch
}

func (m *testMember) leave(name string, epoch uint64) { m.Leave(name, epoch, 100*time.Millisecond) }

// known is how many incarnations the member remembers.
func (m *testMember) known() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries)
}

// until waits for something that comes about by itself.
func (w *world) until(what string, true func() bool) {
	w.Helper()
	for end := time.Now().Add(time.Minute); !true(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("not within a minute: %s", what)
		}
	}
}

// ready waits until all are registered and the era is settled.
func (w *world) ready(all ...*testMember) {
	w.Helper()
	for _, m := range all {
		w.until(m.String()+" is registered", func() bool { return m.Ready() == nil })
	}
	w.until("the era is settled and somebody leads", func() bool {
		o, err := all[0].dir.Overview(w.ctx)
		return err == nil && o.SettledIn == 0 && len(o.Asserting) == 0 && o.Lease.Holder != ""
	})
}

// A node that Redis refuses says why, and is ready when the reason is gone.
func TestMember_SaysWhyRedisRefusesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t))
	if err := w.admin.Do(w.ctx, "ACL", "SETUSER", "default", "-evalsha", "-eval").Err(); err != nil {
		t.Fatal(err)
	}
	a := w.member("a", MemberOptions{})
	w.until("the reason", func() bool {
		err := a.Ready()
		return err != nil && strings.Contains(err.Error(), "NOPERM")
	})
	if err := w.admin.Do(w.ctx, "ACL", "SETUSER", "default", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	w.until("registration", func() bool { return a.Ready() == nil })
}

func TestMember_RetiresEverywhereOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t))
	a, b := w.member("a", MemberOptions{}), w.member("b", MemberOptions{})
	w.ready(a, b)
	epoch := a.join("/x")
	if e := b.join("/x"); e != epoch {
		t.Fatalf("epochs %d and %d", epoch, e)
	}
	a.leave("/x", epoch)
	time.Sleep(300 * time.Millisecond)
	if a.local.times("retire", "/x", epoch) != 0 {
		t.Fatal("retired while another node is in it")
	}
	if e := a.join("/x"); e != epoch {
		t.Errorf("epoch %d after %d, which stands", e, epoch)
	}
	a.leave("/x", epoch)
	b.leave("/x", epoch)
	for _, m := range []*testMember{a, b} {
		w.until(m.String()+" is told", func() bool { return m.local.times("retire", "/x", epoch) == 1 })
	}
	w.until("one has decided it", func() bool {
		return a.local.times("decided", "/x", epoch)+b.local.times("decided", "/x", epoch) == 1
	})
	if e := b.join("/x"); e <= epoch {
		t.Errorf("epoch %d after %d was retired", e, epoch)
	}
	w.until("a remembers no incarnation", func() bool { return a.known() == 0 })
}

// A notice was lost. The subscription breaks, and comparing finds out.
func TestMember_ComparesWhenANoticeWasLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t))
	a := w.member("a", MemberOptions{})
	w.ready(a)
	epoch, stays := a.join("/x"), a.join("/stays")
	a.Leave("/x", epoch, time.Hour)
	w.until("it is empty", func() bool { s, ok := w.state("/x"); return ok && !s.Emptied.IsZero() })
	// As the script does, but for the notice.
	k := a.dir.keys
	w.admin.Del(w.ctx, k.ns("/x"))
	w.admin.ZRem(w.ctx, k.namespaces, "/x")
	w.admin.ZRem(w.ctx, k.due, "/x")
	time.Sleep(50 * time.Millisecond)
	if a.local.times("retire", "/x", epoch) != 0 {
		t.Fatal("told of what nobody has said")
	}
	w.admin.ClientKillByFilter(w.ctx, "TYPE", "pubsub")
	w.until("the member finds out", func() bool { return a.local.times("retire", "/x", epoch) == 1 })
	if e := a.join("/stays"); e != stays {
		t.Errorf("epoch %d after %d, which stands", e, stays)
	}
}

// The connection of the session breaks. The node registers anew, and what it has goes on.
func TestMember_SurvivesTheLossOfItsSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t))
	a, b := w.member("a", MemberOptions{}), w.member("b", MemberOptions{})
	w.ready(a, b)
	x, y := a.join("/x"), a.join("/y")
	for range 3 {
		before := a.Stats().Registrations
		w.admin.ClientKillByFilter(w.ctx, "TYPE", "normal", "SKIPME", "yes")
		if e := a.join(fmt.Sprintf("/during%d", before)); e == 0 {
			t.Error("joined in no epoch")
		}
		w.until("registered anew", func() bool { return a.Stats().Registrations > before && a.Ready() == nil })
	}
	for name, epoch := range map[string]uint64{"/x": x, "/y": y} {
		if e := b.join(name); e != epoch {
			t.Errorf("%s: epoch %d after %d", name, e, epoch)
		}
		if s, _ := w.state(name); len(s.Nodes) != 2 {
			t.Errorf("%s: %+v, want both nodes in it", name, s)
		}
		if a.local.times("retire", name, epoch)+b.local.times("retire", name, epoch) != 0 {
			t.Errorf("%s was retired", name)
		}
	}
}

// All data is lost. What is occupied goes on under a higher epoch, the same on all nodes; what
// was empty retires.
func TestMember_AssertsWhenDataIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t))
	a, b := w.member("a", MemberOptions{}), w.member("b", MemberOptions{})
	w.ready(a, b)
	x := a.join("/x")
	b.join("/x")
	empty := b.join("/empty")
	b.Leave("/empty", empty, 200*time.Millisecond)
	if err := w.admin.FlushAll(w.ctx).Err(); err != nil {
		t.Fatal(err)
	}
	w.until("a goes on", func() bool { return a.local.adopted("/x") > x })
	w.until("both agree", func() bool {
		s, _ := w.state("/x")
		return len(s.Nodes) == 2 && a.local.adopted("/x") == s.Epoch && b.local.adopted("/x") == s.Epoch
	})
	w.until("what was empty retires", func() bool {
		return b.local.times("retire", "/empty", b.local.adopted("/empty"))+b.local.times("retire", "/empty", empty) == 1
	})
	if a.local.times("retire", "/x", x) != 0 {
		t.Error("told to retire what is occupied")
	}
	w.until("nothing is left of it", func() bool { return b.known() == 1 })
}

func TestMember_AdmitsWhileAway(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	w := newWorld(t, srv)
	a, b := w.member("a", MemberOptions{}), w.member("b", MemberOptions{})
	w.ready(a, b)
	x := a.join("/x")
	a.leave("/x", x)
	srv.Kill()
	w.until("both are away", func() bool { return a.awayFor() > 0 && b.awayFor() > 0 })
	own, other := a.join("/new"), b.join("/new")
	kept := a.join("/x")
	if own == 0 || other == 0 || kept != x {
		t.Errorf("epochs %d, %d and %d (was %d) while Redis is away", own, other, kept, x)
	}
	if err := a.Admit(); err != nil {
		t.Errorf("Admit = %v", err)
	}
	if a.Ready() == nil {
		t.Error("ready without Redis")
	}
	brief := a.join("/brief")
	a.leave("/brief", brief)
	srv.Restart()
	w.ready(a, b)
	s, ok := w.state("/new")
	if !ok || len(s.Nodes) != 2 || s.Epoch <= max(own, other) {
		t.Errorf("%+v, want both nodes in an epoch above %d and %d", s, own, other)
	}
	for _, m := range []*testMember{a, b} {
		w.until(m.String()+" goes on under what stands", func() bool { return m.local.adopted("/new") == s.Epoch })
	}
	w.until("what was left meanwhile retires", func() bool { return a.local.times("retire", "/brief", a.local.adopted("/brief")) == 1 })
}

// With RefuseWhenAway nobody is let in, and nothing stays of who tried.
func TestMember_RefusesWhileAway(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	w := newWorld(t, srv)
	a := w.member("a", MemberOptions{RefuseWhenAway: true})
	w.ready(a)
	if err := a.Admit(); err != nil {
		t.Errorf("Admit = %v while all is well", err)
	}
	srv.Kill()
	w.until("it is away", func() bool { return a.awayFor() > 0 })
	for i := range 10 {
		name := fmt.Sprintf("/new%d", i)
		if _, err := a.Join(name, time.Second)(w.ctx); !errors.Is(err, ErrAway) {
			t.Fatalf("join = %v, want ErrAway", err)
		}
		a.Leave(name, 0, time.Second)
	}
	if err := a.Admit(); !errors.Is(err, ErrAway) {
		t.Errorf("Admit = %v, want ErrAway", err)
	}
	srv.Restart()
	w.ready(a)
	w.until("nothing stays of those refused", func() bool { return a.known() == 0 })
	if err := a.Admit(); err != nil {
		t.Errorf("Admit = %v when Redis is back", err)
	}
}

// A member that closes says what it still has to say, and is gone at once.
func TestMember_CloseDeregisters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t))
	a, b := w.member("a", MemberOptions{}), w.member("b", MemberOptions{})
	w.ready(a, b)
	x := a.join("/x")
	a.join("/y")
	a.leave("/x", x)
	if err := a.Close(w.ctx); err != nil {
		t.Errorf("close: %v", err)
	}
	o, err := b.dir.Overview(w.ctx)
	if err != nil || len(o.Nodes) != 1 || o.Nodes[0].ID != "b" {
		t.Errorf("nodes %+v, %v", o.Nodes, err)
	}
	w.until("b decides what a has left", func() bool {
		return b.local.times("decided", "/x", x) == 1
	})
	if n := b.Stats().Evicted; n != 0 {
		t.Errorf("%d nodes were evicted, want none: who closes is off at once", n)
	}
	w.until("what it did not leave is empty", func() bool { s, ok := w.state("/y"); return !ok || !s.Emptied.IsZero() })
}

// Callbacks of the user may take their time: heartbeats, notices and other retirements do not wait.
func TestMember_CallbacksHoldUpNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t))
	a := w.member("a", MemberOptions{})
	w.ready(a)
	block := make(chan struct{})
	defer close(block)
	a.local.mu.Lock()
	a.local.block = block
	a.local.mu.Unlock()
	for _, name := range []string{"/1", "/2", "/3"} {
		epoch := a.join(name)
		a.leave(name, epoch)
		w.until(name+" is being retired", func() bool { return a.local.times("retire", name, epoch) == 1 })
	}
	time.Sleep(2 * memberTTL)
	w.until("it is ready, since its heartbeats go on", func() bool { return a.Ready() == nil })
	if n := a.Stats().Registrations; n != 1 {
		t.Errorf("%d registrations", n)
	}
	ctx, cancel := context.WithTimeout(w.ctx, 100*time.Millisecond)
	defer cancel()
	if err := a.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close = %v while callbacks run, want DeadlineExceeded", err)
	}
}

// Thousands of first sockets at a time share a few round trips.
func TestMember_BatchesJoins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t))
	a := w.member("a", MemberOptions{})
	w.ready(a)
	const n = 5000
	reads, busy := w.redisWork()
	start := time.Now()
	var waits []func(context.Context) (uint64, error)
	for i := range n {
		waits = append(waits, a.Join(fmt.Sprintf("/ns%d", i), time.Minute))
	}
	for _, wait := range waits {
		if _, err := wait(w.ctx); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(start)
	reads2, busy2 := w.redisWork()
	t.Logf("%d joins in %v; Redis was busy for %v and read %d times", n, took, busy2-busy, reads2-reads)
	if reads2-reads > n/5 {
		t.Errorf("%d joins came in %d reads: they were not batched", n, reads2-reads)
	}
}

// redisWork returns how often Redis has read from clients, and how long its scripts have run.
func (w *world) redisWork() (reads int, busy time.Duration) {
	w.Helper()
	info, err := w.admin.Info(w.ctx, "stats", "commandstats").Result()
	if err != nil {
		w.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "total_reads_processed:"); ok {
			reads, _ = strconv.Atoi(v)
		}
		if _, v, ok := strings.Cut(line, "cmdstat_evalsha:"); ok {
			_, v, _ = strings.Cut(v, "usec=")
			v, _, _ = strings.Cut(v, ",")
			us, _ := strconv.Atoi(v)
			busy = time.Duration(us) * time.Microsecond
		}
	}
	return reads, busy
}
