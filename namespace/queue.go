package namespace

import (
	"sync"

	"github.com/dynamicio/dynamicio/namespace/packet"
)

// What a client has sent waits in a queue of its connection for the one
// goroutine that handles it, so that everything happens in the order sent.

// maxPendingBytes bounds the payload of events that wait for their handlers;
// beside it, one event may always wait.
const maxPendingBytes = 4 << 20

// askingFactor is how many times MaxPendingEvents may wait while a client owes
// an acknowledgement: that one lies behind them, and the handler that holds
// them up may be waiting for it.
const askingFactor = 16

// job is an event of a socket, or something else that keeps its place among them.
type job struct {
	do     func()
	socket *Socket
	event  packet.Packet
	next   *job
}

// jobs are used again, by all clients: an idle one holds no memory for events.
var jobs = sync.Pool{New: func() any { return new(job) }}

// payload is how many bytes of the client's an event keeps in memory.
func payload(p *packet.Packet) int {
	n := len(p.Data)
	for _, a := range p.Attachments {
		n += len(a)
	}
	return n
}

// waitLocked waits until there is room in the queue for an event or a CONNECT,
// or the connection is closed. c.mu must be held; it is let go meanwhile.
func (c *Client) waitLocked(size int) {
	for c.reason == "" && c.queued > 0 && c.fullLocked(size) {
		c.space = make(chan struct{})
		space := c.space
		c.mu.Unlock()
		<-space
		c.mu.Lock()
	}
}

// fullLocked reports whether reading has to pause before an event of that size
// is queued. c.mu must be held.
func (c *Client) fullLocked(size int) bool {
	most := c.reg.opts.MaxPendingEvents
	if c.asking.Load() > 0 {
		most *= askingFactor
	}
	return c.queued >= most || c.bytes+size > maxPendingBytes
}

// Pending says what the client has sent that waits for its handlers: events,
// joins and leaves among them, and bytes of payload.
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
	j.do = do
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
	c.bytes += payload(&j.event)
	if !c.working {
		c.working = true
		go c.work()
	}
}

// work handles what is queued, one after the other.
func (c *Client) work() {
	for {
		c.mu.Lock()
		j := c.first
		if j == nil {
			c.working = false
			c.finishLocked()
			c.mu.Unlock()
			return
		}
		if c.first = j.next; c.first == nil {
			c.last = nil
		}
		c.queued--
		c.bytes -= payload(&j.event)
		if c.space != nil && c.queued <= c.reg.opts.MaxPendingEvents/2 {
			close(c.space)
			c.space = nil
		}
		c.mu.Unlock()
		if j.socket != nil {
			j.socket.dispatch(j.event)
		} else {
			j.do()
		}
		*j = job{}
		jobs.Put(j)
	}
}
