package bus

import (
	"slices"
	"sync/atomic"
	"time"
)

// counters are what Stats is made of.
type counters struct {
	messagesIn, messagesOut, bytesIn, bytesOut                              atomic.Uint64
	delivered, ignored                                                      atomic.Uint64
	malformed, tooLarge, overflow, busy, late, panics, foreign              atomic.Uint64
	queueFull, refused, publishErrors                                       atomic.Uint64
	subscribeErrors, subscribeCommands, reconnects, timeouts, asked, failed atomic.Uint64
}

// drops is how many reasons there are to drop a message.
const drops = 9

var dropLabels = [drops]string{"malformed", "too_large", "overflow", "busy", "panic", "queue_full", "refused", "late", "foreign"}

// dropped are the counters of these reasons, in their order.
func (c *counters) dropped() [drops]*atomic.Uint64 {
	return [drops]*atomic.Uint64{&c.malformed, &c.tooLarge, &c.overflow, &c.busy, &c.panics, &c.queueFull, &c.refused, &c.late, &c.foreign}
}

// DropReasons are the keys of Stats.Dropped.
func DropReasons() []string { return slices.Clone(dropLabels[:]) }

// Stats is a snapshot for metrics. Counters grow from the start of the bus.
type Stats struct {
	MessagesIn, MessagesOut uint64 // probes and answers included
	BytesIn, BytesOut       uint64 // of payloads
	Delivered               uint64 // handed to the node: broadcasts, commands, questions
	Ignored                 uint64 // our own, and those to rooms that the node does not have

	// Dropped counts what was received or was to be published, and was not handled, by
	// reason: "malformed", "too_large" (received), "overflow" (the backlog was
	// full), "busy" (too many questions at a time), "panic", "queue_full" (not published), "refused"
	// (too large to publish; the caller was told), "late" (from a connection that its sender has given up),
	// "foreign" (from servers whose adapter is not spoken here, see [Bus.Neighbors]).
	Dropped map[string]uint64

	PublishErrors     uint64 // messages that were not, or not certainly, published, and failed attempts to connect
	Subscriptions     int    // channels that Redis has confirmed
	Namespaces        int    // entered ones
	SubscribeCommands uint64 // batches of SUBSCRIBE and UNSUBSCRIBE
	SubscribeErrors   uint64 // connections that broke or could not be made
	Reconnects        uint64 // times that everything was subscribed again
	Timeouts          uint64 // connections given up because Redis was silent

	Asked, Unanswered uint64 // questions, and those that not everybody answered
	Queue, Backlog    int    // bytes that wait to be published, and to be handled
	ProbeLatency      time.Duration
	ProbeAge          time.Duration
}

// Stats returns a snapshot. It holds nobody up.
func (b *Bus) Stats() Stats {
	c := &b.stats
	s := Stats{
		MessagesIn: c.messagesIn.Load(), MessagesOut: c.messagesOut.Load(), BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		Delivered: c.delivered.Load(), Ignored: c.ignored.Load(),
		Dropped:       make(map[string]uint64, drops),
		PublishErrors: c.publishErrors.Load(), SubscribeCommands: c.subscribeCommands.Load(), SubscribeErrors: c.subscribeErrors.Load(),
		Reconnects: c.reconnects.Load(), Timeouts: c.timeouts.Load(), Asked: c.asked.Load(), Unanswered: c.failed.Load(),
		Subscriptions: int(b.confirmed.Load()),
		Backlog:       int(b.backlog.Load()), ProbeLatency: time.Duration(b.probe.latency.Load()), ProbeAge: b.ProbeAge(),
	}
	for i, n := range c.dropped() {
		s.Dropped[dropLabels[i]] = n.Load()
	}
	b.mu.Lock()
	s.Namespaces = len(b.spaces)
	b.mu.Unlock()
	b.out.mu.Lock()
	s.Queue = b.out.bytes
	b.out.mu.Unlock()
	return s
}
