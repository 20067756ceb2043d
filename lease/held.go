package lease

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Held is a lease this process holds. It owns one goroutine, keep, which hold
// starts and Release waits for.
type Held struct {
	store store
	token uint64
	nonce string
	ttl   time.Duration // as granted by Redis

	ctx  context.Context // ends when the lease is lost or released
	end  context.CancelCauseFunc
	done chan struct{} // closed by keep on its way out

	// mu guards deadline. It is a leaf: nothing is called while it is held
	// except end.
	mu       sync.Mutex
	deadline time.Time // the lease is not trusted from here on
}

// hold starts keeping a lease. sent is when the granting call went out: counting
// from its reply would trust the lease longer than Redis keeps it.
func hold(ctx context.Context, s store, token uint64, nonce string, sent time.Time, ttl time.Duration) *Held {
	h := &Held{store: s, token: token, nonce: nonce, ttl: ttl, done: make(chan struct{})}
	h.ctx, h.end = context.WithCancelCause(context.WithoutCancel(ctx))
	h.deadline = sent.Add(h.trust())
	go h.keep()
	return h
}

// trust is how long a grant is trusted from when it was asked for: a hundredth
// less than Redis keeps it, for clocks that do not run at the same rate.
func (h *Held) trust() time.Duration { return h.ttl - h.ttl/100 }

// Token is the fencing token, to be sent with every write made under the lease.
func (h *Held) Token() uint64 { return h.token }

// Context ends when the lease can no longer be trusted, with cause [ErrLost], or
// when it is released, with cause [context.Canceled]. It carries the values of
// the context that the lease was asked for with, not its end.
func (h *Held) Context() context.Context { return h.ctx }

// Check returns nil while the lease can be trusted, and then [ErrLost] or, after
// Release, [context.Canceled]. It looks at the clock itself: in a process that was
// stopped it is right at once, while the context's end waits for a timer to run.
func (h *Held) Check() error {
	h.mu.Lock()
	if !time.Now().Before(h.deadline) {
		h.end(ErrLost) // no effect if it has ended already
	}
	h.mu.Unlock()
	if h.ctx.Err() == nil {
		return nil
	}
	return context.Cause(h.ctx)
}

// prolong moves the deadline after a renewal that was sent at that time. A
// renewal answered after the deadline comes too late: somebody may have looked.
func (h *Held) prolong(sent time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !time.Now().Before(h.deadline) {
		h.end(ErrLost)
		return
	}
	h.deadline = sent.Add(h.trust())
}

// left is what remains until the deadline.
func (h *Held) left() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Until(h.deadline)
}

// keep renews until the lease ends.
func (h *Held) keep() {
	defer close(h.done)
	// Not a case of the select below: a renewal that hangs must not delay it,
	// and select picks at random between a tick and an expiry both ready.
	expire := time.AfterFunc(h.left(), func() { h.end(ErrLost) })
	defer expire.Stop()
	next := time.NewTimer(h.ttl / 3)
	defer next.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-next.C:
		}
		sent := time.Now()
		switch err := h.renew(); {
		case err == nil:
			h.prolong(sent)
			expire.Reset(h.left())
			next.Reset(h.ttl / 3)
		case errors.Is(err, ErrLost):
			h.end(ErrLost)
		default:
			// No answer: ask again soon, expire sets the limit. A tenth of the TTL
			// leaves several tries, where the next third would leave one.
			next.Reset(h.ttl / 10)
		}
	}
}

// renew asks Redis once, for a third of the TTL at most: a call that hangs
// longer would leave no time for another.
func (h *Held) renew() error {
	ctx, cancel := context.WithTimeout(h.ctx, h.ttl/3)
	defer cancel()
	return h.store.renew(ctx, h.token, h.nonce)
}

// Release ends the context, waits until no renewal is under way and gives the
// lease back, which wakes the next holder. What works under the lease must have
// stopped before. It returns nil if the lease was given back, [ErrLost] if it was
// lost before, and an [*Error] or ctx's error if that is unknown: the lease then
// expires within its TTL. A second call returns ErrLost.
func (h *Held) Release(ctx context.Context) error {
	h.end(context.Canceled)
	select {
	case <-h.done:
	case <-ctx.Done():
		return ctx.Err() // keep ends when its call does
	}
	return h.store.release(ctx, h.nonce)
}
