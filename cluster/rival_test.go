package cluster

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// logText collects a log. Its methods may be called from any goroutine.
type logText struct {
	mu   sync.Mutex // guards text; a leaf
	text strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// logged starts a member whose log is kept.
func (w *world) logged(id string, info NodeInfo) (*testMember, *logText) {
	w.Helper()
	d := w.directory(id, Options{NodeTTL: memberTTL, Timeout: 2 * time.Second})
	log := &logText{}
	m, err := NewMember(d, d.client, MemberOptions{
		LeaseTTL: memberTTL, Info: func() NodeInfo { return info }, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		w.Fatal(err)
	}
	t := &testMember{m, w, &fakeLocal{}}
	m.Start(t.local)
	w.Cleanup(t.close)
	return t, log
}

// crash ends a member as kill -9 does: nothing is said to Redis.
func (m *testMember) crash() {
	m.cancel()
	m.work.Wait()
	m.mu.Lock()
	s := m.session
	m.session = nil
	m.mu.Unlock()
	if s != nil {
		s.Close()
	}
}

// Two processes were given one id: the newcomer gives way for as long as the other lives, says why, and the other
// is not disturbed.
func TestMember_NewcomerGivesWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t))
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a, log := w.logged("same", NodeInfo{Address: "10.0.0.1:80", Started: began})
	w.ready(a)
	b, other := w.logged("same", NodeInfo{Address: "10.0.0.2:80", Started: began.Add(time.Hour)})
	const why = `another process (at \"10.0.0.1:80\", started 2026-01-02T03:04:05Z) is registered as node \"same\"; every process needs a --node-id of its own`
	w.until("the newcomer names the other", func() bool { return other.has(why) })
	w.until("the other's record names the newcomer", func() bool {
		o, err := a.dir.Overview(w.ctx)
		return err == nil && len(o.Nodes) == 1 && o.Nodes[0].Rival == "10.0.0.2:80" && o.Nodes[0].RivalAge < 3*memberTTL
	})
	time.Sleep(2 * memberTTL) // the newcomer asks again and again
	if as, bs := a.Stats(), b.Stats(); as.Registrations != 1 || bs.Registrations != 0 || a.Ready() != nil {
		t.Errorf("%d registrations of the first, whose readiness is %v, and %d of the newcomer; want 1, ready, and 0", as.Registrations, a.Ready(), bs.Registrations)
	}
	if err := b.Ready(); err == nil || !strings.Contains(err.Error(), "--node-id") {
		t.Errorf("the newcomer's readiness: %v", err)
	}
	if log.has("session in Redis lost") {
		t.Errorf("the first lost its session:\n%s", &log.text)
	}
	a.close() // stops in good order
	w.until("the newcomer takes its place", func() bool { return b.Ready() == nil })
}

// Who comes back under the id of a process that was killed waits for no more than the node TTL.
func TestMember_ComesBackAfterACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t))
	a, _ := w.logged("same", NodeInfo{Address: "10.0.0.1:80", Started: time.Now()})
	w.ready(a)
	a.crash()
	crashed := time.Now()
	b, _ := w.logged("same", NodeInfo{Address: "10.0.0.1:80", Started: time.Now()})
	w.until("it is back", func() bool { return b.Ready() == nil })
	if took := time.Since(crashed); took < memberTTL/2 || took > memberTTL+5*time.Second {
		t.Errorf("it was back after %v, of a node TTL of %v", took, memberTTL)
	}
}

// A process that was taken for dead, and finds another in its place when it goes on, gives way in its turn.
func TestMember_GivesWayToWhoTookItsPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t))
	a, log := w.logged("same", NodeInfo{Address: "10.0.0.1:80", Started: time.Now()})
	w.ready(a)
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b := w.directory("same", Options{NodeTTL: time.Hour, Timeout: 2 * time.Second})
	b.client.ZAdd(w.ctx, b.keys.nodes, z(1, "same")) // as if a had been silent
	s, err := b.Register(w.ctx, NodeInfo{Address: "10.0.0.2:80", Started: began})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w.until("it says who took its place", func() bool {
		return log.has(`another process (at \"10.0.0.2:80\", started 2026-01-02T03:04:05Z)`)
	})
	time.Sleep(memberTTL)
	if n := a.Stats().Registrations; n != 1 {
		t.Errorf("%d registrations, want 1", n)
	}
	if err := s.Heartbeat(w.ctx, Beat{Done: true}); err != nil {
		t.Errorf("the one in its place: %v", err)
	}
}

// Where nobody else took the id, nobody is blamed.
func TestMember_BlamesNobodyForItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t))
	info := NodeInfo{Address: "10.0.0.1:80", Started: time.Now()}
	a, log := w.logged("a", info)
	w.ready(a)
	lost := func(what string, do func()) {
		before := a.Stats().Registrations
		do()
		w.until("registered anew: "+what, func() bool { return a.Stats().Registrations > before && a.Ready() == nil })
	}
	lost("the data is lost", func() { w.admin.FlushAll(w.ctx) })
	lost("evicted", func() { w.admin.HDel(w.ctx, a.dir.keys.sessions, "a") })
	lost("a registration of its own came late", func() {
		s, err := a.dir.Register(w.ctx, info)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	})
	if !log.has("session in Redis lost") {
		t.Error("the log does not say that sessions were lost")
	}
	if log.has("another process") {
		t.Errorf("blamed another process:\n%s", &log.text)
	}
}
