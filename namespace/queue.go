package namespace

import (
	"sync"
	"time"

	"github.com/dynamicio/dynamicio/namespace/packet"
)

// What a client has sent waits in a queue of its connection for the one
// goroutine that handles it, so that everything happens in the order sent.

const (
	// jobCost is what a waiting event takes beside what the client sent.
	jobCost = 320
	// freePending is what may wait at no charge against the connection's budget,
	// and pendingStep how much more is reserved at a time: the budget has a lock
	// that not every event should take.
	freePending = 16 << 10
	pendingStep = 64 << 10
	// stallTimeout is how long a client that owes an acknowledgement is kept from
	// sending more while no handler returns.
	stallTimeout = time.Second
)

// job is an event of a socket, or something else that keeps its place among them.
type job struct {
	do     func()
	socket *Socket
	event  packet.Packet
	cost   int
	next   *job
}

// jobs are used again, by all clients: an idle one holds no memory for events.
var jobs = sync.Pool{New: func() any { return new(job) }}

// costOf is how many bytes of memory an event takes while it waits.
func costOf(p *packet.Packet) int {
	n := jobCost + len(p.Data)
	for _, a := range p.Attachments {
		n += len(a)
	}
	return n
}

// waitLocked waits until there is room in the queue for an event or a CONNECT of
// that cost, or the connection is closed. Beside all bounds, one may always wait.
// c.mu must be held; it is let go meanwhile. It reports false if the client has to
// be closed: it owes an acknowledgement that a handler may be waiting for, and that
// lies behind more than can be kept.
func (c *Client) waitLocked(cost int) bool {
	for c.reason == "" && c.fullLocked(cost) && c.queued > 0 {
		c.space = make(chan struct{})
		space, owing := c.space, c.asking.Load() > 0
		c.mu.Unlock()
		moved := true
		if owing {
			moved = within(stallTimeout, space)
		} else {
			<-space
		}
		c.mu.Lock()
		if !moved && c.asking.Load() > 0 {
			return c.reason != ""
		}
	}
	return true
}

// within waits for an event, and reports whether it came in time.
func within(d time.Duration, event <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-event:
		return true
	case <-t.C:
		return false
	}
}

// fullLocked reports whether reading has to pause before an event of that cost
// is queued. While the client owes an acknowledgement, which is read behind what it
// has sent before, only the budget of the connection counts. c.mu must be held.
func (c *Client) fullLocked(cost int) bool {
	o := &c.reg.opts
	if c.asking.Load() == 0 && (c.queued >= o.MaxPendingEvents || c.bytes+cost > o.MaxPendingBytes) {
		return true
	}
	need := c.bytes + cost - freePending - c.reserved
	if need <= 0 {
		return false
	}
	need = (need + pendingStep - 1) / pendingStep * pendingStep
	if !c.conn.Reserve(need) {
		return true
	}
	c.reserved += need
	return false
}

// shrinkLocked gives back what is reserved and no longer needed. c.mu must be held.
func (c *Client) shrinkLocked() {
	if spare := c.reserved - max(0, c.bytes-freePending); c.reserved > 0 && (spare > 2*pendingStep || c.queued == 0) {
		c.conn.Release(spare)
		c.reserved -= spare
	}
}

// Pending says what the client has sent that waits for its handlers: events,
// joins and leaves among them, and the memory that they take.
func (c *Client) Pending() (events, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queued, c.bytes
}

// ask counts acknowledgements that the client owes from now on, or no longer
// does. If reading has paused, it may go on for the first of them.
func (c *Client) ask(n int) {
	if now := c.asking.Add(int32(n)); n <= 0 || now != 1 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.space != nil {
		close(c.space)
		c.space = nil
	}
}

// doLocked queues something to do. c.mu must be held.
func (c *Client) doLocked(do func()) {
	j := jobs.Get().(*job)
	j.do, j.cost = do, jobCost
	c.pushLocked(j)
}

// pushLocked appends to the queue. c.mu must be held.
func (c *Client) pushLocked(j *job) {
	if c.last == nil {
		c.first = j
	} else {
		c.last.next = j
	}
	c.last = j
	c.queued++
	c.bytes += j.cost
	if !c.working {
		c.working = true
		go c.work()
	}
}

// work handles what is queued, one after the other. If a handler ends its
// goroutine, another one takes over: that costs the handler's event only.
func (c *Client) work() {
	over := false
	defer func() {
		if !over {
			go c.work()
		}
	}()
	var ended time.Time // of the last event, when another one waited: one look at the clock for each
	for {
		c.mu.Lock()
		j := c.first
		if j == nil {
			c.working = false
			c.finishLocked()
			c.mu.Unlock()
			over = true
			return
		}
		if c.first = j.next; c.first == nil {
			c.last = nil
		}
		c.queued--
		c.bytes -= j.cost
		c.shrinkLocked()
		if c.space != nil && (c.queued <= c.reg.opts.MaxPendingEvents/2 || c.asking.Load() > 0) {
			close(c.space)
			c.space = nil
		}
		c.mu.Unlock()
		if j.socket != nil {
			begun := ended
			if begun.IsZero() {
				begun = time.Now()
			}
			j.socket.dispatch(j.event)
			ended = time.Now()
			c.reg.stats.handlers.add(ended.Sub(begun))
		} else {
			j.do()
			ended = time.Time{}
		}
		*j = job{}
		jobs.Put(j)
	}
}
