package engineio

import (
	"errors"
	"net"
	"sync"
	"syscall"
)

const (
	// chunkSize is the size of the buffers in which frames are joined for one
	// system call. Copying 300 small frames costs less than 300 entries of a
	// vector, and a buffer is held only during the call, never while the client
	// is behind: what waits then is the frames, which all clients share.
	chunkSize = 64 << 10
	// heldChunkSize is the size where the call waits with the buffer in hand:
	// over TLS, and connections that we do not know.
	heldChunkSize = 8 << 10
	// batchCap is the capacity up to which a used queue is kept for reuse.
	batchCap = 512
)

var (
	chunks     = sync.Pool{New: func() any { return new([chunkSize]byte) }}
	heldChunks = sync.Pool{New: func() any { return new([heldChunkSize]byte) }}
	batches    = sync.Pool{New: func() any { return new([]item) }}
	outputs    = sync.Pool{New: func() any { o := new(output); o.onReady = o.writeReady; return o }}
)

// newBatch returns an empty queue, perhaps one that served before.
func newBatch() []item { return (*batches.Get().(*[]item))[:0] }

// recycleBatch takes back a queue whose items were sent.
func recycleBatch(b []item) {
	if cap(b) == 0 || cap(b) > batchCap {
		return
	}
	clear(b)
	b = b[:0]
	batches.Put(&b)
}

// write is the writer goroutine of a WebSocket session: it takes everything
// queued, writes it in one system call if it can, and ends when nothing is left.
// There is at most one, started by whoever set c.writing.
func (c *Conn) write() {
	for {
		c.mu.Lock()
		batch := c.queue
		c.queue = nil
		if len(batch) == 0 {
			c.writing = false
			over := c.state == stateClosing
			c.mu.Unlock()
			if over {
				c.finish() // releases
			} else {
				c.release()
			}
			return
		}
		c.beat.takenLocked()
		sock, hard := c.sock, c.state == stateClosing && c.how.hard
		c.mu.Unlock()
		if hard {
			continue
		}

		n, cost, err := c.writeBatch(sock, batch)
		recycleBatch(batch)
		c.srv.stats.bytesOut.Add(n)
		if err != nil {
			c.writeFailed(err)
			continue
		}
		c.mu.Lock()
		c.queued = max(0, c.queued-cost) // an end may have dropped it all meanwhile
		c.mu.Unlock()
	}
}

// writeFailed ends the session, or what was left to do for a closing one.
func (c *Conn) writeFailed(err error) {
	reason := ReasonTransportError
	if isGone(err) {
		reason = ReasonTransportClose
	}
	c.end(reason, endDead.because(err))
	c.mu.Lock()
	c.queue, c.queued = nil, 0
	c.mu.Unlock()
}

// isGone reports whether an error of a connection says no more than that one
// side closed it.
func isGone(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// writeBatch sends the items, in as few system calls as it can.
func (c *Conn) writeBatch(sock *socket, batch []item) (n int64, cost int, err error) {
	messages := 0
	for _, it := range batch {
		cost += it.cost()
		if it.kind == itemMessage {
			messages += it.f.Len()
		}
	}
	o := outputs.Get().(*output)
	o.protocol, o.base64, o.deflate, o.batch = c.protocol, c.base64, sock.deflate, batch
	n, err = o.writeTo(sock)
	*o = output{onReady: o.onReady}
	outputs.Put(o)
	c.srv.stats.messagesOut.Add(int64(messages))
	return n, cost, err
}

// output is a batch on its way to a connection.
type output struct {
	protocol        int
	base64, deflate bool
	batch           []item // the first is the one under way
	off             int    // what of it is written
	n               int64  // written in all
	err             error  // of writeReady
	onReady         func(fd uintptr) bool
}

func (o *output) wire(i int) []byte { return o.batch[i].socketWire(o.protocol, o.base64, o.deflate) }

// writeTo writes everything, and returns how many bytes went.
func (o *output) writeTo(sock *socket) (int64, error) {
	if sock.raw != nil {
		err := sock.raw.Write(o.onReady)
		if err == nil {
			err = o.err
		}
		return o.n, err
	}
	chunk := heldChunks.Get().(*[heldChunkSize]byte)
	defer heldChunks.Put(chunk)
	for len(o.batch) > 0 {
		n, err := sock.conn.Write(o.gather(chunk[:0]))
		o.advance(n)
		if err != nil {
			return o.n, err
		}
	}
	return o.n, nil
}

// writeReady writes what the connection takes without waiting, and reports
// whether that was all or an error came.
func (o *output) writeReady(fd uintptr) (done bool) {
	chunk := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(chunk)
	for len(o.batch) > 0 {
		n, again, err := rawWrite(fd, o.gather(chunk[:0]))
		o.advance(n)
		if err != nil || again {
			o.err = err
			return err != nil
		}
	}
	return true
}

// gather returns what goes to the kernel next: the rest of a frame that is large
// or the last where it is, else as many as the empty chunk takes. What is large
// is half a chunk.
func (o *output) gather(chunk []byte) []byte {
	large := cap(chunk) / 2
	first := o.wire(0)[o.off:]
	if len(first) > large || len(o.batch) == 1 {
		return first
	}
	chunk = append(chunk, first...)
	for i := 1; i < len(o.batch) && len(chunk) < cap(chunk); i++ {
		wire := o.wire(i)
		if len(wire) > large {
			break
		}
		chunk = append(chunk, wire[:min(len(wire), cap(chunk)-len(chunk))]...)
	}
	return chunk
}

// advance takes n bytes that are written from the front of the batch.
func (o *output) advance(n int) {
	o.n += int64(n)
	for o.off += n; len(o.batch) > 0; o.batch = o.batch[1:] {
		size := len(o.wire(0))
		if o.off < size {
			return
		}
		o.off -= size
	}
}
