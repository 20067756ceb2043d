package lease

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// minTTL is the shortest lease: below it the round trips and the pauses of an
// ordinary machine would cost the lease all the time.
const minTTL = 50 * time.Millisecond

// Options says which lease, and for whom. Key and Holder are required; the zero
// value of the rest is fit for production.
type Options struct {
	// Key is the Redis key of the lease. Its value is "<token> <nonce> <holder>",
	// and this is part of the package's contract: a script that writes under the
	// lease compares its token with the digits before the first blank.
	Key string

	// TokenKey holds the last token granted, and never expires. In Redis Cluster
	// it must carry the same hash tag as Key. Default: Key + ":token".
	TokenKey string

	// Holder names this process, for people to read.
	Holder string

	// TTL is how long a lease lasts without renewal, and so how long others wait
	// after its holder died. Default 5 seconds; at least 50 ms.
	TTL time.Duration

	// Wake, if not nil, tells a waiting Campaign to try again at once. It is for
	// programs that subscribe to [Lease.Channel] over a connection they have
	// anyway. Without it Campaign subscribes over a connection of its own while it waits.
	Wake <-chan struct{}

	// Observe, if not nil, is told of each call to Redis: which of [Operations] it was,
	// how long it took, and why there was no answer. It must be quick.
	Observe func(op string, took time.Duration, err error)

	// Logger receives campaigns that get no answer. Default slog.Default().
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	o.TTL = cmp.Or(o.TTL, 5*time.Second)
	o.TokenKey = cmp.Or(o.TokenKey, o.Key+":token")
	o.Logger = cmp.Or(o.Logger, slog.Default())
	switch {
	case o.Key == "":
		return o, errors.New("lease: Options.Key is empty")
	case o.Holder == "":
		return o, errors.New("lease: Options.Holder is empty")
	case strings.ContainsAny(o.Holder, "\r\n"):
		return o, fmt.Errorf("lease: Options.Holder %q has a line break", o.Holder)
	case o.TTL < minTTL:
		return o, fmt.Errorf("lease: Options.TTL is %v, must be at least %v", o.TTL, minTTL)
	}
	return o, nil
}

// Lease is a candidate for one lease. It holds nothing itself: Acquire and
// Campaign return what is held. Two grants at a time through one Lease exclude
// each other as two processes do.
type Lease struct {
	opts   Options
	client redis.UniversalClient
	store  store

	// seen is the highest token granted through this Lease; the next one will be
	// greater even if Redis lost its data and its clock went back.
	seen atomic.Uint64
}

// New prepares a candidacy; it does not talk to Redis. The client stays the
// caller's to close. A client with ContextTimeoutEnabled ends calls in time that
// hang; with any other they hold up Release for the client's own timeouts, but
// never the loss of the lease.
func New(client redis.UniversalClient, o Options) (*Lease, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	var s store = &redisStore{client: client, key: o.Key, tokenKey: o.TokenKey, holder: o.Holder, ttl: o.TTL}
	if o.Observe != nil {
		s = observed{s, o.Observe}
	}
	return &Lease{opts: o, client: client, store: s}, nil
}

// Channel is where Redis announces a release; messages are empty.
func (l *Lease) Channel() string { return l.opts.Key + ":released" }

// Acquire tries once. It returns [ErrHeld] if another one holds the lease and an
// [*Error] if there was no answer. ctx bounds the call, not what it returns.
func (l *Lease) Acquire(ctx context.Context) (*Held, error) {
	nonce := rand.Text()
	h, _, err := l.try(ctx, nonce)
	if err == nil && h == nil {
		return nil, ErrHeld
	}
	if err != nil {
		l.forget(ctx, nonce)
	}
	return h, err
}

// Campaign waits until the lease is granted or ctx ends; then it returns ctx's
// error. ctx bounds the wait, not what it returns. Calls without an answer are
// repeated and logged.
func (l *Lease) Campaign(ctx context.Context) (*Held, error) {
	nonce := rand.Text()
	var wake <-chan struct{}
	stop := func() {}
	defer func() { stop() }()
	for first, failed := true, false; ; first = false {
		h, wait, err := l.try(ctx, nonce)
		if h != nil {
			return h, nil
		}
		if err != nil && !failed && ctx.Err() == nil {
			l.opts.Logger.Warn("lease: no answer to a candidate", "key", l.opts.Key, "error", err)
		}
		failed = err != nil
		if first && ctx.Err() == nil {
			// Then ask once more at once: the release may come before the
			// subscription stands.
			wake, stop = l.listen(ctx)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			l.forget(ctx, nonce)
			return nil, ctx.Err()
		case <-wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// try asks for the lease. It returns what was granted, or how long to wait
// before asking again.
func (l *Lease) try(ctx context.Context, nonce string) (*Held, time.Duration, error) {
	ttl := l.opts.TTL
	// A call that outlasts the lease can grant nothing any more.
	call, cancel := context.WithTimeout(ctx, ttl)
	defer cancel()
	sent := time.Now()
	g, err := l.store.acquire(call, nonce, l.seen.Load())
	if err != nil {
		return nil, ttl / 5, err
	}
	if g.token == 0 {
		if g.wait < 0 {
			return nil, ttl, nil
		}
		// A millisecond more, since Redis rounds: asking just before the end would
		// cost a second question.
		return nil, g.wait + time.Millisecond, nil
	}
	for {
		seen := l.seen.Load()
		if seen >= g.token || l.seen.CompareAndSwap(seen, g.token) {
			break
		}
	}
	return hold(ctx, l.store, g.token, nonce, sent, ttl), 0, nil
}

// forget gives back what a call without an answer may have been granted. It is
// only a courtesy to the others, who would wait for the TTL; so it has little time
// and its result does not matter.
func (l *Lease) forget(ctx context.Context, nonce string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(l.opts.TTL/5, time.Second))
	defer cancel()
	_ = l.store.release(ctx, nonce)
}

// listen returns a channel that wakes a campaign, and what ends it.
func (l *Lease) listen(ctx context.Context) (<-chan struct{}, func()) {
	if l.opts.Wake != nil || l.client == nil {
		return l.opts.Wake, func() {}
	}
	ps := l.client.Subscribe(ctx, l.Channel())
	// Wait for the subscription, but not for a Redis that is away: the client
	// subscribes again by itself, and until then the timer wakes the campaign.
	wait, cancel := context.WithTimeout(ctx, l.opts.TTL/5)
	defer cancel()
	_, _ = ps.Receive(wait)

	wake, done := make(chan struct{}, 1), make(chan struct{})
	messages := ps.Channel()
	go func() { // ends when ps is closed, which closes messages
		defer close(done)
		for range messages {
			select {
			case wake <- struct{}{}:
			default: // one that waits already stands for both
			}
		}
	}()
	return wake, func() { ps.Close(); <-done }
}
