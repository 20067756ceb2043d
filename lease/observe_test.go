package lease

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// told counts what Options.Observe is told.
type told struct {
	mu      sync.Mutex // guards the maps
	calls   map[string]int
	missing map[string]int // calls without an answer
}

func (o *told) observe(op string, took time.Duration, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls[op]++
	if err != nil {
		o.missing[op]++
	}
}

func (o *told) counts(op string) (calls, missing int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calls[op], o.missing[op]
}

func TestLease_TellsOfItsCalls(t *testing.T) {
	ctx, srv := limit(t), redistest.Start(t)
	o := &told{calls: map[string]int{}, missing: map[string]int{}}
	l, err := New(srv.Client(), Options{Key: "{x}:lease", Holder: "a", TTL: 3 * time.Second, Observe: o.observe})
	if err != nil {
		t.Fatal(err)
	}
	h, err := l.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n == 0; time.Sleep(time.Millisecond) {
		if n, _ = o.counts("renew"); ctx.Err() != nil {
			t.Fatal("no renewal is told of")
		}
	}
	if _, err := l.Acquire(ctx); err == nil {
		t.Fatal("granted twice")
	}
	if err := h.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.Release(ctx); err == nil {
		t.Fatal("released twice")
	}
	for _, op := range Operations() {
		if calls, missing := o.counts(op); op != "renew" && calls != 2 || missing != 0 {
			t.Errorf("told of %d calls of %s, %d of them without an answer; a refusal is one", calls, op, missing)
		}
	}

	srv.Kill()
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, _ = l.Acquire(gone)
	if calls, _ := o.counts("acquire"); calls != 2 {
		t.Error("told of a call that was given up before it went out")
	}
	if _, err := l.Acquire(ctx); err == nil {
		t.Fatal("granted by nobody")
	}
	if _, missing := o.counts("acquire"); missing != 1 {
		t.Errorf("%d calls without an answer, want 1", missing)
	}
}
