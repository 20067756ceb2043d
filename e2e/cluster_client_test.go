package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// socket is a Socket.IO client in one namespace, over a WebSocket. It never
// reconnects: a connection that ends shows. Its methods may be called from any goroutine.
type socket struct {
	namespace string
	id        string
	conn      net.Conn
	// Since is when the CONNECT answer was read.
	since  time.Time
	closed chan struct{} // the connection is over
	on     func(event string, args []json.RawMessage)

	mu    sync.Mutex // guards acks, next, and what is written
	acks  map[int]chan []json.RawMessage
	next  int
	ended time.Time // when the client began to leave or was dropped; zero while it is in
}

// errRefused is a CONNECT_ERROR.
var errRefused = errors.New("refused")

// dialSocket joins a namespace of the server at addr. on is called with every event,
// in order, by the goroutine that reads.
func dialSocket(addr, namespace string, on func(event string, args []json.RawMessage)) (*socket, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, br, _, err := ws.Dial(ctx, "ws://"+addr+"/socket.io/?EIO=4&transport=websocket")
	if err != nil {
		return nil, err
	}
	var r io.Reader = conn
	if br != nil {
		r = br
	} else {
		r = bufio.NewReader(conn)
	}
	s := &socket{namespace: namespace, conn: conn, closed: make(chan struct{}), on: on, acks: make(map[int]chan []json.RawMessage)}
	conn.SetReadDeadline(time.Now().Add(patience))
	if err = s.send("40" + namespace + ","); err == nil {
		err = s.answered(r)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("join %s at %s: %w", namespace, addr, err)
	}
	conn.SetReadDeadline(time.Time{})
	go s.read(r) // ends with the connection
	return s, nil
}

// answered reads until the answer to CONNECT.
func (s *socket) answered(r io.Reader) error {
	for {
		p, err := s.packet(r)
		if err != nil {
			return err
		}
		if rest, ok := strings.CutPrefix(p, "40"+s.namespace+","); ok {
			s.since = time.Now()
			var answer struct{ Sid string }
			err := json.Unmarshal([]byte(rest), &answer)
			s.id = answer.Sid
			return err
		}
		if strings.HasPrefix(p, "44") {
			return fmt.Errorf("%w: %s", errRefused, p)
		}
	}
}

// packet reads one text frame and answers heartbeats.
func (s *socket) packet(r io.Reader) (string, error) {
	data, _, err := wsutil.ReadServerData(struct {
		io.Reader
		io.Writer
	}{r, s.conn})
	switch {
	case err != nil:
		return "", err
	case string(data) == "2":
		return "", s.send("3")
	}
	return string(data), nil
}

// read is the goroutine of a socket.
func (s *socket) read(r io.Reader) {
	defer func() {
		s.mu.Lock()
		if s.ended.IsZero() {
			s.ended = time.Now()
		}
		s.mu.Unlock()
		s.conn.Close()
		close(s.closed)
	}()
	for {
		p, err := s.packet(r)
		if err != nil {
			return
		}
		if len(p) < 2 || p[0] != '4' || p[1] == '1' {
			if strings.HasPrefix(p, "41") {
				return // disconnected by the server
			}
			continue
		}
		rest := strings.TrimPrefix(p[2:], s.namespace+",")
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		id, _ := strconv.Atoi(rest[:digits])
		var args []json.RawMessage
		if json.Unmarshal([]byte(rest[digits:]), &args) != nil {
			return // no server of ours says that: the test sees the end
		}
		switch p[1] {
		case '2':
			var name string
			if len(args) > 0 && json.Unmarshal(args[0], &name) == nil && s.on != nil {
				s.on(name, args[1:])
			}
		case '3':
			s.mu.Lock()
			if c := s.acks[id]; c != nil {
				delete(s.acks, id)
				c <- args
			}
			s.mu.Unlock()
		}
	}
}

func (s *socket) send(packet string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ws.WriteFrame(s.conn, ws.MaskFrameInPlace(ws.NewTextFrame([]byte(packet))))
}

// ask emits an event and waits for its acknowledgement.
func (s *socket) ask(event string, args ...any) ([]json.RawMessage, error) {
	b, err := json.Marshal(append([]any{event}, args...))
	if err != nil {
		return nil, err
	}
	answer := make(chan []json.RawMessage, 1)
	s.mu.Lock()
	s.next++
	id := s.next
	s.acks[id] = answer
	s.mu.Unlock()
	if err := s.send("42" + s.namespace + "," + strconv.Itoa(id) + string(b)); err != nil {
		return nil, err
	}
	select {
	case args := <-answer:
		return args, nil
	case <-s.closed:
		return nil, fmt.Errorf("%s in %s: the connection ended", s.id, s.namespace)
	case <-time.After(patience):
		return nil, fmt.Errorf("%s in %s: no acknowledgement", s.id, s.namespace)
	}
}

// leave ends the connection.
func (s *socket) leave() {
	s.mu.Lock()
	if s.ended.IsZero() {
		s.ended = time.Now()
	}
	s.mu.Unlock()
	_ = s.send("41" + s.namespace + ",")
	s.conn.Close()
	<-s.closed
}

// gone reports whether the connection is over.
func (s *socket) gone() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}
