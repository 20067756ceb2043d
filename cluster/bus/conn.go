package bus

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// conn is one connection to Redis, in protocol RESP2. One goroutine reads and one
// writes; close may be called from any.
type conn struct {
	nc      net.Conn
	r       *bufio.Reader
	w       *bufio.Writer
	timeout time.Duration
	runID   string // of the server; empty if it does not say
	scratch []byte // a channel's name
}

// dial connects as the client would, to one server, and logs in. role is part of the
// connection's name in CLIENT LIST.
func (b *Bus) dial(role string) (*conn, error) {
	ctx, cancel := context.WithTimeout(b.ctx, b.opts.ReplyTimeout)
	defer cancel()
	o, err := b.address(ctx)
	if err != nil {
		return nil, err
	}
	nc, err := o.Dialer(ctx, o.Network, o.Addr)
	if err != nil {
		return nil, fmt.Errorf("bus: connect: %w", err)
	}
	c := &conn{nc: nc, r: bufio.NewReaderSize(nc, 64<<10), w: bufio.NewWriterSize(nc, 64<<10), timeout: b.opts.ReplyTimeout}
	stop := context.AfterFunc(ctx, c.close)
	defer stop()
	if err := b.greet(ctx, c, o, role); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// greet logs in, names the connection and finds out which server it leads to.
func (b *Bus) greet(ctx context.Context, c *conn, o *redis.Options, role string) error {
	c.discardOnClose()
	if err := c.login(ctx, o); err != nil {
		return err
	}
	// The name is for people; a Redis user may be forbidden to set it. Any other error, such as that
	// of a server with too many clients, is about the connection.
	if name := "dynamicio:" + b.opts.NodeID + ":" + role; !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		if _, err := c.call("CLIENT", "SETNAME", name); err != nil && !isForbidden(err) {
			return fmt.Errorf("bus: CLIENT SETNAME: %w", err)
		}
	}
	var err error
	if c.runID, err = c.serverRunID(); err != nil {
		return fmt.Errorf("bus: INFO server: %w", err)
	}
	return b.checkServer(c)
}

// isForbidden reports whether Redis knows the command and denies it to this user.
func isForbidden(err error) bool {
	said, ok := errors.AsType[redisError](err)
	return ok && (strings.HasPrefix(string(said), "NOPERM") || strings.HasPrefix(string(said), "ERR unknown"))
}

// discardOnClose makes the kernel forget, when the connection is closed, what it has not delivered. A
// connection is only closed in haste when it is broken, and what it still held would be
// published late, behind newer messages of the next connection.
func (c *conn) discardOnClose() {
	nc := c.nc
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	if l, ok := nc.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0) // without it the receivers still drop what is late, see stale
	}
}

// address returns the options of the server that both connections go to.
func (b *Bus) address(ctx context.Context) (*redis.Options, error) {
	switch c := b.opts.Client.(type) {
	case *redis.Client:
		return c.Options(), nil
	case *redis.ClusterClient:
		m, err := c.MasterForKey(ctx, b.probe.channel)
		if err != nil {
			return nil, fmt.Errorf("bus: find a master: %w", err)
		}
		return m.Options(), nil
	}
	return nil, fmt.Errorf("bus: clients of type %T are not supported", b.opts.Client)
}

// login authenticates in the order of preference that go-redis has.
func (c *conn) login(ctx context.Context, o *redis.Options) error {
	user, password := o.Username, o.Password
	switch {
	case o.StreamingCredentialsProvider != nil:
		return errors.New("bus: streaming credentials are not supported")
	case o.CredentialsProviderContext != nil:
		var err error
		if user, password, err = o.CredentialsProviderContext(ctx); err != nil {
			return fmt.Errorf("bus: credentials: %w", err)
		}
	case o.CredentialsProvider != nil:
		user, password = o.CredentialsProvider()
	}
	args := []string{"AUTH", user, password}
	switch {
	case user == "" && password == "":
		return nil
	case user == "":
		args = []string{"AUTH", password}
	}
	_, err := c.call(args...)
	if said, ok := errors.AsType[redisError](err); ok && strings.Contains(string(said), "without any password configured") {
		return nil // one that is not needed; go-redis lets that pass, too
	}
	return err
}

func (c *conn) close() { c.nc.Close() }

// call sends a command and returns its reply, which is no array.
func (c *conn) call(args ...string) (int, error) {
	c.begin()
	c.command(len(args))
	for _, a := range args {
		c.arg(a)
	}
	if err := c.flush(); err != nil {
		return 0, err
	}
	c.nc.SetReadDeadline(time.Now().Add(c.timeout))
	defer c.nc.SetReadDeadline(time.Time{})
	return c.reply()
}

// serverRunID asks the server which process it is; empty if it does not say.
func (c *conn) serverRunID() (string, error) {
	c.begin()
	c.command(2)
	c.arg("INFO")
	c.arg("server")
	if err := c.flush(); err != nil {
		return "", err
	}
	c.nc.SetReadDeadline(time.Now().Add(c.timeout))
	defer c.nc.SetReadDeadline(time.Time{})
	if err := c.bulk(); err != nil {
		if isForbidden(err) {
			return "", nil
		}
		return "", err
	}
	for line := range strings.Lines(string(c.scratch)) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "run_id:"); ok {
			return id, nil
		}
	}
	return "", nil
}

// command begins a command of n parts, which follow by arg and bytes.
func (c *conn) command(n int) {
	c.w.WriteByte('*')
	c.w.Write(strconv.AppendInt(c.w.AvailableBuffer(), int64(n), 10))
	c.w.WriteString("\r\n")
}

func (c *conn) arg(s string) {
	c.head(len(s))
	c.w.WriteString(s)
	c.w.WriteString("\r\n")
}

func (c *conn) bytes(b []byte) {
	c.head(len(b))
	c.w.Write(b)
	c.w.WriteString("\r\n")
}

func (c *conn) head(n int) {
	c.w.WriteByte('$')
	c.w.Write(strconv.AppendInt(c.w.AvailableBuffer(), int64(n), 10))
	c.w.WriteString("\r\n")
}

// begin starts the time that writing may take, up to flush. Errors of the writes between
// show up in flush.
func (c *conn) begin() { c.nc.SetWriteDeadline(time.Now().Add(c.timeout)) }

func (c *conn) flush() error { return c.w.Flush() }

// line reads up to the end of a line, which is valid until the next read.
func (c *conn) line() ([]byte, error) {
	b, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(b) < 3 || b[len(b)-2] != '\r' {
		return nil, errProtocol
	}
	return b[:len(b)-2], nil
}

var errProtocol = errors.New("bus: Redis sent what is no reply")

// reply reads a status, an error or an integer.
func (c *conn) reply() (int, error) {
	b, err := c.line()
	if err != nil {
		return 0, err
	}
	switch b[0] {
	case '+':
		return 0, nil
	case '-':
		return 0, redisError(b[1:])
	case ':':
		return atoi(b[1:])
	}
	return 0, errProtocol
}

// subscribed asks whether somebody is subscribed to each of the channels.
func (c *conn) subscribed(channels []string) (all bool, err error) {
	c.begin()
	c.command(2 + len(channels))
	c.arg("PUBSUB")
	c.arg("NUMSUB")
	for _, name := range channels {
		c.arg(name)
	}
	if err := c.flush(); err != nil {
		return false, err
	}
	c.nc.SetReadDeadline(time.Now().Add(c.timeout))
	defer c.nc.SetReadDeadline(time.Time{})
	n, err := c.size('*')
	if err != nil {
		return false, err
	}
	all = true
	for range n / 2 {
		if err := c.bulk(); err != nil {
			return false, err
		}
		subscribers, err := c.reply()
		if err != nil {
			return false, err
		}
		all = all && subscribers > 0
	}
	return all, nil
}

// numSub reads the reply to PUBSUB NUMSUB of one channel.
func (c *conn) numSub() (int, error) {
	b, err := c.line()
	if err != nil {
		return 0, err
	}
	if b[0] == '-' {
		return 0, redisError(b[1:])
	}
	if string(b) != "*2" {
		return 0, errProtocol
	}
	if err := c.bulk(); err != nil {
		return 0, err
	}
	return c.reply()
}

// size reads the head of a bulk string or array; -1 is a null.
func (c *conn) size(kind byte) (int, error) {
	b, err := c.line()
	if err != nil {
		return 0, err
	}
	if b[0] == '-' {
		return 0, redisError(b[1:])
	}
	if b[0] != kind {
		return 0, errProtocol
	}
	return atoi(b[1:])
}

// maxBulk bounds the name of a channel, and what INFO says, in bytes.
const maxBulk = 1 << 20

// bulk reads a short bulk string into c.scratch.
func (c *conn) bulk() error {
	n, err := c.size('$')
	if err != nil {
		return err
	}
	if n > maxBulk {
		return errProtocol
	}
	c.scratch = c.scratch[:0]
	if n < 0 {
		return nil
	}
	if cap(c.scratch) < n {
		c.scratch = make([]byte, n, 2*n)
	}
	c.scratch = c.scratch[:n]
	if _, err := io.ReadFull(c.r, c.scratch); err != nil {
		return err
	}
	_, err = c.r.Discard(len("\r\n"))
	return err
}

// push is what Redis sends to a subscriber.
type push struct {
	kind    pushKind
	payload []byte // of a message; nil with size set if it is too large
	size    int
}

type pushKind uint8

const (
	pushOther pushKind = iota
	pushMessage
	pushSubscribed
	pushUnsubscribed
)

// push reads the next one; c.scratch is its channel. A payload of more than limit bytes is
// skipped.
func (c *conn) push(limit int) (p push, err error) {
	n, err := c.size('*')
	if err != nil {
		return p, err
	}
	if n != 3 {
		return p, errProtocol
	}
	if err := c.bulk(); err != nil { // its kind, for now
		return p, err
	}
	switch string(c.scratch) {
	case "message":
		p.kind = pushMessage
	case "subscribe":
		p.kind = pushSubscribed
	case "unsubscribe":
		p.kind = pushUnsubscribed
	}
	if err := c.bulk(); err != nil {
		return p, err
	}
	if p.kind != pushMessage {
		_, err := c.reply()
		return p, err
	}
	if p.size, err = c.size('$'); err != nil {
		return p, err
	}
	if p.size < 0 || p.size > limit {
		_, err = c.r.Discard(max(p.size, 0) + len("\r\n"))
		return p, err
	}
	p.payload = make([]byte, p.size)
	if _, err := io.ReadFull(c.r, p.payload); err != nil {
		return p, err
	}
	_, err = c.r.Discard(len("\r\n"))
	return p, err
}

func atoi(b []byte) (int, error) {
	n := 0
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 18 {
		return 0, errProtocol
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, errProtocol
		}
		n = n*10 + int(c-'0')
	}
	if neg {
		n = -n
	}
	return n, nil
}
