package engineio

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

const (
	// readBuffer is the size of the pooled buffers that incoming frames are
	// read into; a connection has one only while it has something to read.
	readBuffer = 4096
	// plainBuffer is the size of the buffer of a connection that cannot wait
	// without one (TLS, or a net.Conn we do not know).
	plainBuffer = 1024
	// trustedPayload is how much memory a mere announcement of a payload gets;
	// beyond it, memory grows as the payload comes in.
	trustedPayload = 64 << 10
)

var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// errTooLarge is a message beyond Options.MaxPayload.
var errTooLarge = &socketError{ws.StatusMessageTooBig, "message too large"}

// socketError is a violation of the WebSocket protocol by the client, with the
// status that it is told.
type socketError struct {
	status ws.StatusCode
	text   string
}

func (e *socketError) Error() string { return "engineio: websocket: " + e.text }

// socket is a WebSocket connection as its reader sees it. Only one goroutine
// may read. Writes go to conn, of which a net.Conn allows several at once.
type socket struct {
	conn       net.Conn
	raw        syscall.RawConn // nil: wait with a buffer at hand
	deflate    bool            // permessage-deflate was negotiated
	maxPayload int
	controls   meter // control frames and small fragments
	controlCap int   // how many of them in a second; 0: any number

	pending  []byte            // received and not yet consumed; in pooled or plain
	pooled   *[readBuffer]byte // nil while there is nothing to read, or plain is used
	plain    []byte
	onReady  func(fd uintptr) bool // readReady, made once
	readyErr error                 // result of readReady

	header     [ws.MaxHeaderSize]byte // scratch for ws.ReadHeaderBuffer
	message    []byte                 // fragments so far
	messageOp  ws.OpCode
	fragmented bool // a message is under way
	compressed bool // and it is compressed
}

// newSocket takes over a connection whose handshake is done. early is what the
// client sent right behind the handshake; it is copied.
func newSocket(conn net.Conn, early []byte, maxPayload int, deflate bool) *socket {
	s := &socket{conn: conn, deflate: deflate, maxPayload: maxPayload}
	if len(early) > 0 {
		s.pending = append(s.pending, early...)
	}
	switch c := conn.(type) {
	// The types themselves, not an interface: a wrapper that embeds one has its
	// methods, yet reads differently.
	case *net.TCPConn:
		s.raw, _ = c.SyscallConn()
	case *net.UnixConn:
		s.raw, _ = c.SyscallConn()
	}
	if !rawReads {
		s.raw = nil
	}
	s.onReady = s.readReady
	return s
}

// drained reports whether the next read would wait without a buffer.
func (s *socket) drained() bool { return len(s.pending) == 0 && s.raw != nil }

// fill waits for data when nothing is pending. It holds no buffer while it
// waits, if the connection allows that.
func (s *socket) fill() error {
	if len(s.pending) > 0 {
		return nil
	}
	if s.raw == nil {
		if s.plain == nil {
			s.plain = make([]byte, plainBuffer)
		}
		n, err := s.conn.Read(s.plain)
		s.pending = s.plain[:n]
		if n > 0 {
			return nil
		}
		return err
	}
	if err := s.raw.Read(s.onReady); err != nil {
		return err
	}
	return s.readyErr
}

// readReady tries to read and reports whether that settled it; otherwise it is
// called again when there is something to read.
func (s *socket) readReady(fd uintptr) bool {
	if s.pooled == nil {
		s.pooled = readBuffers.Get().(*[readBuffer]byte)
	}
	n, again, err := rawRead(fd, s.pooled[:])
	if !again && n > 0 {
		s.pending, s.readyErr = s.pooled[:n], nil
		return true
	}
	readBuffers.Put(s.pooled)
	s.pooled, s.pending = nil, nil
	if again {
		return false
	}
	if err == nil {
		err = io.EOF
	}
	s.readyErr = err
	return true
}

// Read implements io.Reader for ws.ReadHeaderBuffer and for payloads.
func (s *socket) Read(p []byte) (int, error) {
	if len(s.pending) == 0 {
		if len(p) >= readBuffer {
			return s.conn.Read(p)
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.pending)
	s.pending = s.pending[n:]
	return n, nil
}

// next returns the next whole data message (its opcode is text or binary) or
// control frame (ping, pong, close). The payload is the caller's. A violation of
// the protocol is a *socketError.
func (s *socket) next() (ws.OpCode, []byte, error) {
	for {
		h, err := ws.ReadHeaderBuffer(s, s.header[:])
		if err != nil {
			if errors.Is(err, ws.ErrHeaderLengthMSB) || errors.Is(err, ws.ErrHeaderLengthUnexpected) {
				err = &socketError{ws.StatusProtocolError, err.Error()}
			}
			return 0, nil, err
		}
		if err := s.check(h); err != nil {
			return 0, nil, err
		}
		control := h.OpCode.IsControl()
		small := h.Length < smallFragment && (!h.Fin || h.OpCode == ws.OpContinuation)
		if (control || small) && !s.controls.allow(s.controlCap) {
			return 0, nil, errFlood
		}
		if control {
			p, err := s.payload(nil, h)
			return h.OpCode, p, err
		}
		if h.OpCode != ws.OpContinuation {
			s.messageOp, s.compressed, s.fragmented = h.OpCode, h.Rsv1(), true
		}
		if s.message, err = s.payload(s.message, h); err != nil {
			return 0, nil, err
		}
		if !h.Fin {
			continue
		}
		p := s.message
		s.message, s.fragmented = nil, false
		p, err = s.finished(p)
		return s.messageOp, p, err
	}
}

// check holds a header against RFC 6455, RFC 7692 and the size limit, before
// anything is allocated for the payload.
func (s *socket) check(h ws.Header) error {
	state := ws.StateServerSide
	if s.fragmented {
		state = state.Set(ws.StateFragmented)
	}
	plain := h
	if first := h.OpCode == ws.OpText || h.OpCode == ws.OpBinary; first && s.deflate {
		plain.Rsv &^= ws.Rsv(true, false, false)
	}
	if err := ws.CheckHeader(plain, state); err != nil {
		return &socketError{ws.StatusProtocolError, err.Error()}
	}
	if !h.OpCode.IsControl() && h.Length > int64(s.maxPayload-len(s.message)) {
		return errTooLarge
	}
	return nil
}

// payload appends the payload of a frame to b.
func (s *socket) payload(b []byte, h ws.Header) ([]byte, error) {
	begin, length := len(b), int(h.Length)
	for done := 0; done < length; {
		chunk := min(length-done, max(trustedPayload, done))
		if done == 0 && b == nil {
			b = make([]byte, chunk)
		} else {
			b = append(b, make([]byte, chunk)...)
		}
		if _, err := io.ReadFull(s, b[begin+done:]); err != nil {
			return nil, err
		}
		done += chunk
	}
	ws.Cipher(b[begin:], h.Mask, 0)
	return b, nil
}

// finished decompresses and checks a whole message.
func (s *socket) finished(p []byte) ([]byte, error) {
	if s.compressed {
		var err error
		if p, err = inflated(p, s.maxPayload); err != nil {
			if errors.Is(err, errInflate) {
				err = &socketError{ws.StatusInvalidFramePayloadData, err.Error()}
			}
			return nil, err
		}
	}
	if s.messageOp == ws.OpText && !utf8.Valid(p) {
		return nil, &socketError{ws.StatusInvalidFramePayloadData, "text is not UTF-8"}
	}
	return p, nil
}

// closeStatus returns the status to answer a close frame of the client with.
func closeStatus(payload []byte) ws.StatusCode {
	if len(payload) == 0 {
		return ws.StatusNormalClosure
	}
	if len(payload) < 2 {
		return ws.StatusProtocolError
	}
	status := ws.StatusCode(binary.BigEndian.Uint16(payload))
	if ws.CheckCloseFrameData(status, string(payload[2:])) != nil && !status.IsPrivateSpec() && !status.IsApplicationSpec() {
		return ws.StatusProtocolError
	}
	return status
}

// closeFrame is a whole close frame.
func closeFrame(status ws.StatusCode) []byte {
	return appendSocketFrame(nil, ws.OpClose, false, nil, ws.NewCloseFrameBody(status, ""))
}

// hardClose ends a connection at once: no TLS farewell, which could block.
func hardClose(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	_ = conn.Close() // nothing can be done about a failure, and nothing is lost by one
}
