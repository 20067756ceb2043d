package rules

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/dynamicio/dynamicio/namespace"
)

// Guard sets up the namespaces of a node so that clients can do what a [Set]
// allows. Its methods are safe for concurrent use, once Setup has returned.
type Guard struct {
	log      *slog.Logger
	refusals refusals
	reg      *namespace.Registry // given by Setup
	set      atomic.Pointer[Set] // nil: no rules, for good

	replacing sync.Mutex // held by Replace, so that of two the later one wins everywhere
}

// NewGuard returns a guard of the rules in a set.
func NewGuard(set *Set, log *slog.Logger) *Guard {
	g := &Guard{log: log}
	g.set.Store(set)
	return g
}

// NewOpen returns a guard without any rules, for good: every namespace is there
// and every event allowed. Clients come in faster than under a guard of a set
// without rules, which has to look for one.
func NewOpen(log *slog.Logger) *Guard { return &Guard{log: log} }

// Setup sets up all namespaces of a registry so that the rules hold in them. It
// is called once, before the node serves.
func (g *Guard) Setup(reg *namespace.Registry) {
	g.reg = reg
	reg.Setup("*", g.setup)
}

// Replace makes another set hold: for the next connect and the next event in
// every namespace. Retirement times change at once, for empty namespaces too.
func (g *Guard) Replace(set *Set) {
	g.replacing.Lock()
	defer g.replacing.Unlock()
	g.set.Store(set)
	for _, ns := range g.reg.Namespaces() {
		g.setRetirement(ns, set)
	}
}

// Host returns the host that another stands for, see [Hosts.Canonical].
func (g *Guard) Host(host string) string { return g.set.Load().Hosts.Canonical(host) }

// setRetirement gives a namespace the retirement time of its rule. A refused
// one, whose clients stay, keeps what it has.
func (g *Guard) setRetirement(ns *namespace.Namespace, set *Set) {
	rule := set.find(ns.Host(), ns.Name())
	if rule == nil {
		return
	}
	d := set.Retirement
	if rule.Retirement != nil {
		d = *rule.Retirement
	}
	if d != ns.Retirement() { // the cluster is told of each
		ns.SetRetirement(d)
	}
}

// setup implements [namespace.SetupFunc].
func (g *Guard) setup(ns *namespace.Namespace, _ namespace.Match) error {
	sp := &space{guard: g, ns: ns}
	if set := g.set.Load(); set != nil {
		// A permanent namespace is there whatever its setup says: its clients
		// are refused by the middleware.
		if set.find(ns.Host(), ns.Name()) == nil && !ns.Permanent() {
			return g.refusals.count(errRefused)
		}
		for {
			g.setRetirement(ns, set)
			// Replace may have seen the namespace before that.
			now := g.set.Load()
			if now == set {
				break
			}
			set = now
		}
		ns.Use(sp.admit)
	}
	sp.addVerbs()
	return nil
}

// space is one incarnation of a namespace and the rule for it.
type space struct {
	guard *Guard
	ns    *namespace.Namespace
	found atomic.Pointer[finding]

	// mu guards reserved: sockets on their way in and those that are in, as far
	// as there was a limit when they came. A leaf.
	mu       sync.Mutex
	reserved int
}

// finding is the rule for a namespace in one set.
type finding struct {
	set  *Set
	rule *Rule // nil: refused
}

// rule returns what holds now. It is looked for once for each set; two
// goroutines that do so at the same time find the same.
func (sp *space) rule() *Rule {
	set := sp.guard.set.Load()
	if set == nil {
		return open
	}
	f := sp.found.Load()
	if f == nil || f.set != set {
		f = &finding{set, set.find(sp.ns.Host(), sp.ns.Name())}
		sp.found.Store(f)
	}
	return f.rule
}

// admit implements [namespace.Middleware].
func (sp *space) admit(_ context.Context, s *namespace.Socket) error {
	return sp.guard.refusals.count(sp.mayEnter(s))
}

// mayEnter says why a socket may not enter, and prepares one that may.
func (sp *space) mayEnter(s *namespace.Socket) error {
	rule := sp.rule()
	if rule == nil {
		return errRefused
	}
	claims, err := rule.Connect.check(s)
	if err != nil {
		return err
	}
	if err := sp.reserve(s, rule.Limits.Sockets); err != nil {
		return err
	}
	if len(claims) > 0 {
		sessionOf(s).claims = claims
	}
	return nil
}

// reserve takes one of the places for sockets, until the socket is gone. The
// namespace's own count comes too late for clients that connect together, and
// ours misses those that came before there was a limit: the larger one counts.
func (sp *space) reserve(s *namespace.Socket, limit int) error {
	if limit == 0 {
		return nil
	}
	inside := sp.ns.SocketCount()
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if max(sp.reserved, inside) >= limit {
		return errFull
	}
	sp.reserved++
	// The socket's context ends in every case: refused by somebody else, gone
	// before it was let in, or disconnected.
	context.AfterFunc(s.Context(), func() {
		sp.mu.Lock()
		defer sp.mu.Unlock()
		sp.reserved--
	})
	return nil
}
