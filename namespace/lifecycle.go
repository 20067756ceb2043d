package namespace

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// The life of an incarnation on this node. A use is a pin (a client on its way
// in, from the arrival of its CONNECT) or an admitted socket. As long as there
// is one, the node is a member of the namespace in the cluster's directory;
// when the last one goes it leaves, and the incarnation stays here, empty,
// until the cluster retires it or a client comes back.

type setupState uint8

const (
	stateSettingUp setupState = iota // ready is open; clients wait for it
	stateReady                       // set up
	stateBare                        // lives without a setup: made by Of, or refused at a registration
	stateGone                        // refused or retired: no longer in the registry
)

type membership uint8

const (
	memberOut     membership = iota
	memberJoining            // the directory has been asked; joining says when it answers
	memberIn
)

// joinCall is one question to the directory, shared by all who wait for it.
type joinCall struct {
	done chan struct{}
	err  error // valid once done is closed
}

// pin finds the namespace or makes it, and keeps it until release. It reports
// an error if no registration accepts the name, or its setup refuses. One that is
// made counts as the creator's.
func (r *Registry) pin(ctx context.Context, full string, creator netip.Addr) (*Namespace, error) {
	r.mu.Lock()
	ns := r.live[full]
	if ns == nil {
		return r.createLocked(full, creator)
	}
	ns.uses++
	state, ready := ns.state, ns.ready
	r.mu.Unlock()
	if state != stateSettingUp {
		return ns, nil
	}
	select {
	case <-ready:
	case <-ctx.Done():
		r.release(ns)
		return nil, context.Cause(ctx)
	}
	if err := r.refusalOf(ns); err != nil {
		return nil, err // one answer for all who asked at the same time
	}
	return ns, nil
}

// createLocked makes a namespace on demand, pinned. It unlocks r.mu.
func (r *Registry) createLocked(full string, creator netip.Addr) (*Namespace, error) {
	setup, m, ok := r.matchLocked(full)
	switch {
	case r.closed:
		r.mu.Unlock()
		return nil, ErrClosed
	case !ok:
		r.mu.Unlock()
		return nil, errNoMatch
	case len(r.live) >= r.opts.MaxNamespaces:
		r.mu.Unlock()
		return nil, fmt.Errorf("%w: %d namespaces on this node", ErrLimit, r.opts.MaxNamespaces)
	case r.byAddress[creator] >= r.opts.MaxNamespacesPerAddress:
		r.mu.Unlock()
		return nil, errAddressLimit
	}
	ns := r.newNamespaceLocked(full)
	r.countLocked(ns, creator)
	ns.uses = 1
	r.mu.Unlock()
	if err := r.finishSetup(ns, setup, m); err != nil {
		return nil, err
	}
	return ns, nil
}

// countLocked counts a namespace for the address of who brought it to life, as long as
// it lives on demand: it stays for its retirement time when that client has left.
// r.mu must be held.
func (r *Registry) countLocked(ns *Namespace, creator netip.Addr) {
	ns.creator, ns.counted = creator, true
	r.byAddress[creator]++
}

// uncountLocked takes countLocked back. r.mu must be held.
func (r *Registry) uncountLocked(ns *Namespace) {
	if !ns.counted {
		return
	}
	ns.counted = false
	if r.byAddress[ns.creator]--; r.byAddress[ns.creator] == 0 {
		delete(r.byAddress, ns.creator)
	}
}

// pinLive pins a namespace if nothing about it can make a client wait: it is
// set up and joined, and has no middleware. Otherwise it returns nil.
func (r *Registry) pinLive(full string) *Namespace {
	r.mu.Lock()
	defer r.mu.Unlock()
	ns := r.live[full]
	if ns == nil || ns.membership != memberIn || ns.state == stateSettingUp || r.opts.Cluster.Admit() != nil {
		return nil
	}
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	if len(ns.middleware) > 0 {
		return nil
	}
	ns.uses++
	return ns
}

// enter makes the node a member of a pinned namespace. It returns the
// incarnation that stands cluster-wide, which may be a fresh one to which the
// pin has moved. After an error the pin is gone.
func (r *Registry) enter(ctx context.Context, ns *Namespace) (*Namespace, error) {
	for {
		r.mu.Lock()
		switch {
		case ns.state == stateGone: // another caller's join showed that it was retired
			r.mu.Unlock()
			next, err := r.pin(ctx, ns.fullName, ns.creator)
			if err != nil {
				return nil, err
			}
			ns = next
			continue
		case ns.membership == memberIn:
			err := r.opts.Cluster.Admit()
			r.mu.Unlock()
			if err != nil {
				r.release(ns)
				return nil, fmt.Errorf("namespace: enter %s: %w", ns.fullName, err)
			}
			return ns, nil
		case ns.membership == memberOut:
			ns.membership, ns.joining = memberJoining, &joinCall{done: make(chan struct{})}
			// Under the lock, so that joins and leaves reach the directory in
			// the order in which they were decided.
			wait := r.opts.Cluster.Join(ns.fullName, ns.Retirement())
			call := ns.joining
			r.mu.Unlock()
			// Not the client's context: others share this call.
			epoch, err := wait(r.ctx)
			next, err := r.joined(ns, call, epoch, err)
			if err != nil || next != ns {
				return next, err
			}
			continue
		}
		call := ns.joining
		r.mu.Unlock()
		select {
		case <-call.done:
		case <-ctx.Done():
			r.release(ns)
			return nil, context.Cause(ctx)
		}
		if call.err != nil {
			r.release(ns)
			return nil, call.err
		}
	}
}

// joined takes the directory's answer to a join. If another incarnation
// stands than the one this node has, that one has been retired meanwhile: it
// expires, and the caller's pin moves to a fresh one (PROTOCOL, join).
func (r *Registry) joined(ns *Namespace, call *joinCall, epoch uint64, err error) (*Namespace, error) {
	r.mu.Lock()
	ns.joining = nil
	if err != nil {
		ns.membership = memberOut
		call.err = fmt.Errorf("namespace: join %s: %w", ns.fullName, err)
		close(call.done)
		r.mu.Unlock()
		r.release(ns)
		return nil, call.err
	}
	ns.membership = memberIn
	// While this answer was on its way, the incarnation may have been adopted under
	// another epoch, a lower one, too: what a node makes up while Redis is
	// unavailable is higher than what the others have.
	epoch = cmp.Or(r.opts.Cluster.Epoch(ns.fullName), epoch)
	defer close(call.done)
	if ns.epoch == epoch || ns.epoch == 0 || ns.permanent {
		ns.epoch, ns.emptied, ns.notice = epoch, time.Time{}, 0
		r.mu.Unlock()
		return ns, nil
	}
	r.dropLocked(ns)
	setup, m, ok := r.matchLocked(ns.fullName)
	if !ok {
		r.opts.Cluster.Leave(ns.fullName, epoch, r.opts.Retirement)
		r.mu.Unlock()
		r.expire(ns)
		return nil, errNoMatch
	}
	next := r.newNamespaceLocked(ns.fullName)
	r.countLocked(next, ns.creator)
	next.uses, next.epoch, next.membership = 1, epoch, memberIn
	r.mu.Unlock()
	r.expire(ns)
	if err := r.finishSetup(next, setup, m); err != nil {
		return nil, err
	}
	return next, nil
}

// release gives a use back. The last one makes the node leave; where a notice
// of retirement came while the namespace was pinned, it is carried out now.
func (r *Registry) release(ns *Namespace) {
	r.mu.Lock()
	ns.uses--
	expired := false
	if ns.uses == 0 && ns.state != stateGone {
		if ns.membership == memberIn {
			ns.membership, ns.emptied = memberOut, time.Now()
			r.opts.Cluster.Leave(ns.fullName, ns.epoch, ns.Retirement())
		}
		switch {
		case ns.notice != 0 && ns.notice == ns.epoch:
			expired = r.dropLocked(ns)
		case ns.epoch == 0 && !ns.permanent && ns.state == stateReady:
			// It never got as far as the directory, which will not retire it. But
			// it was set up, and what its setup began has to end.
			expired = r.dropLocked(ns)
		}
	}
	r.mu.Unlock()
	if expired {
		r.expire(ns)
	}
}

// Retire implements [Local]: the cluster has retired an incarnation. A pin
// puts the decision off; sockets overrule it (Redis came back with old data,
// and the node's assertion will put things right).
func (r *Registry) Retire(full string, epoch uint64) {
	r.mu.Lock()
	ns := r.live[full]
	if ns == nil || ns.epoch != epoch || ns.permanent || r.closed {
		r.mu.Unlock()
		return
	}
	expired := false
	switch {
	case ns.uses == 0:
		expired = r.dropLocked(ns)
	case ns.SocketCount() == 0:
		ns.notice = epoch
	}
	if expired {
		r.work.Add(1)
		defer r.work.Done()
	}
	r.mu.Unlock()
	if expired {
		r.expire(ns)
	}
}

// Count implements [Local].
func (r *Registry) Count(full string) (sockets int, retirement time.Duration, ok bool) {
	ns := r.Lookup(full)
	if ns == nil {
		return 0, 0, false
	}
	return ns.SocketCount(), ns.Retirement(), true
}

// Adopt implements [Local].
func (r *Registry) Adopt(full string, epoch uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ns := r.live[full]; ns != nil {
		ns.epoch, ns.notice = epoch, 0
	}
}

// expire runs the expiry callbacks of a dropped incarnation, the last
// registered first.
func (r *Registry) expire(ns *Namespace) {
	r.stats.retired.Add(1)
	ns.mu.Lock()
	callbacks := ns.onExpire
	ns.onExpire = nil
	ns.mu.Unlock()
	for _, f := range slices.Backward(callbacks) {
		r.contain("OnExpire callback", ns.fullName, f.f)
	}
	r.log.Debug("namespace retired", "namespace", ns.fullName, "epoch", ns.epoch)
}
