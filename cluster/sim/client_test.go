package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/namespace/frame"
)

// client is a user who is in one namespace at a time, on one node at a time.
type client struct {
	w  *world
	id int

	// Of the main goroutine.
	node *node
	conn *conn
}

// conn is one connection of a client, and its only socket. It is the transport
// of a namespace.Client.
type conn struct {
	w      *world
	name   string // c3.2: the second connection of client 3
	node   *node
	full   string // namespace
	client *namespace.Client

	mu       sync.Mutex // guards what follows
	admitted time.Time  // when the CONNECT answer came
	refused  bool
	over     bool // the client has left or was cut off
	sent     int  // events
	rooms    map[string]time.Time
	heard    map[string]int // the last event of each sender
	got      map[string]bool
}

func (c *conn) ID() string        { return c.name }
func (c *conn) Protocol() int     { return 4 }
func (c *conn) Transport() string { return "websocket" }

// Reserve and Release bound what a connection holds; here nothing is bounded.
func (c *conn) Reserve(int) bool { return true }
func (c *conn) Release(int)      {}

// Send takes what the server says, at once.
func (c *conn) Send(f *frame.Frame, _ frame.Flags) bool {
	text := string(f.Part(0).Data)
	kind := text[0]
	_, body, _ := strings.Cut(text, ",")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return false
	}
	switch kind {
	case '0':
		c.admitted = time.Now()
	case '4':
		c.refused = true
		c.w.log.add("%s refused at %s: %s", c.name, c.node.name, body)
	case '2':
		var event []json.RawMessage
		if err := json.Unmarshal([]byte(body), &event); err != nil || len(event) != 3 {
			c.w.broken("%s got %q", c.name, text)
			return true
		}
		var from string
		var n int
		if json.Unmarshal(event[1], &from) != nil || json.Unmarshal(event[2], &n) != nil {
			c.w.broken("%s got %q", c.name, text)
			return true
		}
		c.hearLocked(from, n)
	case '1':
		c.w.broken("%s was disconnected by the server", c.name)
	}
	return true
}

// hearLocked holds an event against the promises of order and once.
func (c *conn) hearLocked(from string, n int) {
	last := c.heard[from]
	switch {
	case from == c.name:
		c.w.broken("%s heard itself: event %d", c.name, n)
	case n == last:
		c.w.broken("%s heard event %d of %s twice", c.name, n, from)
	case n < last:
		c.w.broken("%s heard event %d of %s after %d", c.name, n, from, last)
	}
	c.heard[from] = n
	c.got[fmt.Sprint(from, "/", n)] = true
}

// Close is the server's wish; none has a reason to, but a node that stops.
func (c *conn) Close(reason string) {
	c.mu.Lock()
	over := c.over
	c.over = true
	c.mu.Unlock()
	if over {
		return
	}
	if reason != namespace.ReasonShutdown {
		c.w.broken("%s was closed by %s: %s", c.name, c.node.name, reason)
	}
	go c.client.Closed(reason)
}

// in reports whether the socket is in its namespace, and since when.
func (c *conn) in() (since time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.admitted, !c.over && !c.admitted.IsZero()
}

// connect brings the client to a namespace of a node.
func (c *client) connect(n *node, full string, connection int) {
	cn := &conn{
		w: c.w, name: fmt.Sprintf("c%d.%d", c.id, connection), node: n, full: full,
		rooms: make(map[string]time.Time), heard: make(map[string]int), got: make(map[string]bool),
	}
	client, err := n.reg.Accept(cn, &namespace.Handshake{
		Header: http.Header{}, URL: &url.URL{Path: "/socket.io/"}, Address: "192.0.2.1", Time: time.Now(),
	})
	if err != nil {
		c.w.broken("%s: Accept: %v", cn.name, err)
		return
	}
	cn.client, c.node, c.conn = client, n, cn
	c.w.log.add("%s connects to %s of %s", cn.name, full, n.name)
	cn.say("0" + full + ",")
}

func (c *conn) say(text string) {
	if err := c.client.Receive([]byte(text), false); err != nil {
		c.w.broken("%s said %q: %v", c.name, text, err)
	}
}

// lose ends the connection from the client's side.
func (c *client) lose() {
	if c.conn == nil {
		return
	}
	cn := c.conn
	c.node, c.conn = nil, nil
	cn.mu.Lock()
	over := cn.over
	cn.over = true
	cn.mu.Unlock()
	if !over {
		c.w.log.add("%s goes", cn.name)
		cn.client.Closed(namespace.ReasonTransportClose)
	}
}

// broadcast sends a numbered event to the namespace, or to a room.
func (c *conn) broadcast(room string) {
	if _, ok := c.in(); !ok {
		return
	}
	c.mu.Lock()
	c.sent++
	n := c.sent
	c.mu.Unlock()
	c.w.published(c, n, room)
	c.say(fmt.Sprintf(`2%s,["say",%q,%q,%d]`, c.full, room, c.name, n))
}

// room joins a room, or leaves it.
func (c *conn) room(name string) {
	if _, ok := c.in(); !ok {
		return
	}
	c.mu.Lock()
	_, in := c.rooms[name]
	if in {
		delete(c.rooms, name)
	} else {
		c.rooms[name] = time.Now()
	}
	c.mu.Unlock()
	verb := "join"
	if in {
		verb = "leave"
	}
	c.say(fmt.Sprintf(`2%s,[%q,%q]`, c.full, verb, name))
}
