package lease

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeStore answers as its fields say; a nil field answers at once and well.
type fakeStore struct {
	onAcquire func(ctx context.Context, nonce string, floor uint64) (grant, error)
	onRenew   func(ctx context.Context) error
	onRelease func(ctx context.Context) error
}

func (s *fakeStore) acquire(ctx context.Context, nonce string, floor uint64) (grant, error) {
	if s.onAcquire == nil {
		return grant{token: floor + 1}, nil
	}
	return s.onAcquire(ctx, nonce, floor)
}

func (s *fakeStore) renew(ctx context.Context, _ uint64, _ string) error {
	if s.onRenew == nil {
		return nil
	}
	return s.onRenew(ctx)
}

func (s *fakeStore) release(ctx context.Context, _ string) error {
	if s.onRelease == nil {
		return nil
	}
	return s.onRelease(ctx)
}

var errNoAnswer = errors.New("no answer")

const ttl, trusted = 9 * time.Second, 9*time.Second - 90*time.Millisecond

// Not t.Context in these tests: it would end keep for us and hide a leak.
func held(s store) *Held { return hold(context.Background(), s, 7, "n", time.Now(), ttl) }

func hang(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// A holder cut off from Redis must stop trusting its lease before Redis gives
// it away, also when its renewals hang for ever.
func TestHeld_LostBeforeTTL(t *testing.T) {
	for name, renew := range map[string]func(context.Context) error{
		"refused":      func(context.Context) error { return errNoAnswer },
		"hangs":        hang,
		"hangs deaf":   func(context.Context) error { time.Sleep(time.Minute); return errNoAnswer },
		"answers late": func(context.Context) error { time.Sleep(ttl); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				h := held(&fakeStore{onRenew: renew})
				<-h.Context().Done() // the clock jumps; nothing sleeps
				if got := time.Since(start); got != trusted {
					t.Errorf("lost after %v, want %v", got, trusted)
				}
				if got := context.Cause(h.Context()); !errors.Is(got, ErrLost) {
					t.Errorf("cause = %v, want ErrLost", got)
				}
				if got := h.Check(); !errors.Is(got, ErrLost) {
					t.Errorf("Check = %v, want ErrLost", got)
				}
				h.Release(context.Background())
			})
		})
	}
}

// Redis counts from when it executed the call, so a slow grant or renewal must
// be counted from when it went out.
func TestHeld_CountsFromTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slow = 2 * time.Second
		start := time.Now()
		calls := 0
		s := &fakeStore{
			onAcquire: func(context.Context, string, uint64) (grant, error) {
				time.Sleep(slow)
				return grant{token: 1}, nil
			},
			onRenew: func(ctx context.Context) error {
				if calls++; calls == 1 {
					time.Sleep(slow)
					return nil
				}
				return hang(ctx)
			},
		}
		l := &Lease{opts: Options{TTL: ttl}, store: s}
		h, err := l.Acquire(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer h.Release(context.Background())
		<-h.Context().Done()
		// The only renewal that was answered went out after the grant and a third.
		if got, want := time.Since(start), slow+ttl/3+trusted; got != want {
			t.Errorf("lost after %v, want %v", got, want)
		}
	})
}

// Renewals keep a lease for as long as they are answered, and one or two that are
// not cost nothing.
func TestHeld_SurvivesFailedRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		h := held(&fakeStore{onRenew: func(context.Context) error {
			if n++; n%3 != 0 {
				return errNoAnswer
			}
			return nil
		}})
		time.Sleep(100 * ttl)
		if err := h.Check(); err != nil {
			t.Errorf("Check = %v after %d renewals, want nil", err, n)
		}
		h.Release(context.Background())
	})
}

// Told by Redis that the lease is another's, the holder knows at once.
func TestHeld_LostWhenRedisSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		h := held(&fakeStore{onRenew: func(context.Context) error { return ErrLost }})
		<-h.Context().Done()
		if got := time.Since(start); got != ttl/3 {
			t.Errorf("lost after %v, want %v", got, ttl/3)
		}
		h.Release(context.Background())
	})
}

// A renewal answered after the deadline must not bring a lease back that
// somebody may have seen lost.
func TestHeld_LateRenewalDoesNotRevive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := held(&fakeStore{})
		defer h.Release(context.Background())
		h.mu.Lock()
		h.deadline = time.Now() // as after a pause: no timer has run yet
		h.mu.Unlock()
		h.prolong(time.Now())
		if err := h.Check(); !errors.Is(err, ErrLost) {
			t.Errorf("Check = %v, want ErrLost", err)
		}
	})
}

// After Release nothing is renewed: a renewal under way is waited for, so that it
// can not take effect behind the release.
func TestHeld_ReleaseWaitsForRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var renewing atomic.Bool
		h := held(&fakeStore{
			onRenew: func(context.Context) error {
				renewing.Store(true)
				defer renewing.Store(false)
				time.Sleep(time.Second)
				return nil
			},
			onRelease: func(context.Context) error {
				if renewing.Load() {
					t.Error("released while a renewal was under way")
				}
				return nil
			},
		})
		time.Sleep(ttl/3 + time.Millisecond)
		if !renewing.Load() {
			t.Fatal("no renewal is under way")
		}
		if err := h.Release(context.Background()); err != nil {
			t.Errorf("Release = %v", err)
		}
		if got := context.Cause(h.Context()); !errors.Is(got, context.Canceled) {
			t.Errorf("cause = %v, want Canceled", got)
		}
	})
}

// The context of the campaign bounds the wait and nothing more.
func TestHeld_OutlivesTheContextOfAcquire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Lease{opts: Options{TTL: ttl}, store: &fakeStore{}}
		ctx, cancel := context.WithCancel(context.Background())
		h, err := l.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		time.Sleep(10 * ttl)
		if err := h.Check(); err != nil {
			t.Errorf("Check = %v, want nil", err)
		}
		h.Release(context.Background())
	})
}

// A campaign asks again when the lease is over, after errors, and when woken.
func TestLease_CampaignAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Duration
		start := time.Now()
		wake := make(chan struct{})
		answers := []func() (grant, error){
			func() (grant, error) { return grant{wait: 3 * time.Second}, nil },
			func() (grant, error) { return grant{wait: 3 * time.Second}, nil }, // once more at once
			func() (grant, error) { return grant{}, errNoAnswer },              // at 3.001 s
			func() (grant, error) { return grant{wait: -1}, nil },              // a fifth of the TTL later
			func() (grant, error) { return grant{wait: time.Hour}, nil },       // a TTL later
			func() (grant, error) { return grant{token: 9}, nil },              // woken
		}
		l := &Lease{opts: Options{TTL: 5 * time.Second, Wake: wake}, store: &fakeStore{
			onAcquire: func(context.Context, string, uint64) (grant, error) {
				asked = append(asked, time.Since(start))
				a := answers[len(asked)-1]
				return a()
			},
		}}
		l.opts, _ = Options{Key: "k", Holder: "h", TTL: 5 * time.Second, Wake: wake}.withDefaults()
		time.AfterFunc(time.Minute, func() { wake <- struct{}{} })
		h, err := l.Campaign(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer h.Release(context.Background())
		ms := time.Millisecond
		want := []time.Duration{0, 0, 3001 * ms, 4001 * ms, 9001 * ms, time.Minute}
		for i := range want {
			if asked[i] != want[i] {
				t.Fatalf("asked at %v, want %v", asked, want)
			}
		}
	})
}

// A campaign that gives up gives back what it may have been granted unknowingly.
func TestLease_CampaignThatEndsReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		released := false
		l := &Lease{store: &fakeStore{
			onAcquire: func(context.Context, string, uint64) (grant, error) { return grant{}, errNoAnswer },
			onRelease: func(ctx context.Context) error { released = ctx.Err() == nil; return nil },
		}}
		l.opts, _ = Options{Key: "k", Holder: "h"}.withDefaults()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := l.Campaign(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Campaign = %v, want DeadlineExceeded", err)
		}
		if !released {
			t.Error("nothing was released, or under a context that had ended")
		}
	})
}
