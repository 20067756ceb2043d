package bus

import (
	"errors"
	"strings"
	"time"
)

// Redis may answer that it cannot take a command now, and has done nothing. What it refused so is published again,
// before all that came after it.

// refusedForNow reports whether an error says that nothing was published, and that it may be later: somebody's script
// runs, data is being loaded, a failover is under way.
func refusedForNow(err error) bool {
	said, ok := errors.AsType[redisError](err)
	if !ok {
		return false
	}
	code, _, _ := strings.Cut(string(said), " ")
	switch code {
	case "BUSY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN":
		return true
	}
	return false
}

// settlePipeline takes the replies to one pipeline. What Redis refused for now waits in l.again, unless something newer was
// published: then its turn is over. It is called by receive alone.
func (b *Bus) settlePipeline(l *outLink, items []outItem, results []publishResult) {
	for i, r := range results {
		it := items[i]
		if refusedForNow(r.err) && (it.ctx == nil || it.ctx.Err() == nil) {
			l.again = append(l.again, it)
			continue
		}
		if r.err == nil && len(l.again) > 0 {
			b.fail(l.again, errors.Join(ErrUnsent, errOvertaken))
			l.again = nil
		}
		if r.err != nil {
			if b.stats.publishErrors.Add(1)%logEvery == 1 {
				b.log.Error("bus: Redis refuses to publish", "error", r.err)
			}
			r.err = errors.Join(ErrUnsent, r.err)
		}
		it.finish(r.subscribers, r.err)
	}
	if len(l.again) > 0 && l.refused.CompareAndSwap(false, true) {
		b.log.Warn("bus: Redis cannot publish now; trying again", "error", firstError(results))
	}
}

var errOvertaken = errors.New("bus: refused, and what came after it was published")

type publishResult struct {
	subscribers int
	err         error
}

func firstError(results []publishResult) error {
	for _, r := range results {
		if r.err != nil {
			return r.err
		}
	}
	return nil
}

// recover waits until nothing is under way over l, and puts what Redis refused back to the front of the queue. It is
// called by publish alone, which sends nothing meanwhile.
func (b *Bus) recover(l *outLink, n int) {
	for l.pending.Load() > 0 {
		select {
		case <-l.settled:
		case <-l.ended:
			return // stop finds what was refused
		}
	}
	again := l.again
	l.again = nil
	l.refused.Store(false)
	b.out.putBack(again)
	b.pause(n)
}

// pause waits before attempt n, counted from 0, unless the bus is closed.
func (b *Bus) pause(n int) {
	t := time.NewTimer(jittered(n))
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.ctx.Done():
	}
}
