package engineio

import "time"

// heartbeat is the one timer of a session. In revision 4 the server pings and
// the client must answer; in revision 3 the client pings. When the session is
// closing, the timer bounds that instead.
//
// All fields are guarded by Conn.mu. Times are since the server was made.
type heartbeat struct {
	c     *Conn
	timer *time.Timer
	due   time.Duration // when the timer means something; it may fire earlier

	waiting   bool // the client owes us a sign of life by due
	receiving bool // a Receive is running
	extended  bool // due was put off once because other packets came
	probing   bool // a ping (a noop in revision 3) waits in the queue: nothing has been read since
	delivered bool // a ping has left the queue since waiting began
	ponging   bool // the pong for a client's ping waits in the queue (revision 3)
	forgiven  bool // due was put off once although nothing had been read

	pinged  time.Duration // when waiting began
	entered time.Duration // when the running Receive began, if waiting
	stalled time.Duration // how long the client had to wait for Receive, since pinged
}

// startLocked begins the heartbeat. Everything counts from the moment the
// handshake began: a client counts from the answer, which is later, so that it
// never finds a session alive that should be gone.
func (b *heartbeat) startLocked(c *Conn, begun time.Duration) {
	b.c = c
	o := &c.srv.opts
	b.pinged = begun
	b.due = begun + o.PingInterval
	if c.protocol == 3 {
		b.waiting = true
		b.due += o.PingTimeout
	}
	b.timer = time.AfterFunc(b.due-c.srv.now(), c.tick)
}

func (b *heartbeat) stopLocked() {
	if b.timer != nil {
		b.timer.Stop()
	}
}

// setLocked moves the next event.
func (b *heartbeat) setLocked(due, now time.Duration) {
	b.due = due
	b.timer.Reset(due - now)
}

// tick is what the timer does.
func (c *Conn) tick() {
	c.mu.Lock()
	if c.state == stateClosing {
		sock := c.sock
		c.mu.Unlock()
		c.srv.forget(c)
		if sock != nil {
			hardClose(sock.conn)
		}
		return
	}
	now := c.srv.now()
	start, dead := c.beat.tickLocked(now)
	c.mu.Unlock()
	if start {
		go c.write()
	}
	if dead {
		c.end(ReasonPingTimeout, endDead)
	}
}

// tickLocked does what is due. start asks the caller to start the writer, dead
// to end the session.
func (b *heartbeat) tickLocked(now time.Duration) (start, dead bool) {
	o := &b.c.srv.opts
	switch {
	case now < b.due: // fired while a packet moved it
		b.setLocked(b.due, now)
	case !b.waiting:
		b.waiting, b.extended, b.forgiven, b.delivered, b.stalled = true, false, false, false, 0
		// From when the ping was due, not from when a timer got round to it, so
		// that small delays do not add up; after a long one (the machine slept)
		// the client still gets nearly all of its time.
		b.pinged = max(b.due, now-o.PingTimeout/10)
		b.entered = now
		b.setLocked(b.pinged+o.PingTimeout, now)
		return b.probeLocked(), false
	case b.receiving && !b.probing:
		// What the client sent may lie behind the message being handled. Pinging
		// on keeps it from giving the server up, and finds out if it has gone:
		// nothing is read from it, but the write fails, or is not taken until the
		// next tick.
		b.setLocked(now+o.PingTimeout, now)
		return b.probeLocked(), false
	case !b.receiving && b.stalled > 0 && !(b.probing && b.forgiven):
		more := min(b.stalled, b.limit())
		b.stalled, b.forgiven = 0, true
		b.setLocked(now+more, now)
		return false, false
	}
	return false, true
}

// probeLocked sends something that a client which is there takes, unless that
// waits already: in revision 3, where pings are the client's, a noop.
func (b *heartbeat) probeLocked() (start bool) {
	if b.probing {
		return false
	}
	b.probing = true
	if b.c.protocol == 3 {
		return b.c.pushLocked(noopPacket)
	}
	return b.c.pushLocked(pingPacket)
}

// takenLocked notes that all that waited in the queue is on its way.
func (b *heartbeat) takenLocked() {
	b.delivered = b.delivered || b.probing
	b.probing, b.ponging = false, false
}

// takenFromLocked notes that the items are on their way.
func (b *heartbeat) takenFromLocked(batch []item) {
	for _, it := range batch {
		switch {
		case it.kind != itemPacket:
		case it.f == pingPacket.f, it.f == noopPacket.f:
			b.delivered, b.probing = true, false
		case it.f.Part(0).Data[0] == packetPong:
			b.ponging = false
		}
	}
}

// limit is how long a client may owe a sign of life.
func (b *heartbeat) limit() time.Duration {
	o := &b.c.srv.opts
	if b.c.protocol == 3 {
		return o.PingInterval + o.PingTimeout
	}
	return o.PingTimeout
}

// overdueLocked reports whether the session is to be ended by the timer that
// will fire any moment. The millisecond is what a client's own timer may run
// ahead.
func (b *heartbeat) overdueLocked(now time.Duration) bool {
	return b.waiting && !b.receiving && b.stalled == 0 && now+time.Millisecond >= b.due
}

func (b *heartbeat) receiveBeginsLocked() {
	b.receiving = true
	if b.waiting {
		b.entered = b.c.srv.now()
		if !b.extended && b.c.protocol != 3 {
			// As Node does: a client that is busy sending something large gets
			// one more timeout for its pong, which waits behind it.
			b.extended = true
			b.stalled = b.limit()
		}
	}
}

func (b *heartbeat) receiveEndsLocked() {
	b.receiving = false
	if b.waiting {
		b.stalled += b.c.srv.now() - max(b.entered, b.pinged)
	}
}

// onPong is the answer to our ping (revision 4). One that nothing asked for is
// ignored: it does not put off the next ping. So is one to a ping that the client
// cannot have seen, or a client that reads nothing could live on.
func (c *Conn) onPong() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != stateOpen || !c.beat.waiting || !c.beat.delivered {
		return
	}
	c.beat.waiting = false
	now := c.srv.now()
	c.beat.setLocked(now+c.srv.opts.PingInterval, now)
}

// onPing is the client's ping (revision 3). It is no sign of life while the pong
// for the one before has not been read.
func (c *Conn) onPing(data []byte) {
	c.mu.Lock()
	if c.state != stateOpen {
		c.mu.Unlock()
		return
	}
	b := &c.beat
	if !b.ponging {
		now := c.srv.now()
		b.pinged, b.stalled, b.extended, b.forgiven = now, 0, false, false
		b.setLocked(now+b.limit(), now)
	}
	b.ponging = true
	start, ok := c.offerLocked(pongFor(data))
	c.mu.Unlock()
	c.offered(start, ok)
}
