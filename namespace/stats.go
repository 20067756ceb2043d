package namespace

import (
	"errors"
	"slices"
	"sync/atomic"
)

// counters are what a registry counts; all but occupied only grow.
type counters struct {
	created, retired     atomic.Int64
	dropped              atomic.Int64 // namespaces taken out of the registry again
	occupied             atomic.Int64 // namespaces with a socket here
	connects             atomic.Int64
	disconnects          [len(disconnectReasons) + 1]atomic.Int64 // by reason; the last is any other
	refused              [refusals]atomic.Int64
	eventsIn             atomic.Int64
	throttled            atomic.Int64
	broadcasts           atomic.Int64
	deliveries           atomic.Int64
	panics               atomic.Int64
	overruns, incomplete atomic.Int64
	handlers             durations // of the events from clients
}

// refusal is why a CONNECT was refused, as it is counted.
type refusal uint8

const (
	refusedName        refusal = iota // begins with two slashes, or is too long
	refusedTooMany                    // more namespaces than one connection may have, or asks too fast
	refusedUnknown                    // no registration matches
	refusedSetup                      // by the namespace's setup
	refusedMiddleware                 // by a middleware
	refusedLimit                      // the node has as many namespaces as it may
	refusedAddress                    // one address has brought as many namespaces to life as it may
	refusedMemory                     // what the client presents is more than may be held for its connection
	refusedUnavailable                // the cluster gave no answer, or the node is stopping
	refusals                          // how many there are
)

var refusalLabels = [refusals]string{
	"invalid_name", "too_many", "unknown_namespace", "setup", "middleware", "node_limit", "address_limit", "memory", "unavailable",
}

// disconnectReasons are those that are counted by themselves.
var disconnectReasons = [...]string{
	ReasonTransportClose, ReasonTransportError, ReasonPingTimeout, ReasonClientLeft, ReasonServerLeft, ReasonForcedClose,
	ReasonShutdown, ReasonParseError,
}

// otherReason is how the disconnects are counted that a transport other than
// node/engineio gave reasons of its own for.
const otherReason = "other"

// DisconnectReasons are the keys of Stats.DisconnectsBy.
func DisconnectReasons() []string { return append(slices.Clone(disconnectReasons[:]), otherReason) }

// disconnected counts a socket that has departed.
func (c *counters) disconnected(reason string) {
	i := slices.Index(disconnectReasons[:], reason)
	if i < 0 {
		i = len(disconnectReasons)
	}
	c.disconnects[i].Add(1)
}

// RefuseReasons are the keys of Stats.Refused.
func RefuseReasons() []string { return slices.Clone(refusalLabels[:]) }

// refusalOf tells which one an error of a connect counts as.
func refusalOf(err error) refusal {
	if _, ok := errors.AsType[*middlewareError](err); ok {
		return refusedMiddleware
	}
	switch {
	case errors.Is(err, errNoMatch):
		return refusedUnknown
	case errors.Is(err, ErrRefused):
		return refusedSetup
	case errors.Is(err, errAddressLimit):
		return refusedAddress
	case errors.Is(err, ErrLimit):
		return refusedLimit
	}
	return refusedUnavailable
}

// Stats is a snapshot of what a registry has counted since it was made, and of
// what it has now.
type Stats struct {
	Namespaces int64 // live now, permanent ones included
	Occupied   int64 // of these, with a socket on this node
	Sockets    int64 // now, those included whose disconnect handlers still run

	NamespacesCreated int64            // incarnations, refused ones included
	NamespacesRetired int64            // incarnations expired on this node
	Connects          int64            // sockets admitted
	Disconnects       int64            // sockets departed
	DisconnectsBy     map[string]int64 // these by reason; a fixed set of keys, always all present
	Refused           map[string]int64 // CONNECTs refused, by reason; a fixed set of keys, always all present
	EventsIn          int64            // events received from clients
	Throttled         int64            // pauses in reading connections beyond Options.EventsPerSecond
	Broadcasts        int64            // broadcasts to this node's sockets
	Deliveries        int64            // events queued for clients
	Panics            int64            // panics of user code, recovered; runtime.Goexit is one
	Handlers          Durations        // how long the handlers of an event took, all of them together
	Overruns          int64            // connections closed because more would be held for them than they may have
	Incomplete        int64            // connections closed because the attachments of a packet did not come
}

// Stats returns the counters. It takes no lock.
func (r *Registry) Stats() Stats {
	c := &r.stats
	// What went before what came, so that no difference is negative.
	occupied, dropped, disconnects := c.occupied.Load(), c.dropped.Load(), int64(0)
	by := make(map[string]int64, len(c.disconnects))
	for i, reason := range DisconnectReasons() {
		by[reason] = c.disconnects[i].Load()
		disconnects += by[reason]
	}
	created, connects := c.created.Load(), c.connects.Load()
	refused := make(map[string]int64, refusals)
	for i := range c.refused {
		refused[refusalLabels[i]] = c.refused[i].Load()
	}
	return Stats{
		Namespaces:        created - dropped,
		Occupied:          min(occupied, created-dropped),
		Sockets:           connects - disconnects,
		NamespacesCreated: created,
		NamespacesRetired: c.retired.Load(),
		Connects:          connects,
		Disconnects:       disconnects,
		DisconnectsBy:     by,
		Refused:           refused,
		EventsIn:          c.eventsIn.Load(),
		Throttled:         c.throttled.Load(),
		Broadcasts:        c.broadcasts.Load(),
		Deliveries:        c.deliveries.Load(),
		Panics:            c.panics.Load(),
		Handlers:          c.handlers.snapshot(),
		Overruns:          c.overruns.Load(),
		Incomplete:        c.incomplete.Load(),
	}
}
