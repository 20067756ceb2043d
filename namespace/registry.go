package namespace

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// SetupFunc prepares a new incarnation of a namespace: it registers handlers,
// sets the retirement time. It runs once for each incarnation, before any
// client is let in. An error refuses the namespace: nothing of it stays, and
// clients are told "Invalid namespace", or the text of a [*ClientError].
type SetupFunc func(ns *Namespace, m Match) error

// Registry holds the namespaces that are live on this node and the
// registrations by which new ones come to life.
type Registry struct {
	opts Options
	log  *slog.Logger
	solo *Solo // the Cluster, if the registry made it

	ctx    context.Context // ends when the registry closes
	cancel context.CancelFunc
	work   sync.WaitGroup // connects and expiries under way

	// mu guards what follows, and the fields of Namespace that say so. While
	// it is held no user code runs and nobody waits.
	mu        sync.Mutex
	live      map[string]*Namespace   // by full name
	permanent map[*Namespace]struct{} // those made by Of
	byAddress map[netip.Addr]int      // namespaces on demand, by the address of who asked first
	exact     map[string]SetupFunc
	patterns  []registration
	retired   []func(fullName string, epoch uint64)
	clients   map[*Client]struct{}
	closed    bool

	stats   counters
	refused [refusals]*refusedLog // for those that an operator should know of
}

type registration struct {
	pattern Pattern
	setup   SetupFunc
}

// New returns a registry that holds the permanent namespace "/" of the main
// host, not yet set up. Close it after use.
func New(opts Options) (*Registry, error) {
	madeSolo := opts.Cluster == nil
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Registry{
		opts:      opts,
		log:       opts.Logger,
		live:      make(map[string]*Namespace),
		permanent: make(map[*Namespace]struct{}),
		byAddress: make(map[netip.Addr]int),
		exact:     make(map[string]SetupFunc),
		clients:   make(map[*Client]struct{}),
	}
	if madeSolo {
		r.solo = opts.Cluster.(*Solo)
	}
	for i := range r.refused {
		r.refused[i] = &refusedLog{log: func(full string, err error, n int) {
			r.log.Warn("connect refused", "namespace", full, "error", err, "reason", refusalLabels[i], "refused", n)
		}}
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	opts.Cluster.Start(r)
	if _, err := r.Of("/", ""); err != nil {
		return nil, err
	}
	return r, nil
}

// Stop is the beginning of Close, for those who end the connections
// themselves: from now on nobody is let in, nothing is made and nothing
// retires. The sockets that leave now are the node's doing, and the namespaces
// that they leave empty go on on other nodes: no expiry callback runs.
func (r *Registry) Stop() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	if r.solo != nil {
		r.solo.stop()
	}
}

// Close is Stop, ends all connections with [ReasonShutdown] and waits until
// their handlers and the callbacks under way have returned, or ctx is over.
func (r *Registry) Close(ctx context.Context) error {
	r.Stop()
	r.mu.Lock()
	clients := make([]*Client, 0, len(r.clients))
	for c := range r.clients {
		clients = append(clients, c)
	}
	r.mu.Unlock()
	for _, c := range clients {
		c.conn.Close(ReasonShutdown)
	}
	r.cancel()
	done := make(chan struct{})
	go func() { // ends when the last handler has returned
		defer close(done)
		r.work.Wait()
		for _, l := range r.refused {
			l.stop()
		}
		if r.solo != nil {
			r.solo.Close()
		}
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("namespace: handlers still running: %w", context.Cause(ctx))
	}
}

// Of returns the namespace with that name on that host (empty: the main one),
// and makes it if it does not exist. Either way it is permanent from then on,
// on this node: it does not retire. A matching registration sets it up; if
// that refuses, Of returns an error that matches [ErrRefused]. Where another
// goroutine is setting it up, Of waits for what comes of it.
//
// Within a setup Of does not wait for another one, which may be the very same
// or wait for it in turn: it returns the namespace as it is then. A setup must
// not wait for a goroutine of its own that calls Of for the same namespace.
func (r *Registry) Of(name, host string) (*Namespace, error) {
	if strings.HasPrefix(name, "//") {
		return nil, fmt.Errorf("namespace: name %q begins with two slashes; give the host as the second argument", name)
	}
	full := FullName(host, name)
	if strings.Contains(full, ",") || !utf8.ValidString(full) {
		return nil, fmt.Errorf("namespace: name %q holds a comma or is not UTF-8, so that no client could ask for it", full)
	}
	r.mu.Lock()
	if ns := r.live[full]; ns != nil {
		r.makePermanentLocked(ns)
		settingUp, ready := ns.state == stateSettingUp, ns.ready
		r.mu.Unlock()
		if !settingUp || withinSetup() {
			return ns, nil
		}
		<-ready
		if err := r.refusalOf(ns); err != nil {
			return nil, err
		}
		return ns, nil
	}
	ns := r.newNamespaceLocked(full)
	r.keepLocked(ns)
	setup, m, ok := r.matchLocked(full)
	if !ok {
		ns.state = stateBare
		close(ns.ready)
		r.mu.Unlock()
		return ns, nil
	}
	r.mu.Unlock()
	if err := r.finishSetup(ns, setup, m); err != nil {
		return nil, err
	}
	return ns, nil
}

// refusalOf returns why the setup of ns, which has ended, refused it; nil if it did not.
func (r *Registry) refusalOf(ns *Namespace) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return ns.refusal
}

// withinSetup reports whether the calling goroutine is running a setup. Only
// its stack can tell: what a setup is given does not come along to Of.
func withinSetup() bool {
	pcs := make([]uintptr, 256)
	for skip := 0; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs)
		for frames, more := runtime.CallersFrames(pcs[:n]), n > 0; more; {
			var frame runtime.Frame
			frame, more = frames.Next()
			if strings.HasSuffix(frame.Function, "/namespace.callSetup") {
				return true
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}

// makePermanentLocked keeps an on-demand namespace for good. If its countdown
// has begun, it is called off by coming and going once. r.mu must be held.
func (r *Registry) makePermanentLocked(ns *Namespace) {
	if ns.permanent {
		return
	}
	r.keepLocked(ns)
	if ns.membership == memberOut && ns.epoch != 0 && !r.closed {
		ns.uses++
		r.work.Go(func() {
			if ns, err := r.enter(r.ctx, ns); err == nil {
				r.release(ns)
			}
		})
	}
}

// keepLocked makes a namespace permanent. r.mu must be held.
func (r *Registry) keepLocked(ns *Namespace) {
	ns.permanent = true
	r.uncountLocked(ns)
	ns.retirement.Store(int64(Never))
	r.permanent[ns] = struct{}{}
}

// newNamespaceLocked adds a namespace that is about to be set up. r.mu must be held.
func (r *Registry) newNamespaceLocked(full string) *Namespace {
	host, name := SplitFullName(full)
	ns := &Namespace{
		reg: r, fullName: full, host: host, name: name,
		sockets: make(map[string]*Socket),
		state:   stateSettingUp, ready: make(chan struct{}),
		created: time.Now(),
	}
	ns.ids.Store(randomAckStart())
	ns.retirement.Store(int64(r.opts.Retirement))
	r.live[full] = ns
	r.stats.created.Add(1)
	return ns
}

// finishSetup runs the setup of a namespace made by newNamespaceLocked and
// lets those who wait for it go on. A refusal takes the namespace away again.
func (r *Registry) finishSetup(ns *Namespace, setup SetupFunc, m Match) error {
	err := r.runSetup(ns, setup, m)
	r.mu.Lock()
	defer r.mu.Unlock()
	ns.state = stateReady
	if err != nil {
		ns.refusal = err
		r.dropLocked(ns)
		if ns.membership == memberIn {
			// It is the successor of one that was retired. In the same step, lest
			// the join of the next one overtakes the leave.
			r.opts.Cluster.Leave(ns.fullName, ns.epoch, ns.Retirement())
		}
	}
	close(ns.ready)
	return err
}

// dropLocked removes ns if it is still the live one under its name, so that a
// late removal cannot take its successor away. r.mu must be held.
func (r *Registry) dropLocked(ns *Namespace) bool {
	if r.live[ns.fullName] != ns {
		return false
	}
	delete(r.live, ns.fullName)
	delete(r.permanent, ns)
	r.uncountLocked(ns)
	ns.state = stateGone
	ns.gone.Store(true)
	r.stats.dropped.Add(1)
	return true
}

// Lookup returns the live namespace of a full name, or nil. It neither makes
// one nor keeps it from retiring.
func (r *Registry) Lookup(full string) *Namespace {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live[full]
}

// Namespaces returns the live namespaces in the order of [CompareFullNames].
func (r *Registry) Namespaces() []*Namespace {
	all := r.snapshot()
	slices.SortFunc(all, func(a, b *Namespace) int { return CompareFullNames(a.fullName, b.fullName) })
	return all
}

// snapshot returns the live namespaces, in no order.
func (r *Registry) snapshot() []*Namespace {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.AppendSeq(make([]*Namespace, 0, len(r.live)), maps.Values(r.live))
}

// OnRetire registers a hook that runs when a namespace has been retired
// everywhere: on one node of the cluster, the one that decided it.
func (r *Registry) OnRetire(hook func(fullName string, epoch uint64)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retired = append(r.retired, hook)
}

// Retired implements [Local].
func (r *Registry) Retired(full string, epoch uint64) {
	r.mu.Lock()
	hooks := slices.Clone(r.retired)
	r.mu.Unlock()
	for _, hook := range hooks {
		r.contain("OnRetire hook", full, func() { hook(full, epoch) })
	}
}
