package namespace

import "maps"

// Exact beats pattern, whichever was registered first. For a namespace that is there already, such as "/" when "*" is
// registered, the pattern's setup has run before the exact one comes, and has to be undone.

// general is what a pattern's setup of a permanent namespace has changed.
type general struct {
	before registrations
	count  int // of the registrations right after it
}

// copyRegistrations returns a copy that later registrations do not change.
func (ns *Namespace) copyRegistrations() registrations {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	r := ns.registrations
	r.handlers, r.serverSide = maps.Clone(r.handlers), maps.Clone(r.serverSide)
	return r
}

// count returns how many functions are registered.
func (r registrations) count() int {
	n := len(r.onConnect) + len(r.onExpire) + len(r.middleware) + len(r.onAny)
	for _, l := range r.handlers {
		n += len(l)
	}
	for _, l := range r.serverSide {
		n += len(l)
	}
	return n
}

// unsetLocked undoes a pattern's setup of a permanent namespace, so that its exact registration can set it up. It
// reports false if that is too late: a client has come, or the application has registered something since, which must
// not be lost. r.mu must be held.
func (r *Registry) unsetLocked(full string) bool {
	ns := r.live[full]
	if ns == nil || ns.general == nil || ns.state != stateReady {
		return true
	}
	if ns.uses > 0 || ns.epoch != 0 || ns.copyRegistrations().count() != ns.general.count {
		return false
	}
	ns.mu.Lock()
	ns.registrations = ns.general.before
	ns.mu.Unlock()
	ns.state, ns.general = stateBare, nil
	return true
}
