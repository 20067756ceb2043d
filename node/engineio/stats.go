package engineio

import (
	"slices"
	"sync/atomic"
)

// Stats is what a Server has done since it was made, and how many sessions it
// has now.
type Stats struct {
	Polling   int64 // sessions on long polling now
	WebSocket int64 // sessions on WebSocket now

	Handshakes int64            // sessions opened
	Upgrades   int64            // of these, changed from polling to WebSocket
	Refused    map[string]int64 // requests refused, by reason; a fixed set of keys, always all present

	SlowClosed      int64 // clients closed because they fell behind by more than Options.MaxQueue
	FloodClosed     int64 // clients closed because they sent more control packets than Options.ControlsPerSecond
	BudgetRefused   int64 // times that Conn.Reserve refused because of Options.MaxConnectionBytes
	VolatileDropped int64 // volatile messages dropped because the client could not take them at once

	MessagesIn, MessagesOut int64 // messages; an attachment counts as one
	BytesIn, BytesOut       int64 // payload bytes in, bytes of wire form out (polling: without HTTP headers)

	Panics int64 // panics of the Accept function and of handlers, recovered
}

// RefuseReasons are the keys of Stats.Refused.
func RefuseReasons() []string { return slices.Clone(refuseLabels[:]) }

// counters are the live counterpart of Stats. They are added to once a batch
// where that is possible, so that connections do not fight for them.
type counters struct {
	polling, webSocket      atomic.Int64
	handshakes, upgrades    atomic.Int64
	slow, dropped           atomic.Int64
	budgetRefused, floods   atomic.Int64
	messagesIn, messagesOut atomic.Int64
	bytesIn, bytesOut       atomic.Int64
	panics                  atomic.Int64

	refused map[string]*atomic.Int64 // never changed once made
}

func newRefused() map[string]*atomic.Int64 {
	m := make(map[string]*atomic.Int64, len(refuseLabels))
	for _, label := range refuseLabels {
		m[label] = new(atomic.Int64)
	}
	return m
}

// Stats returns a snapshot. The numbers are read one after the other, while the
// server goes on.
func (s *Server) Stats() Stats {
	c := &s.stats
	out := Stats{
		Polling: c.polling.Load(), WebSocket: c.webSocket.Load(),
		Handshakes: c.handshakes.Load(), Upgrades: c.upgrades.Load(),
		Refused:    make(map[string]int64, len(c.refused)),
		SlowClosed: c.slow.Load(), BudgetRefused: c.budgetRefused.Load(), FloodClosed: c.floods.Load(),
		VolatileDropped: c.dropped.Load(),
		MessagesIn:      c.messagesIn.Load(), MessagesOut: c.messagesOut.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		Panics: c.panics.Load(),
	}
	for label, n := range c.refused {
		out.Refused[label] = n.Load()
	}
	return out
}
