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

// Two processes were given one id: the log of each names the other, and what to do.
func TestMember_NamesWhoTookItsId(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t))
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a, log := w.logged("same", NodeInfo{Address: "10.0.0.1:80", Started: began})
	w.ready(a)
	_, other := w.logged("same", NodeInfo{Address: "10.0.0.2:80", Started: began.Add(time.Hour)})
	const advice = `registered as node \"same\"; every process needs a --node-id of its own`
	w.until("the first names the second", func() bool {
		return log.has(`another process (at \"10.0.0.2:80\", started 2026-01-02T04:04:05Z) ` + advice)
	})
	w.until("the second names the first", func() bool {
		return other.has(`another process (at \"10.0.0.1:80\", started 2026-01-02T03:04:05Z) ` + advice)
	})
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
		s, err := w.directory("a").Register(w.ctx, info)
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
