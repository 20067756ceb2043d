package bus

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dynamicio/dynamicio/cluster/wire"
	"github.com/dynamicio/dynamicio/namespace"
)

// Publish passes a message on to the other nodes and servers, in the order of the
// calls. It does not block. An error means that it was not published, and would not be the next
// time either: a [*TooLargeError], or one of package wire. While Redis is away messages
// wait; what there is no room for is dropped and counted.
func (b *Bus) Publish(m *namespace.Message) error {
	var payload []byte
	var err error
	channel := ""
	if m.Kind == namespace.KindBroadcast {
		channel = b.publishChannel(m.FullName)
		payload, err = wire.AppendBroadcast(nil, b.opts.Dialect, b.unstamped(), m)
	} else {
		channel = b.requestChannel(m.FullName)
		payload, err = wire.AppendRequest(nil, b.opts.Dialect, b.unstamped(), "", m)
	}
	if err != nil {
		return err
	}
	if err := b.checkSize(payload); err != nil {
		return err
	}
	b.out.push(b, outItem{channel: channel, payload: payload, stamp: b.findStamp(payload)})
	return nil
}

func (b *Bus) checkSize(payload []byte) error {
	if len(payload) > b.opts.MaxMessage {
		b.stats.refused.Add(1)
		return &TooLargeError{len(payload), b.opts.MaxMessage}
	}
	return nil
}

// outItem is a message to be published, or with no channel a mark in the queue.
type outItem struct {
	channel string
	payload []byte
	stamp   int             // where in payload the connection's number goes; 0 or less: nowhere
	queued  time.Duration   // when it was pushed, in the time of prober; only for OnPublished
	numSub  bool            // ask first how many are subscribed to the channel
	ctx     context.Context // if not nil, not published after its end
	// done, if not nil, is called once, with the number of subscribers if asked for, and why it was
	// not, or not certainly, published. It does not block.
	done func(subscribers int, err error)
}

func (it *outItem) finish(n int, err error) {
	if it.done != nil {
		it.done(n, err)
	}
}

// cost is what an item counts in the queue.
func (it *outItem) cost() int { return len(it.payload) + len(it.channel) + itemCost }

// publisher is the queue of what is to be published.
type publisher struct {
	wake chan struct{} // holds one if queue may have something

	mu     sync.Mutex // guards the rest; a leaf
	queue  []outItem
	bytes  int
	closed bool // nobody takes from the queue any more

	// waiting is since when Redis owes a reply, in Unix nanoseconds; 0 if it owes none.
	waiting atomic.Int64
	current atomic.Pointer[conn] // the connection, for the watchdog
}

// push adds an item, or finishes it with an error.
func (p *publisher) push(b *Bus, it outItem) {
	if b.opts.OnPublished != nil {
		it.queued = time.Since(b.probe.start)
	}
	p.mu.Lock()
	var err error
	switch {
	case p.closed:
		err = ErrClosed
	case p.bytes+it.cost() > b.opts.MaxQueue && it.channel != "":
		b.stats.queueFull.Add(1)
		err = ErrUnsent
	default:
		p.queue = append(p.queue, it)
		p.bytes += it.cost()
	}
	p.mu.Unlock()
	if err != nil {
		it.finish(0, err)
		return
	}
	signal(p.wake)
}

// A pipeline has at most this many messages, and bytes unless one message has more. Redis runs it
// in one go, and its subscribers' buffers fill meanwhile.
const (
	maxPipeline      = 512
	maxPipelineBytes = 1 << 20
)

// take returns the next items of the queue.
func (p *publisher) take() []outItem {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, bytes := 0, 0
	for n < len(p.queue) && n < maxPipeline && (n == 0 || bytes+p.queue[n].cost() <= maxPipelineBytes) {
		bytes += p.queue[n].cost()
		n++
	}
	items := p.queue[:n:n]
	p.queue = p.queue[n:]
	p.bytes -= bytes
	if len(p.queue) == 0 {
		p.queue = nil
	}
	return items
}

// putBack puts items to the front of the queue again. They count, but none is dropped.
func (p *publisher) putBack(items []outItem) {
	if len(items) == 0 {
		return
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		for i := range items {
			items[i].finish(0, ErrClosed)
		}
		return
	}
	p.queue = append(items, p.queue...)
	for i := range items {
		p.bytes += items[i].cost()
	}
	p.mu.Unlock()
	signal(p.wake)
}

// shut ends the queue and finishes what is in it.
func (p *publisher) shut() {
	p.mu.Lock()
	p.closed = true
	items := p.queue
	p.queue = nil
	p.mu.Unlock()
	for i := range items {
		items[i].finish(0, ErrClosed)
	}
}

// outLink is one connection to publish with. The goroutine publish writes; receive
// reads the replies, and so sees at once when the connection breaks.
type outLink struct {
	c        *conn
	inflight chan []outItem // pipelines whose replies are to come, in order
	ended    chan struct{}  // closed by receive on its way out
	err      error          // why, after that
	unhook   func() bool    // of closing c with the bus

	number  uint32        // of the connection; see stamp.go
	pending atomic.Int32  // pipelines that are not settled
	settled chan struct{} // holds one when it has finished one
	refused atomic.Bool   // again has something
	failed  bool          // something was under way when the connection broke
	again   []outItem     // what Redis refused for now; receive's, or publish's in recover, or stop's
}

// maxInflight is how many pipelines are written before the replies of the first have come.
const maxInflight = 4

// publish writes what is queued. It is a goroutine of the bus.
func (b *Bus) publish() {
	defer b.out.shut()
	var l *outLink
	defer func() { b.stop(l) }()
	refusals := 0
	for b.ctx.Err() == nil {
		if l != nil && l.refused.Load() {
			b.recover(l, refusals)
			refusals++
		}
		items := b.out.take()
		if len(items) == 0 {
			var ended chan struct{}
			if l != nil {
				ended = l.ended
			}
			select {
			case <-b.out.wake:
			case <-ended:
				b.stop(l)
				l = nil
			case <-b.ctx.Done():
			}
			continue
		}
		next := b.publishLink(l)
		if next != l {
			refusals = 0
		}
		if l = next; l == nil {
			b.fail(items, ErrClosed)
			return
		}
		if l.refused.Load() { // these come after what was refused
			b.out.putBack(items)
			continue
		}
		b.send(l, items)
	}
}

// publishLink returns l if it still stands, or else a new connection, which it tries to make until
// it succeeds or the bus is closed.
func (b *Bus) publishLink(l *outLink) *outLink {
	if l != nil {
		select {
		case <-l.ended:
			b.stop(l)
		default:
			return l
		}
	}
	for failed := (failures{}); b.ctx.Err() == nil; {
		c, err := b.dial("publish")
		if err == nil && b.connections > 0 {
			if err = b.awaitPeers(c); err != nil {
				c.close()
			}
		}
		if err == nil {
			l := &outLink{c: c, inflight: make(chan []outItem, maxInflight), ended: make(chan struct{}), settled: make(chan struct{}, 1), number: b.connections}
			b.connections++
			l.unhook = context.AfterFunc(b.ctx, c.close)
			b.out.current.Store(c)
			go b.receive(l)
			return l
		}
		if b.ctx.Err() == nil {
			failed.log(b, "bus: cannot publish", err)
			b.stats.publishErrors.Add(1)
			b.retryWait(failed.n - 1)
		}
	}
	return nil
}

// stop closes the connection, waits for receive, and finishes what has had no reply. l may be nil.
func (b *Bus) stop(l *outLink) {
	if l == nil {
		return
	}
	l.unhook()
	l.c.close()
	<-l.ended
	b.out.waiting.Store(0)
	unknown := l.failed || len(l.inflight) > 0
	for len(l.inflight) > 0 { // nobody else puts in or takes out
		b.fail(<-l.inflight, errors.Join(ErrUnsent, l.err))
	}
	if unknown { // and newer than what was refused, which must not follow it
		b.fail(l.again, errors.Join(ErrUnsent, l.err))
		return
	}
	b.out.putBack(l.again)
}

// send writes one pipeline. If that fails, receive finds out and finishes the items.
func (b *Bus) send(l *outLink, items []outItem) {
	live := items[:0]
	for _, it := range items {
		if it.ctx != nil && it.ctx.Err() != nil {
			it.finish(0, it.ctx.Err())
			continue
		}
		live = append(live, it)
	}
	if len(live) == 0 {
		return
	}
	// Before the first byte, so that the reply finds it.
	l.pending.Add(1)
	select {
	case l.inflight <- live:
	case <-l.ended:
		b.out.putBack(live) // not a byte of it was written
		return
	}
	b.out.waiting.CompareAndSwap(0, time.Now().UnixNano())
	c := l.c
	c.begin()
	written := 0
	for i := range live {
		it := &live[i]
		if it.channel == "" {
			c.command(1)
			c.arg("PING")
			continue
		}
		if it.numSub {
			c.command(3)
			c.arg("PUBSUB")
			c.arg("NUMSUB")
			c.arg(it.channel)
		}
		if it.stamp > 0 {
			setStamp(it.payload[it.stamp:], l.number)
		}
		c.command(3)
		c.arg("PUBLISH")
		c.arg(it.channel)
		c.bytes(it.payload)
		written += len(it.payload)
	}
	if err := c.flush(); err != nil {
		c.close()
		return
	}
	b.stats.messagesOut.Add(uint64(len(live)))
	b.stats.bytesOut.Add(uint64(written))
}

// receive reads the replies to pipelines, until the connection ends. publishLink starts it and
// stop waits for it.
func (b *Bus) receive(l *outLink) {
	l.err = b.receiveAll(l)
	if b.ctx.Err() == nil {
		b.log.Warn("bus: publishing connection broke", "error", l.err)
	}
	close(l.ended) // before the connection is closed: nothing more is written to it
	l.c.close()
}

func (b *Bus) receiveAll(l *outLink) error {
	for {
		if _, err := l.c.r.Peek(1); err != nil {
			return err
		}
		var items []outItem
		select {
		case items = <-l.inflight:
		default:
			return errProtocol // nobody asked anything
		}
		results := make([]publishResult, 0, len(items))
		for i := range items {
			r, err := b.receiveOne(l.c, &items[i])
			if err != nil {
				b.settlePipeline(l, items[:i], results)
				l.failed = true
				b.fail(items[i:], errors.Join(ErrUnsent, err))
				return err
			}
			results = append(results, r)
		}
		b.settlePipeline(l, items, results)
		l.pending.Add(-1)
		signal(l.settled)
		if l.refused.Load() {
			signal(b.out.wake)
		}
		if b.opts.OnPublished != nil && items[0].channel != "" {
			b.opts.OnPublished(time.Since(b.probe.start) - items[0].queued)
		}
		if len(l.inflight) == 0 {
			b.out.waiting.Store(0)
		} else {
			b.out.waiting.Store(time.Now().UnixNano())
		}
	}
}

// receiveOne reads the replies that belong to one item. An error that Redis answers with is the
// item's; any other ends the connection.
func (b *Bus) receiveOne(c *conn, it *outItem) (r publishResult, err error) {
	if it.numSub {
		if r.subscribers, err = c.numSub(); err != nil {
			if !errors.As(err, new(redisError)) {
				return r, err
			}
			r.err = err
		}
	}
	if _, err := c.reply(); err != nil {
		if !errors.As(err, new(redisError)) {
			return r, err
		}
		r.err = err
	}
	return r, nil
}

// logEvery thins out messages about what happens to every message.
const logEvery = 1000

// fail finishes items that were not, or not certainly, published.
func (b *Bus) fail(items []outItem, err error) {
	for i := range items {
		if items[i].channel != "" {
			b.stats.publishErrors.Add(1)
		}
		items[i].finish(0, err)
	}
}
