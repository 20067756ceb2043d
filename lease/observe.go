package lease

import (
	"context"
	"errors"
	"time"
)

// Operations are what [Options.Observe] is told of.
func Operations() []string { return []string{"acquire", "renew", "release"} }

// observed is a store whose calls somebody is told of.
type observed struct {
	store
	tell func(op string, took time.Duration, err error)
}

func (s observed) acquire(ctx context.Context, nonce string, floor uint64) (grant, error) {
	sent := time.Now()
	g, err := s.store.acquire(ctx, nonce, floor)
	s.called(ctx, "acquire", sent, err)
	return g, err
}

func (s observed) renew(ctx context.Context, token uint64, nonce string) error {
	sent := time.Now()
	err := s.store.renew(ctx, token, nonce)
	s.called(ctx, "renew", sent, err)
	return err
}

func (s observed) release(ctx context.Context, nonce string) error {
	sent := time.Now()
	err := s.store.release(ctx, nonce)
	s.called(ctx, "release", sent, err)
	return err
}

// called tells of one call. That Redis says no is an answer, and a call that this
// process has given up says nothing of Redis.
func (s observed) called(ctx context.Context, op string, sent time.Time, err error) {
	if errors.Is(err, ErrLost) {
		err = nil
	}
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	s.tell(op, time.Since(sent), err)
}
