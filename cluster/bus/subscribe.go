package bus

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// chanKind is what a channel carries.
type chanKind uint8

const (
	chanBroadcast chanKind = iota
	chanRoom               // broadcasts, too
	chanRequest
	chanResponse
	chanProbe
	chanAnnounce
)

// sub is one channel. Bus.mu guards all but channel.
type sub struct {
	channel string
	kind    chanKind
	state   subState
	dirty   bool          // in Bus.dirty
	changed chan struct{} // closed at the next change, nil if nobody waits
	// owners are those who want it, each as often as it does; nil is a probe or a question. There
	// are several where a room is called as a socket, and where a # in a name makes the channel
	// of /a#b that of the room b of /a.
	owners []*space
}

// wanted says whether anybody wants the channel. Bus.mu must be held.
func (s *sub) wanted() bool { return len(s.owners) > 0 }

// subState is what Redis was told last over the present connection.
type subState uint8

const (
	subOff    subState = iota
	subAsked           // SUBSCRIBE was sent
	subOn              // and confirmed
	subEnding          // UNSUBSCRIBE was sent
)

// link is one subscriber connection. One batch of commands is under way at a
// time: what is wanted meanwhile gathers and goes out as one.
type link struct {
	c        *conn
	initial  int           // how many subscriptions of the beginning are still to be asked for
	inflight int           // confirmations that are awaited
	acked    chan struct{} // holds one when inflight has become 0
	ended    chan struct{} // closed when the connection is over
	since    time.Time
	wasUp    bool // Bus.up was true of it
}

// retain wants a channel once more. b.mu must be held.
func (b *Bus) retain(channel string, kind chanKind, sp *space) *sub {
	s := b.subs[channel]
	if s == nil {
		s = &sub{channel: channel}
		b.subs[channel] = s
	}
	s.kind = kind
	s.owners = append(s.owners, sp)
	b.touch(s)
	return s
}

// release wants a channel once less. b.mu must be held.
func (b *Bus) release(s *sub, sp *space) {
	i := slices.Index(s.owners, sp)
	s.owners = slices.Delete(s.owners, i, i+1)
	if !s.wanted() {
		s.owners = nil
		s.notify()
		b.touch(s)
	}
}

// touch has a channel looked at that may need a command. b.mu must be held.
func (b *Bus) touch(s *sub) {
	if b.link == nil {
		// Everything wanted is asked for when a connection begins.
		if !s.wanted() && b.subs[s.channel] == s {
			delete(b.subs, s.channel)
		}
		return
	}
	if !s.dirty && s.wanted() != (s.state == subOn) {
		s.dirty = true
		b.dirty = append(b.dirty, s)
		signal(b.wake)
	}
}

// notify wakes those who wait for s. Bus.mu must be held.
func (s *sub) notify() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// await returns when Redis has confirmed s, or with unlessDown when there is
// no connection that could.
func (b *Bus) await(ctx context.Context, s *sub, unlessDown bool) error {
	for {
		b.mu.Lock()
		if !s.wanted() {
			b.mu.Unlock()
			return ErrLeft
		}
		if s.state == subOn || unlessDown && b.link == nil {
			b.mu.Unlock()
			return nil
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-b.ctx.Done():
			return ErrClosed
		}
	}
}

// Connected says whether the subscriber connection stands and all that was wanted at its
// beginning is being received.
func (b *Bus) Connected() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.up
}

// Waits between attempts to connect: doubled from the first to the last, and
// jittered, so that a fleet does not come back as one.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Second
)

// jittered is the wait before attempt n, counted from 0.
func jittered(n int) time.Duration {
	d := min(firstRetry<<min(n, 10), lastRetry)
	return d/2 + rand.N(d)
}

// retryWait sleeps before attempt n, counted from 0, unless the bus is closed.
func (b *Bus) retryWait(n int) {
	if c, ok := b.opts.Client.(*redis.ClusterClient); ok {
		c.ReloadState(b.ctx) // the slot may have another master by now
	}
	b.pause(n)
}

// subscribe keeps a subscriber connection. It is a goroutine of the bus.
func (b *Bus) subscribe() {
	again := false // whether there was a connection before
	for failed := (failures{}); b.ctx.Err() == nil; {
		c, err := b.dial("subscribe")
		if err == nil {
			var lasted bool
			lasted, err = b.serve(c, again)
			if lasted {
				again, failed = true, failures{}
			}
		}
		if b.ctx.Err() != nil {
			return
		}
		failed.log(b, "bus: not subscribed", err)
		b.stats.subscribeErrors.Add(1)
		b.retryWait(failed.n - 1)
	}
}

// serve runs a connection until it breaks. lasted says that everything had been subscribed.
func (b *Bus) serve(c *conn, again bool) (lasted bool, err error) {
	l := &link{c: c, acked: make(chan struct{}, 1), ended: make(chan struct{}), since: time.Now()}
	stop := context.AfterFunc(b.ctx, c.close)
	defer stop()
	b.begin(l)
	wrote := make(chan error, 1)
	go func() { wrote <- b.write(l, again) }()
	err = b.read(l)
	c.close()
	close(l.ended)
	if writeErr := <-wrote; writeErr != nil {
		err = writeErr // it came first: reading failed because of it
	}
	return b.end(l), err
}

// begin makes everything wanted dirty.
func (b *Bus) begin(l *link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.link = l
	for _, s := range b.subs {
		if s.kind != chanProbe {
			b.touch(s)
		}
	}
	// Last, so that whoever sees it subscribed knows that all is; see awaitPeers.
	if s := b.subs[b.probe.channel]; s != nil {
		b.touch(s)
	}
	l.initial = len(b.dirty)
	signal(b.wake)
}

// end forgets the connection.
func (b *Bus) end(l *link) (wasUp bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.link == l {
		b.forgetLocked()
	}
	return l.wasUp
}

// forgetLocked is the end of what the present connection has subscribed. b.mu must be held.
func (b *Bus) forgetLocked() {
	b.link, b.up, b.dirty = nil, false, nil
	b.confirmed.Store(0)
	for _, s := range b.subs {
		s.state, s.dirty = subOff, false
		s.notify()
		if !s.wanted() {
			delete(b.subs, s.channel)
		}
	}
}

// maxBatch is how many channels one command names. Redis does nothing else meanwhile.
const maxBatch = 1000

// write tells Redis what is wanted, until the connection ends.
func (b *Bus) write(l *link, again bool) error {
	for {
		on, off, ready := b.nextBatch(l)
		if ready {
			if again {
				b.stats.reconnects.Add(1)
				b.log.Info("bus: subscribed again")
				if b.opts.OnReconnect != nil {
					b.opts.OnReconnect()
				}
			}
		}
		if len(on)+len(off) > 0 {
			l.c.begin()
			l.c.channels("SUBSCRIBE", on)
			l.c.channels("UNSUBSCRIBE", off)
			if err := l.c.flush(); err != nil {
				l.c.close()
				return err
			}
			b.stats.subscribeCommands.Add(1)
			if err := b.awaitConfirmed(l); err != nil {
				return err
			}
			continue
		}
		select {
		case <-b.wake:
		case <-l.ended:
			return nil
		}
	}
}

// awaitConfirmed waits for the confirmations of one batch. A connection can go on bringing messages and take
// no command; that must not look like one that is subscribed in a moment.
func (b *Bus) awaitConfirmed(l *link) error {
	timer := time.NewTimer(b.opts.ReplyTimeout)
	defer timer.Stop()
	select {
	case <-l.acked:
		return nil
	case <-l.ended:
		return nil
	case <-timer.C:
		b.stats.timeouts.Add(1)
		l.c.close()
		return errors.New("bus: SUBSCRIBE was not confirmed in time")
	}
}

func (c *conn) channels(command string, names []string) {
	if len(names) == 0 {
		return
	}
	c.command(1 + len(names))
	c.arg(command)
	for _, name := range names {
		c.arg(name)
	}
}

// nextBatch returns the channels to subscribe to and to unsubscribe from. ready says, once, that everything
// wanted in the beginning is confirmed. No confirmation is awaited when it is called.
func (b *Bus) nextBatch(l *link) (on, off []string, ready bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.link != l {
		return nil, nil, false
	}
	begun := l.initial == 0 // and confirmed
	n := 0
	for ; n < len(b.dirty) && len(on)+len(off) < maxBatch; n++ {
		s := b.dirty[n]
		s.dirty = false
		switch {
		case s.wanted() && s.state == subOff:
			s.state = subAsked
			on = append(on, s.channel)
		case !s.wanted() && s.state == subOn:
			s.state = subEnding
			off = append(off, s.channel)
		case !s.wanted() && s.state == subOff && b.subs[s.channel] == s:
			delete(b.subs, s.channel)
		}
	}
	b.dirty = b.dirty[n:]
	if len(b.dirty) == 0 {
		b.dirty = nil // not the memory of a storm long past
	} else {
		signal(b.wake)
	}
	l.initial = max(l.initial-n, 0)
	l.inflight = len(on) + len(off)
	if !b.up && (begun || l.initial == 0 && l.inflight == 0) {
		b.up, l.wasUp, ready = true, true, true
	}
	return on, off, ready
}

// confirm takes Redis's word that a channel was subscribed or unsubscribed.
func (b *Bus) confirm(l *link, channel []byte, on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.subs[string(channel)]
	if s == nil || l.inflight == 0 || b.link != l {
		return // nobody asked; Redis does not do that
	}
	if on {
		s.state = subOn
		b.confirmed.Add(1)
		s.notify()
	} else {
		s.state = subOff
		b.confirmed.Add(-1)
		if !s.wanted() && !s.dirty {
			delete(b.subs, s.channel)
		}
	}
	b.touch(s)
	if l.inflight--; l.inflight == 0 {
		signal(l.acked)
	}
}

// read takes what Redis sends, until the connection ends.
func (b *Bus) read(l *link) error {
	for {
		p, err := l.c.push(4 * b.opts.MaxMessage)
		if err != nil {
			return err
		}
		switch p.kind {
		case pushSubscribed, pushUnsubscribed:
			b.confirm(l, l.c.scratch, p.kind == pushSubscribed)
		case pushMessage:
			b.stats.messagesIn.Add(1)
			b.stats.bytesIn.Add(uint64(max(p.size, 0)))
			if p.payload == nil {
				b.stats.tooLarge.Add(1)
				continue
			}
			b.route(l.c.scratch, p.payload)
		}
	}
}

// route passes a message on to who handles it. It does not block.
func (b *Bus) route(channel, payload []byte) {
	b.mu.Lock()
	s := b.subs[string(channel)]
	if s == nil || !s.wanted() {
		b.mu.Unlock()
		return // on its way as the channel was given up
	}
	kind, sp := s.kind, s.owners[0]
	var others []*space
	for _, o := range s.owners[1:] {
		if o != sp && !slices.Contains(others, o) {
			others = append(others, o)
		}
	}
	b.mu.Unlock()
	switch {
	case kind == chanProbe:
		b.probeHeard(payload)
	case kind == chanAnnounce:
		b.announced(payload)
	case kind == chanResponse:
		b.replies.push(payload, len(payload))
	case kind == chanRequest && b.asks.own(payload):
		// A question of ours: we are one of those counted, and have nothing to say.
	case sp != nil:
		sp.data.push(received{kind, payload}, len(payload))
		for _, o := range others { // each takes what is for it
			o.data.push(received{kind, payload}, len(payload))
		}
	}
}
