package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dynamicio/dynamicio/namespace"
)

const (
	// batch is how many commands go out in one write.
	batch = 200
	// compareEvery is how often a node asks what stands of what it has, in case a
	// notice was lost.
	compareEvery = time.Minute
	// Registering is tried again after a pause between these two.
	minPause, maxPause = 100 * time.Millisecond, 2 * time.Second
)

// carry is the courier: it keeps a session, and all commands of the node go
// through it, in batches, one after the other. So the commands for one
// namespace are in order, and thousands of namespaces share a round trip.
func (m *Member) carry() {
	pause := time.Duration(0)
	for m.ctx.Err() == nil {
		if pause > 0 {
			select {
			case <-m.ctx.Done():
				return
			case <-time.After(pause):
			}
		}
		s, err := m.register()
		m.remember(err)
		if err != nil {
			if pause == 0 {
				m.log.Warn("not registered in Redis; retrying", m.refusalArgs(err)...)
			}
			pause = min(max(2*pause, minPause), maxPause)
			if taken, ok := errors.AsType[*TakenError](err); ok {
				pause = min(max(taken.Wait, minPause), maxPause) // when it may have gone
			}
			continue
		}
		m.log.Info("registered in Redis", "node", m.dir.Node(), "session", s.Number(), "era", s.Era(), "new_era", s.NewEra())
		begun := time.Now()
		err = m.serve(s)
		if m.ctx.Err() != nil {
			return // Close ends the session
		}
		m.away()
		s.Close()
		m.log.Warn("session in Redis lost; registering again", "node", m.dir.Node(), "error", m.explain(s, err))
		if time.Since(begun) > m.dir.NodeTTL() {
			pause = 0
		}
		pause = min(max(2*pause, minPause), maxPause)
	}
}

// refusalArgs is what the log says of a registration that failed.
func (m *Member) refusalArgs(err error) []any {
	args := []any{"node", m.dir.Node(), "redis", server(m.client), "error", err}
	if h := hint(m.client, err); h != "" {
		args = append(args, "hint", h)
	}
	return args
}

// remember keeps why the node was refused, nil after a registration. What went wrong on the
// way to Redis has addresses in it, and is for the log.
func (m *Member) remember(err error) {
	var refusal error
	if taken, ok := errors.AsType[*TakenError](err); ok {
		refusal = taken
	} else if said, ok := errors.AsType[redis.Error](err); ok {
		refusal = fmt.Errorf("refused by Redis: %w", said)
		if h := hint(m.client, err); h != "" {
			refusal = fmt.Errorf("%w (%s)", refusal, h)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refusal = refusal
}

// register begins a session and asserts all that the node has.
func (m *Member) register() (*Session, error) {
	var info NodeInfo
	if m.opts.Info != nil {
		info = m.opts.Info()
	}
	s, err := m.dir.Register(m.ctx, info)
	if err != nil {
		return nil, err
	}
	m.told = ""
	if err = m.assert(m.ctx, s, false); err == nil {
		err = m.heartbeat(m.ctx, s, true)
	}
	if err != nil {
		if m.ctx.Err() != nil {
			// The member closes: a session that goes on asserting would hold up the cluster.
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_ = s.Deregister(ctx)
			cancel()
		}
		s.Close()
		return nil, err
	}
	if m.opts.Registered != nil {
		m.opts.Registered(s.runID)
	}
	m.mu.Lock()
	m.session = s
	m.stats.Registrations++
	m.mu.Unlock()
	signal(m.decide)
	return s, nil
}

// away notes that the session is lost. Whoever waits for a join finds out.
func (m *Member) away() {
	m.mu.Lock()
	m.since = time.Now()
	if m.session != nil {
		m.beaten = m.since.Add(-m.session.sinceBeat())
	}
	m.session = nil
	m.mu.Unlock()
	if m.opts.Registered != nil {
		m.opts.Registered("")
	}
}

// heartbeat says that the node lives, and how it is; done: all that it has is asserted.
func (m *Member) heartbeat(ctx context.Context, s *Session, done bool) error {
	b := Beat{Done: done, Draining: m.draining.Load()}
	if m.opts.Info != nil {
		b.Address = m.opts.Info().Address // known once the node listens
	}
	if m.opts.Counters != nil {
		b.Counters = m.opts.Counters()
	}
	if m.opts.Notes != nil {
		b.Notes = strings.Join(m.opts.Notes(), "\n")
	}
	trend := m.told
	if m.opts.Trend != nil {
		trend = m.opts.Trend()
	}
	if trend != m.told {
		b.Trend = trend
	}
	err := s.Heartbeat(ctx, b)
	if err == nil {
		m.told = trend
	}
	return err
}

// beatEvery lets three heartbeats fit in a node TTL; the status page wants one a second.
func (m *Member) beatEvery() time.Duration { return min(time.Second, m.dir.NodeTTL()/4) }

// keepAlive sends a heartbeat if the last one is a while ago. Whoever has many batches to
// send calls it in between: the time they take together may be more than a node TTL.
func (m *Member) keepAlive(ctx context.Context, s *Session, done bool) error {
	if s.sinceBeat() < m.beatEvery() {
		return nil
	}
	return m.heartbeat(ctx, s, done)
}

// serve works over a session until it ends. The error says why.
func (m *Member) serve(s *Session) error {
	beat := time.NewTicker(m.beatEvery())
	defer beat.Stop()
	said := false // that the node drains
	compare := time.NewTicker(compareEvery)
	defer compare.Stop()
	for {
		err := m.tell(m.ctx, s)
		if err != nil {
			return err
		}
		select {
		case <-m.ctx.Done():
			return nil
		case <-s.Ended():
			return s.Err()
		case <-m.wake:
			if m.draining.Load() && !said { // on the status page at once
				said = true
				err = m.heartbeat(m.ctx, s, true)
			}
		case <-compare.C:
			err = m.assert(m.ctx, s, true)
		case <-m.compare:
			err = m.assert(m.ctx, s, true)
		case <-beat.C:
			if err = m.heartbeat(m.ctx, s, true); err == nil {
				err = m.count(m.ctx, s)
			}
		}
		if err != nil {
			return err
		}
	}
}

// tell sends the joins and leaves that wait, until none is left.
func (m *Member) tell(ctx context.Context, s *Session) error {
	for {
		m.mu.Lock()
		n := min(len(m.dirty), batch)
		todo := m.dirty[:n:n]
		m.dirty = m.dirty[n:]
		ops := make([]Op, 0, n)
		asked := make([]*entry, 0, n)
		for _, e := range todo {
			e.dirty = false
			switch {
			case e.wanted:
				ops = append(ops, &Join{FullName: e.fullName, Retirement: permanence(e.retirement)})
			case m.entries[e.fullName] == e && e.retimed:
				e.retimed = false
				ops = append(ops, &Retime{FullName: e.fullName, Epoch: e.epoch, Retirement: permanence(e.retirement)})
			case m.entries[e.fullName] == e:
				ops = append(ops, &Leave{FullName: e.fullName, Retirement: permanence(e.retirement)})
			default:
				continue // retired before it was told
			}
			asked = append(asked, e)
		}
		m.mu.Unlock()
		if n == 0 {
			return nil
		}
		if err := s.Do(ctx, ops...); err != nil {
			m.mu.Lock()
			for i, e := range asked {
				if _, ok := ops[i].(*Retime); ok && !e.dirty {
					e.retimed = true
				}
				m.markLocked(e)
			}
			m.mu.Unlock()
			return err
		}
		m.take(s, ops, asked)
		if err := m.keepAlive(ctx, s, true); err != nil {
			return err
		}
	}
}

// take applies the answers to joins and leaves.
func (m *Member) take(s *Session, ops []Op, asked []*entry) {
	var news []told
	m.mu.Lock()
	for i, op := range ops {
		e := asked[i]
		switch op := op.(type) {
		case *Join:
			// Clients that were let in while Redis was away go on; others are
			// let in now, and the registry sees by the epoch what stands.
			if e.member && e.epoch != op.Epoch {
				m.stats.Adopted++
				news = append(news, m.adopted(e.fullName, op.Epoch))
			}
			e.epoch, e.confirmed = op.Epoch, s.Era()
			if e.wanted {
				e.member = true
				m.resolveLocked(e, op.Epoch, nil)
			}
		case *Leave:
			if e.wanted || m.entries[e.fullName] != e {
				break // wanted again, or a notice was faster
			}
			if !e.left.IsZero() {
				took := time.Since(e.left)
				e.left = time.Time{}
				news = append(news, func() { observe(m.dir.opts.Observer.Left, took) })
			}
			switch {
			case e.epoch == 0: // its join never had an answer: there is nothing to remember
				delete(m.entries, e.fullName)
			case e.epoch != op.Epoch:
				// What we left was not there any more: a notice of its retirement was
				// lost, or is on its way.
				news = append(news, m.retireLocked(e))
			}
		}
	}
	m.mu.Unlock()
	pass(news)
}

// pass tells the registry, or the observer. It must not be called under Member.mu.
func pass(news []told) {
	for _, n := range news {
		n()
	}
}

// assert asks what stands of all that the node has, in batches. done: it has been
// asked before over this session, and a lost notice is all that can come out.
func (m *Member) assert(ctx context.Context, s *Session, done bool) error {
	m.mu.Lock()
	all := make([]*entry, 0, len(m.entries))
	for _, e := range m.entries {
		if e.epoch != 0 {
			all = append(all, e)
		}
	}
	m.mu.Unlock()
	for len(all) > 0 {
		n := min(len(all), batch)
		if err := m.assertSome(ctx, s, all[:n]); err != nil {
			return err
		}
		if err := m.keepAlive(ctx, s, done); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

func (m *Member) assertSome(ctx context.Context, s *Session, some []*entry) error {
	asked := make([]*entry, 0, len(some))
	ops := make([]Op, 0, len(some))
	m.mu.Lock()
	for _, e := range some {
		if m.entries[e.fullName] != e || e.epoch == 0 {
			continue
		}
		a := &Assert{
			FullName: e.fullName, Confirmed: e.confirmed, Occupied: e.wanted && e.member,
			Sockets: e.sockets, Retirement: permanence(e.retirement),
		}
		if e.confirmed != 0 {
			a.Epoch = e.epoch // one of our own making means nothing to others
		}
		asked, ops = append(asked, e), append(ops, a)
	}
	m.mu.Unlock()
	if err := s.Do(ctx, ops...); err != nil {
		return err
	}
	var news []told
	m.mu.Lock()
	for i, op := range ops {
		a, e := op.(*Assert), asked[i]
		if m.entries[e.fullName] != e {
			continue
		}
		news = m.assertedLocked(s, a, e, news)
	}
	m.mu.Unlock()
	pass(news)
	return nil
}

// assertedLocked applies the answer to one assertion and returns what the
// registry has to hear of it. m.mu must be held.
func (m *Member) assertedLocked(s *Session, a *Assert, e *entry, news []told) []told {
	old := e.epoch
	expired := a.Standing == Retired || a.Standing == Replaced && !a.Occupied
	switch {
	case expired && e.wanted:
		// Somebody wants it again since: the join that follows tells what stands,
		// and the registry sets up anew if that is another incarnation.
		m.markLocked(e)
	case expired:
		news = append(news, m.retireLocked(e))
	default:
		e.epoch, e.confirmed = a.Current, s.Era()
		if a.Current != old {
			m.stats.Adopted++
			news = append(news, m.adopted(e.fullName, a.Current))
		}
		if a.Occupied && !e.wanted {
			m.markLocked(e) // the last socket left meanwhile
		}
	}
	return news
}

// count reports how many sockets the node has where, so far as that changed.
func (m *Member) count(ctx context.Context, s *Session) error {
	m.mu.Lock()
	names := make([]string, 0, len(m.entries))
	for name, e := range m.entries {
		if e.wanted && e.member {
			names = append(names, name)
		}
	}
	m.mu.Unlock()
	var counts []Count
	for _, name := range names {
		sockets, retirement, ok := m.local.Count(name)
		if !ok {
			continue
		}
		m.mu.Lock()
		if e := m.entries[name]; e != nil && e.wanted && (e.sockets != sockets || e.retirement != retirement) {
			e.sockets, e.retirement = sockets, retirement
			counts = append(counts, Count{name, sockets, permanence(retirement)})
		}
		m.mu.Unlock()
	}
	return s.Counts(ctx, counts)
}

// permanence is a retirement time as the directory takes it.
func permanence(d time.Duration) time.Duration {
	if d == namespace.Never {
		return -1
	}
	return d
}
