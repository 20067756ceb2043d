package namespace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
)

// Setup registers how the namespace of an exact full name ("/chat",
// "//myhost.com/chat"), or with "*" any namespace, is set up. A later
// registration of the same exact name replaces the earlier one; exact beats
// pattern; of several patterns that match, the last registered counts.
//
// Namespaces that exist, match and have had no setup are set up before Setup
// returns; one whose setup refuses stays, and counts as not set up. Exact beats
// pattern there, too: a permanent one that is set up already, such as "/" by "*", is
// set up anew by an exact registration, and what the setup before has registered is
// taken back. Once a client has asked for it, it stays as it is, and the log says so.
func (r *Registry) Setup(name string, setup SetupFunc) {
	if name == "*" {
		r.register(All, setup)
		return
	}
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	r.register(Exact(name), setup)
}

// SetupRegexp is [Registry.Setup] for all full names that contain a match of re.
func (r *Registry) SetupRegexp(re *regexp.Regexp, setup SetupFunc) {
	r.register(Regexp(re), setup)
}

func (r *Registry) register(p Pattern, setup SetupFunc) {
	r.mu.Lock()
	if p.kind == matchExact {
		r.exact[p.exact] = setup
	} else {
		r.patterns = append(r.patterns, registration{p, setup})
	}
	late := false
	var names []string
	for name, ns := range r.live {
		switch {
		case !p.Matches(name):
		case ns.setsUpLocked(p):
			names = append(names, name)
		case p.kind == matchExact && ns.permanent:
			late = ns.state == stateReady
		}
	}
	r.mu.Unlock()
	if late {
		r.log.Warn("setup does not apply to the present namespace: it was set up before, and clients have come; register exact names first",
			"namespace", p.exact)
	}
	slices.SortFunc(names, CompareFullNames)
	for _, name := range names {
		r.setupExisting(name, p, setup)
	}
}

// setsUpLocked reports whether a new registration that matches the namespace sets it
// up: it has had no setup, or one that an exact registration may still replace.
// reg.mu must be held.
func (ns *Namespace) setsUpLocked(p Pattern) bool {
	unused := ns.state == stateReady && ns.permanent && ns.uses == 0 && ns.epoch == 0
	return ns.state == stateBare || unused && p.kind == matchExact
}

// setupExisting sets up a live namespace.
func (r *Registry) setupExisting(name string, p Pattern, setup SetupFunc) {
	r.mu.Lock()
	ns := r.live[name]
	if ns == nil || !ns.setsUpLocked(p) {
		r.mu.Unlock()
		return
	}
	ns.takeBack()
	ns.state, ns.ready = stateSettingUp, make(chan struct{})
	r.mu.Unlock()

	m, _ := p.Match(name)
	err := r.runSetup(ns, setup, m)

	r.mu.Lock()
	ns.state = stateReady
	if err != nil {
		ns.state = stateBare
	}
	close(ns.ready)
	r.mu.Unlock()
}

// matchLocked finds the registration for a full name. r.mu must be held.
func (r *Registry) matchLocked(full string) (SetupFunc, Match, bool) {
	if setup := r.exact[full]; setup != nil {
		return setup, Match{Groups: []string{full}, Input: full}, true
	}
	for _, reg := range slices.Backward(r.patterns) {
		if m, ok := reg.pattern.Match(full); ok {
			return reg.setup, m, true
		}
	}
	return nil, Match{}, false
}

// runSetup runs user code: a panic in it is logged and counts as a refusal.
func (r *Registry) runSetup(ns *Namespace, setup SetupFunc, m Match) error {
	err := errPanic
	ns.setInSetup(true)
	defer ns.setInSetup(false)
	r.contain("setup", ns.fullName, func() { err = callSetup(ns, setup, m) })
	if err == nil {
		return nil
	}
	level := slog.LevelInfo
	if _, meant := errors.AsType[*ClientError](err); meant || err == errPanic {
		level = slog.LevelDebug // the client is told, and can ask as often as it likes; a panic was logged
	}
	r.log.Log(context.Background(), level, "namespace refused by its setup", "namespace", ns.fullName, "reason", err)
	return fmt.Errorf("%w: %w", ErrRefused, err)
}

// callSetup is a frame on the stack of a setup that withinSetup looks for.
//
//go:noinline
func callSetup(ns *Namespace, setup SetupFunc, m Match) error { return setup(ns, m) }

// hook is a function registered with a namespace.
type hook[F any] struct {
	f       F
	bySetup bool // it goes with that
}

func (ns *Namespace) setInSetup(in bool) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.inSetup = in
}

// takeBack takes away what a setup has registered; what was registered otherwise stays.
func (ns *Namespace) takeBack() {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.onConnect, ns.onExpire, ns.middleware = others(ns.onConnect), others(ns.onExpire), others(ns.middleware)
	ns.onAny = otherListeners(ns.onAny)
	for _, handlers := range []map[string][]*listener{ns.handlers, ns.serverSide} {
		for event, list := range handlers {
			if handlers[event] = otherListeners(list); len(handlers[event]) == 0 {
				delete(handlers, event)
			}
		}
	}
}

func others[F any](hooks []hook[F]) []hook[F] {
	return slices.DeleteFunc(slices.Clone(hooks), func(h hook[F]) bool { return h.bySetup })
}

func otherListeners(list []*listener) []*listener {
	return slices.DeleteFunc(slices.Clone(list), func(l *listener) bool { return l.bySetup })
}
