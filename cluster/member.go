package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dynamicio/dynamicio/lease"
	"github.com/dynamicio/dynamicio/namespace"
	"github.com/redis/go-redis/v9"
)

// ErrAway: the node has lost touch with Redis, and was told to keep clients
// out meanwhile.
var ErrAway = errors.New("cluster: out of touch with Redis")

// MemberOptions tunes a [Member].
type MemberOptions struct {
	// RefuseWhenAway keeps clients out of namespaces while the node cannot know
	// what stands. By default they are let in, and the cluster is told later.
	RefuseWhenAway bool
	// LeaseTTL is how long the cluster goes without decisions after the node that
	// makes them has died. Default 5 seconds.
	LeaseTTL time.Duration
	// Info describes the node for the status page; it is asked before each registration.
	Info func() NodeInfo
	// Trend is what the node did in the last minutes, as text for the status page;
	// nil for none. Called every second; it is sent when it has changed.
	Trend func() string
	// Notes are sentences for the status page on what the node has found wrong with its
	// surroundings; nil for none. Called every second.
	Notes func() []string
	// Retired is told of each retirement in the cluster that is heard of; nil for
	// nobody. It is called by the goroutine that listens, and must be quick.
	Retired func(fullName string, epoch uint64)
	// Registered is told, before the session is used, with which server the node has registered, by its
	// run_id, and the empty string when the session has ended; nil for nobody. It must be quick.
	Registered func(runID string)
	// Counters are shown on the status page; nil for none. Called every second.
	Counters func() map[string]int64
	// Logger receives state changes. Default slog.Default().
	Logger *slog.Logger
}

// Member keeps a node's part in the directory: it registers, asserts, joins
// and leaves over one session after the other, campaigns for the lease and
// decides retirements while it holds it. It owns three goroutines, which run
// from Start to Close, and a short one for each call that ends in callbacks of the
// user. Its methods may be called from any goroutine.
type Member struct {
	dir    *Directory
	client redis.UniversalClient
	opts   MemberOptions
	log    *slog.Logger
	local  namespace.Local // set by Start
	hold   *holding
	held   atomic.Pointer[lease.Held] // the one held last, by hold

	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	work   sync.WaitGroup // carry, listen and hold.run
	calls  crew           // expiries and retirements that the registry is being told of

	wake     chan struct{} // holds a token when the courier has something to do
	compare  chan struct{} // holds a token when notices may have been lost
	decide   chan struct{} // holds a token when the lease holder should look again
	released chan struct{} // holds a token when the lease was given up by somebody
	draining atomic.Bool

	// mu guards what follows. It is a leaf: nobody is called and nothing is
	// waited for under it.
	mu      sync.Mutex
	session *Session  // nil while away
	since   time.Time // when it was lost
	refusal error     // why the last attempt to register was refused, if it was
	beaten  time.Time // when the last heartbeat of the sessions before was sent
	entries map[string]*entry
	dirty   []*entry // with something to tell the directory
	stats   MemberStats

	told string // the trend that the session was told last; the courier's own
}

// MemberStats counts what a member did.
type MemberStats struct {
	Registrations int64 // sessions begun
	Adopted       int64 // incarnations that went on under another epoch
	Decided       int64 // retirements that this node decided
	Evicted       int64 // nodes that this node evicted

	Registered   bool          // now: see [Member.Ready]
	HeartbeatAge time.Duration // since the last heartbeat that Redis took was sent; since Start if none was
	LeaseToken   uint64        // of the lease that the node holds now; 0: it holds none
}

// entry is one incarnation that the node has, empty ones included. All fields
// are guarded by Member.mu.
type entry struct {
	fullName   string
	epoch      uint64 // 0: none yet
	confirmed  uint64 // era in which epoch was last answered; 0: never, epoch is our own
	wanted     bool   // the node has a use for it
	member     bool   // clients have been let in since the last join
	dirty      bool   // is in Member.dirty
	retirement time.Duration
	retimed    bool      // all there is to tell is that retirement changed
	sockets    int       // as last reported
	left       time.Time // when the last use ended, until the directory has been told
	join       *joinCall // not nil while somebody waits for an answer
}

// joinCall is one wait for the directory. epoch and err are valid when done is closed.
type joinCall struct {
	done  chan struct{}
	epoch uint64
	err   error
}

// NewMember prepares a member; Start begins. Options out of their range are an error.
func NewMember(dir *Directory, client redis.UniversalClient, o MemberOptions) (*Member, error) {
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.LeaseTTL = cmp.Or(o.LeaseTTL, 5*time.Second)
	m := &Member{
		dir: dir, client: client, opts: o, log: o.Logger,
		wake: make(chan struct{}, 1), compare: make(chan struct{}, 1), decide: make(chan struct{}, 1), released: make(chan struct{}, 1),
		entries: make(map[string]*entry),
	}
	var err error
	if m.hold, err = m.newHolding(); err != nil {
		return nil, err
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m, nil
}

// Start begins to register, on behalf of a node's namespaces. It is called
// once, before anything else.
func (m *Member) Start(local namespace.Local) {
	m.local = local
	m.mu.Lock() // the bus, which may run already, asks how long the node has been without a session
	m.since = time.Now()
	m.beaten = m.since
	m.mu.Unlock()
	m.work.Go(m.carry)
	m.work.Go(m.listen)
	m.work.Go(m.hold.run)
}

// Drain shows the node as draining.
func (m *Member) Drain() {
	m.draining.Store(true)
	m.poke()
}

// Close leaves the cluster: what the node still has to tell is told, within
// ctx, then the node is gone from the directory. That Redis does not answer is a warning and no error. Callbacks under way are waited for,
// within ctx, too.
func (m *Member) Close(ctx context.Context) error {
	m.cancel()
	m.work.Wait()
	m.mu.Lock()
	s := m.session
	m.session = nil
	m.mu.Unlock()
	if s != nil {
		// At best: the others evict the node if they have not heard of it.
		if err := errors.Join(m.tell(ctx, s), s.Deregister(ctx)); err != nil {
			m.log.Warn("left without telling Redis; the other nodes will evict this one", "node", m.dir.Node(), "after", m.dir.NodeTTL(), "error", m.explain(s, err))
		}
		s.Close()
	}
	called := make(chan struct{})
	go func() { // ends when the last callback has returned
		defer close(called)
		m.calls.Wait()
	}()
	select {
	case <-called:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cluster: callbacks still running: %w", context.Cause(ctx))
	}
}

// poke wakes the courier.
func (m *Member) poke() { signal(m.wake) }

// signal puts a token in a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Join says that the node has a use for a namespace. wait returns the epoch
// that stands; while Redis is away, one of the node's own.
func (m *Member) Join(fullName string, retirement time.Duration) (wait func(context.Context) (uint64, error)) {
	m.mu.Lock()
	e := m.entries[fullName]
	if e == nil {
		e = &entry{fullName: fullName}
		m.entries[fullName] = e
	}
	e.wanted, e.member, e.retirement = true, false, retirement
	if e.join == nil {
		e.join = &joinCall{done: make(chan struct{})}
	}
	call := e.join
	m.markLocked(e)
	m.mu.Unlock()
	m.poke()
	return func(ctx context.Context) (uint64, error) { return m.await(ctx, e, call) }
}

// awayGrace is how long a join waits for a session that is being made. A
// reconnection takes less; beyond it Redis is away, and the option decides.
const awayGrace = time.Second

// await waits for the answer to a join, or until it must do without Redis.
func (m *Member) await(ctx context.Context, e *entry, call *joinCall) (uint64, error) {
	look := time.NewTicker(awayGrace / 10)
	defer look.Stop()
	for {
		m.mu.Lock()
		if m.session == nil && time.Since(m.since) >= awayGrace && e.join == call {
			m.answerAwayLocked(e)
		}
		m.mu.Unlock()
		select {
		case <-call.done:
			return call.epoch, call.err
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-look.C:
		}
	}
}

// Leave says that the node's last use of a namespace has ended.
func (m *Member) Leave(fullName string, _ uint64, retirement time.Duration) {
	m.mu.Lock()
	if e := m.entries[fullName]; e != nil {
		e.wanted, e.member, e.retirement, e.sockets, e.retimed = false, false, retirement, 0, false
		e.left = time.Now()
		m.markLocked(e)
	}
	m.mu.Unlock()
	m.poke()
}

// epoch is the one that the node's incarnation has now, 0 if there is none.
func (m *Member) epoch(fullName string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.entries[fullName]; e != nil {
		return e.epoch
	}
	return 0
}

// Admit says why nobody may be let in, nil if all is well.
func (m *Member) Admit() error {
	if !m.opts.RefuseWhenAway {
		return nil
	}
	m.mu.Lock()
	s := m.session
	m.mu.Unlock()
	if s == nil || !s.Fresh() {
		return ErrAway
	}
	return nil
}

// Ready says why the node is not registered, or is about to be evicted; nil if
// all is well.
func (m *Member) Ready() error {
	m.mu.Lock()
	s, refusal := m.session, m.refusal
	m.mu.Unlock()
	switch {
	case s != nil && s.Fresh():
		return nil
	case refusal != nil:
		return fmt.Errorf("not registered in Redis: %w", refusal)
	}
	return errors.New("not registered in Redis")
}

// awayFor is how long the node has had no session; 0 while it has one.
func (m *Member) awayFor() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session != nil {
		return 0
	}
	return time.Since(m.since)
}

// Stats returns the counters, and how things stand. It waits for nothing.
func (m *Member) Stats() MemberStats {
	m.mu.Lock()
	out, s, beaten := m.stats, m.session, m.beaten
	m.mu.Unlock()
	out.HeartbeatAge = time.Since(beaten)
	if s != nil {
		out.Registered, out.HeartbeatAge = s.Fresh(), s.sinceBeat()
	}
	if held := m.held.Load(); held != nil && held.Check() == nil {
		out.LeaseToken = held.Token()
	}
	return out
}

// markLocked notes that the directory has to hear of an entry. m.mu must be held.
func (m *Member) markLocked(e *entry) {
	if !e.dirty {
		e.dirty = true
		m.dirty = append(m.dirty, e)
	}
}

// answerAwayLocked answers a join while Redis is away: clients are let in
// under the epoch that the node has, or one that it makes up and asserts when
// Redis is back. m.mu must be held.
func (m *Member) answerAwayLocked(e *entry) {
	if m.opts.RefuseWhenAway {
		m.resolveLocked(e, 0, ErrAway)
		return
	}
	if e.epoch == 0 {
		e.epoch = max(m.dir.seen.Load()+1, uint64(time.Now().UnixMicro()))
		m.dir.saw(e.epoch)
	}
	e.member = true
	m.resolveLocked(e, e.epoch, nil)
}

// resolveLocked answers those who wait for a join. m.mu must be held.
func (m *Member) resolveLocked(e *entry, epoch uint64, err error) {
	if e.join != nil {
		e.join.epoch, e.join.err = epoch, err
		close(e.join.done)
		e.join = nil
	}
}

// told is what the registry has to hear; it is called without the lock.
type told func()

// retireLocked forgets an incarnation and says so to the registry. That runs the user's
// callbacks, which may take long: neither the heartbeat nor other notices wait
// for them. m.mu must be held.
func (m *Member) retireLocked(e *entry) told {
	fullName, epoch := e.fullName, e.epoch
	delete(m.entries, fullName)
	e.epoch = 0
	return func() { m.calls.Go(func() { m.local.Retire(fullName, epoch) }) }
}

// adopted says that an incarnation goes on under another epoch.
func (m *Member) adopted(fullName string, epoch uint64) told {
	return func() { m.local.Adopt(fullName, epoch) }
}

// notice handles what the control channel says.
func (m *Member) notice(n Notice) {
	switch n.Kind {
	case NoticeRetired:
		var news []told
		m.mu.Lock()
		// Where the node wants the namespace, the join under way or the next
		// assertion finds out what stands. A leave not told yet has nothing to tell any more.
		if e := m.entries[n.Name]; e != nil && e.epoch == n.Number && !e.wanted {
			news = append(news, m.retireLocked(e))
		}
		m.mu.Unlock()
		pass(news)
		if m.opts.Retired != nil {
			m.opts.Retired(n.Name, n.Number)
		}
	case NoticeDue, NoticeGone, NoticeAsserted:
		signal(m.decide)
	}
}

// String names the member in logs.
func (m *Member) String() string { return fmt.Sprintf("member %s", m.dir.Node()) }
