package namespace

import "sync/atomic"

// counters are what a registry counts; all only grow.
type counters struct {
	created, retired      atomic.Int64
	connects, disconnects atomic.Int64
	refused               atomic.Int64
	eventsIn              atomic.Int64
	broadcasts            atomic.Int64
	deliveries            atomic.Int64
	panics                atomic.Int64
}

// Stats is a snapshot of what a registry has counted since it was made.
type Stats struct {
	NamespacesCreated int64 // incarnations, refused ones included
	NamespacesRetired int64 // incarnations expired on this node
	Connects          int64 // sockets admitted
	Disconnects       int64 // sockets departed
	Refused           int64 // CONNECTs refused
	EventsIn          int64 // events received from clients
	Broadcasts        int64 // broadcasts to this node's sockets
	Deliveries        int64 // events queued for clients
	Panics            int64 // panics of user code, recovered
}

// Stats returns the counters. It takes no lock.
func (r *Registry) Stats() Stats {
	c := &r.stats
	return Stats{
		NamespacesCreated: c.created.Load(),
		NamespacesRetired: c.retired.Load(),
		Connects:          c.connects.Load(),
		Disconnects:       c.disconnects.Load(),
		Refused:           c.refused.Load(),
		EventsIn:          c.eventsIn.Load(),
		Broadcasts:        c.broadcasts.Load(),
		Deliveries:        c.deliveries.Load(),
		Panics:            c.panics.Load(),
	}
}
