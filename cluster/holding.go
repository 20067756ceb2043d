package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dynamicio/dynamicio/lease"
)

// holding is the part of a member that campaigns for the lease and, while it
// holds it, decides for the whole cluster.
type holding struct {
	member *Member
	lease  *lease.Lease
}

func (m *Member) newHolding() (*holding, error) {
	key, token := m.dir.LeaseKeys()
	l, err := lease.New(m.client, lease.Options{
		Key: key, TokenKey: token, Holder: m.dir.Node(), TTL: m.opts.LeaseTTL,
		Wake: m.released, Observe: m.dir.opts.Observer.leased, Logger: m.log,
	})
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return &holding{m, l}, nil
}

// leaseChannel is where a holder says that it has given up.
func (m *Member) leaseChannel() string {
	key, _ := m.dir.LeaseKeys()
	return key + ":released"
}

// run campaigns and decides, until the member closes.
func (h *holding) run() {
	m := h.member
	for m.ctx.Err() == nil {
		// A node that is not registered could decide nothing; and the first
		// registration with a server voids the lease.
		if m.current() == nil {
			select {
			case <-m.decide:
			case <-m.ctx.Done():
			case <-time.After(m.dir.NodeTTL() / 4):
			}
			continue
		}
		held, err := h.lease.Campaign(m.ctx)
		if err != nil {
			continue // the campaign ends with the context alone
		}
		m.log.Info("holding the lease", "node", m.dir.Node(), "token", held.Token())
		m.held.Store(held)
		why := h.decide(held)
		// Its own time: the others should not wait for the TTL when this node stops.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = held.Release(ctx)
		cancel()
		if m.ctx.Err() == nil {
			m.log.Warn("lease lost", "node", m.dir.Node(), "token", held.Token(), "error", why)
		}
	}
}

// errNoSession: a holder that cannot register decides nothing, and keeps others from deciding.
var errNoSession = errors.New("cluster: no session for a node TTL")

// decide retires, evicts and sweeps as long as the lease is held, and returns
// why it is not. The three take turns, each with one bounded step, so that none holds up
// another. Between two turns it sleeps until something is due or a notice comes.
func (h *holding) decide(held *lease.Held) error {
	m := h.member
	t := turn{sweep: true} // the last holder may have left something
	for {
		err := cmp.Or(held.Check(), m.ctx.Err())
		if err == nil && m.awayFor() > m.dir.NodeTTL() {
			err = errNoSession
		}
		if err != nil {
			return err
		}
		wait := m.dir.NodeTTL() / 4
		if s := m.current(); s != nil {
			if wait, err = h.take(held, s, &t); errors.Is(err, lease.ErrLost) {
				return err
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-held.Context().Done(): // the check says why
		case <-m.ctx.Done():
		case <-m.decide:
			t = turn{sweep: true} // a node may have gone: what it leaves has to be swept
		case <-timer.C:
		}
		timer.Stop()
	}
}

// turn is what a holder has to do next.
type turn struct {
	evictAt time.Time
	sweep   bool // there may be something to sweep
}

// take does one step of each kind and says when the next is due.
func (h *holding) take(held *lease.Held, s *Session, t *turn) (wait time.Duration, err error) {
	wait = h.member.dir.NodeTTL() / 4
	if !time.Now().Before(t.evictAt) {
		t.evictAt = time.Now().Add(wait) // it wants to be looked at three times in a node TTL at least
		next, err := h.evict(held, s)
		if err != nil {
			return wait, err
		}
		t.evictAt = time.Now().Add(min(wait, max(next, time.Millisecond)))
		t.sweep = true
	}
	if t.sweep {
		swept, err := s.Sweep(held.Context(), held.Token())
		if err != nil {
			return wait, err
		}
		t.sweep = swept.More
	}
	next, err := h.retire(held, s)
	if err != nil {
		return wait, err
	}
	if t.sweep {
		return 0, nil
	}
	if next >= 0 {
		wait = min(wait, next)
	}
	return max(0, min(wait, time.Until(t.evictAt))), nil
}

// current is the session that commands go over, nil while away.
func (m *Member) current() *Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.session
}

// evict ends the sessions of nodes that were silent for too long, and says when the next may have been.
func (h *holding) evict(held *lease.Held, s *Session) (time.Duration, error) {
	m := h.member
	d, err := s.Evict(held.Context(), held.Token())
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	m.stats.Evicted += int64(len(d.Evicted))
	m.mu.Unlock()
	for _, id := range d.Evicted {
		m.log.Warn("node evicted: silent past its time", "evicted", id)
	}
	return d.Wait, nil
}

// retire retires what is due, and says when something will be next, negative if
// only a notice will tell.
func (h *holding) retire(held *lease.Held, s *Session) (time.Duration, error) {
	ctx := held.Context()
	d, err := s.Retire(ctx, held.Token())
	if err != nil {
		return 0, err
	}
	if len(d.Retired) > 0 {
		m := h.member
		m.mu.Lock()
		m.stats.Decided += int64(len(d.Retired))
		m.mu.Unlock()
		for _, r := range d.Retired {
			observe(m.dir.opts.Observer.Retired, r.Late)
		}
		// The user's hooks: the cluster does not wait for them.
		m.calls.Go(func() {
			for _, r := range d.Retired {
				m.local.Retired(r.FullName, r.Epoch)
			}
		})
	}
	return d.Wait, nil
}
