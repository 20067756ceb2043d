package engineio

import "github.com/gobwas/ws"

// readSocket is the reader goroutine of a WebSocket session: it waits for
// data, handles all that came, and passes on to a successor before it would
// wait again. The successor waits on a small stack of its own, whatever a
// handler needed; a goroutine that waited itself would keep its grown stack for
// as long as the client is idle, which is most of what an idle connection
// costs. There is always exactly one, and the last of them releases the
// reference that the first was given.
func (c *Conn) readSocket(sock *socket) {
	err := sock.fill()
	for err == nil {
		var over bool
		if over, err = c.readMessage(sock); over {
			break
		}
		if err == nil && sock.drained() {
			go c.readSocket(sock)
			return
		}
	}
	c.readEnded(sock, err)
}

// readEnded is the end of the last reader. It stands apart to keep the stack
// frame of readSocket small.
func (c *Conn) readEnded(sock *socket, err error) {
	if err != nil {
		c.endForRead(err)
	}
	c.mu.Lock()
	c.readDone = true
	over := c.writeDone
	c.mu.Unlock()
	if over {
		hardClose(sock.conn)
	}
	c.release()
}

// readMessage reads and handles one message. Once the session is closing, what
// comes in is dropped until the client has closed its side as well. It is over
// after the close frame of the client; an error is one of the connection.
func (c *Conn) readMessage(sock *socket) (over bool, err error) {
	op, data, err := sock.next()
	if err != nil {
		return false, err
	}
	var p packet
	switch op {
	case ws.OpPing:
		c.answer(pongFrame(data))
		return false, nil
	case ws.OpPong:
		return false, nil
	case ws.OpClose:
		how := endClient
		how.status = closeStatus(data)
		c.end(ReasonTransportClose, how)
		return true, nil
	case ws.OpText:
		p, err = decodeText(data, c.protocol)
	default:
		p, err = decodeBinary(data, c.protocol)
	}
	c.srv.stats.bytesIn.Add(int64(len(data)))
	if err == nil {
		err = c.onPacket(p)
	}
	if err != nil {
		c.endFor(err)
	}
	return false, nil
}
