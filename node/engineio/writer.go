package engineio

import (
	"errors"
	"net"
	"sync"
	"syscall"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

const (
	// copyLimit is the size up to which a frame is copied next to its
	// neighbours; larger ones go to the kernel from where they are. Copying 300
	// small frames costs less than 300 entries of a vector.
	copyLimit = 2048
	// chunkSize is the size of the buffers that small frames are copied to.
	chunkSize = 32 << 10
	// batchCap is the capacity up to which a used queue is kept for reuse.
	batchCap = 512
)

var (
	chunks  = sync.Pool{New: func() any { return new([chunkSize]byte) }}
	batches = sync.Pool{New: func() any { return new([]item) }}
	vectors = sync.Pool{New: func() any { return new(vector) }}
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
// queued, writes it in one system call, and ends when nothing is left. There is
// at most one, started by whoever set c.writing.
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
	c.end(reason, endDead)
	c.mu.Lock()
	c.queue, c.queued = nil, 0
	c.mu.Unlock()
}

// isGone reports whether an error of a connection says no more than that one
// side closed it.
func isGone(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// writeBatch sends the items in one system call, if the connection allows that.
func (c *Conn) writeBatch(sock *socket, batch []item) (n int64, cost int, err error) {
	messages := 0
	v := vectors.Get().(*vector)
	for _, it := range batch {
		v.add(it.socketWire(c.protocol, c.base64, sock.deflate))
		cost += it.cost()
		if it.kind == itemMessage {
			messages += it.f.Len()
		}
	}
	n, err = v.writeTo(sock.conn)
	vectors.Put(v)
	c.srv.stats.messagesOut.Add(int64(messages))
	return n, cost, err
}

// vector gathers frames for one write.
type vector struct {
	bufs   net.Buffers        // to be written
	open   []byte             // small frames, the last of bufs, not yet in it
	chunks []*[chunkSize]byte // pooled memory in use
}

// add appends a frame, which must stay unchanged until writeTo.
func (v *vector) add(wire []byte) {
	if len(wire) > copyLimit {
		v.seal()
		v.bufs = append(v.bufs, wire)
		return
	}
	if v.open == nil || len(v.open)+len(wire) > cap(v.open) {
		v.seal()
		chunk := chunks.Get().(*[chunkSize]byte)
		v.chunks = append(v.chunks, chunk)
		v.open = chunk[:0]
	}
	v.open = append(v.open, wire...)
}

func (v *vector) seal() {
	if len(v.open) > 0 {
		v.bufs = append(v.bufs, v.open)
	}
	v.open = nil
}

// writeTo writes everything and leaves the vector empty.
func (v *vector) writeTo(conn net.Conn) (n int64, err error) {
	v.seal()
	if len(v.bufs) == 1 {
		var k int
		k, err = conn.Write(v.bufs[0])
		n = int64(k)
	} else {
		rest := v.bufs // WriteTo consumes it
		n, err = rest.WriteTo(conn)
	}
	clear(v.bufs)
	v.bufs = v.bufs[:0]
	for _, chunk := range v.chunks {
		chunks.Put(chunk)
	}
	clear(v.chunks)
	v.chunks = v.chunks[:0]
	return n, err
}

// pongFor answers a ping packet with its own data.
func pongFor(data []byte) item {
	if len(data) == 0 {
		return pongPacket
	}
	return item{f: frame.Text(append([]byte{packetPong}, data...)), kind: itemPacket}
}
