package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dynamicio/dynamicio/lease"
	"github.com/redis/go-redis/v9"
)

// Session is one registration of a node. Its calls go out over one connection, one
// after the other. An error other than [lease.ErrLost] or one of the caller's context before
// the call went out ends the session: every later call returns [ErrFenced]. Its
// methods may be called from any goroutine; those that talk to Redis wait for their turn.
type Session struct {
	dir    *Directory
	conn   *redis.Conn
	number uint64
	era    uint64
	newEra bool
	runID  string // of the server, as it says; empty with Options.ServerID

	// turn holds one token, which whoever uses conn has put there. It is a channel,
	// not a lock, since network calls are made meanwhile and waiting must end with a context.
	turn  chan struct{}
	ended chan struct{} // closed with err set

	// mu guards the fields below. It is a leaf, held for no call.
	mu   sync.Mutex
	err  error     // why the session has ended; nil while it has not
	beat time.Time // when the last successful heartbeat was sent
}

// Number is the session's number; it is higher than that of every session before.
func (s *Session) Number() uint64 { return s.number }

// Era is the era that the session belongs to; it stands only as long as that lasts.
func (s *Session) Era() uint64 { return s.era }

// NewEra reports whether it was this registration that began the era.
func (s *Session) NewEra() bool { return s.newEra }

// Ended is closed when the session has ended as far as this node knows.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// Err is why the session has ended, nil while it has not.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Fresh reports whether this node may count on not being evicted yet: by its own
// monotonic clock, its last successful heartbeat was sent less than the node TTL ago. A node
// that is not fresh admits nobody.
func (s *Session) Fresh() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err == nil && time.Since(s.beat) < s.dir.opts.NodeTTL
}

// sinceBeat is how long ago the last successful heartbeat was sent.
func (s *Session) sinceBeat() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.beat)
}

// Close ends the session on this side and closes its connection. In Redis it stands until it
// is replaced, deregistered or evicted.
func (s *Session) Close() {
	s.end(ErrFenced)
	s.turn <- struct{}{} // a call under way ends within its timeout
	s.conn.Close()
	<-s.turn
}

func (s *Session) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		close(s.ended)
	}
}

// do sends calls in one write, and waits for all answers. The error is the first of
// any of them. Once the calls go out, ctx no more ends the wait (a timeout does): what
// is under way must not be overtaken.
func (s *Session) do(ctx context.Context, calls ...*call) error {
	select {
	case s.turn <- struct{}{}:
	case <-s.ended:
		return ErrFenced
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turn }()
	if s.Err() != nil {
		return ErrFenced
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.dir.opts.Timeout)
	defer cancel()
	sent := time.Now()
	// The error is looked at call by call.
	_, _ = s.conn.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, c := range calls {
			c.cmd = p.EvalSha(ctx, c.script.sha, c.keys, c.args...)
		}
		return nil
	})
	took := time.Since(sent)
	var err error
	for _, c := range calls {
		if err = verdict(c); err != nil {
			break
		}
	}
	s.dir.opts.Observer.command(calls, took, err)
	if err != nil && !errors.Is(err, lease.ErrLost) {
		s.end(err)
	}
	return err
}

// verdict tells refusals from missing answers.
func verdict(c *call) error {
	err := c.cmd.Err()
	switch {
	case err == nil:
		return nil
	case redis.HasErrorPrefix(err, "FENCED"):
		return ErrFenced
	case redis.HasErrorPrefix(err, "LOST"):
		return lease.ErrLost
	}
	return &Error{Op: c.script.name, Err: err}
}

// ints is the answer of a script that returns at least n numbers. Another answer is
// none, and ends the session.
func (s *Session) ints(c *call, n int) ([]int64, error) {
	res, err := c.cmd.Int64Slice()
	if err == nil && len(res) < n {
		err = errors.New("too few values from the script")
	}
	if err != nil {
		err = &Error{Op: c.script.name, Err: err}
		s.end(err)
	}
	return res, err
}

// Beat is what a node says in a heartbeat.
type Beat struct {
	// Done ends the assertions of the session: the answer to the last one is there.
	// Once said, it stays said.
	Done bool
	// Address is where clients reach the node, if it was not known at the
	// registration or has changed; empty leaves it.
	Address string
	// Draining shows on the status page.
	Draining bool
	// Counters are shown on the status page, by name.
	Counters map[string]int64
	// Trend is shown there, too; empty leaves what was said before.
	Trend string
	// Notes are sentences, one a line, on what the node has found wrong with its surroundings; shown there, too.
	Notes string
}

// Heartbeat says that the node lives.
func (s *Session) Heartbeat(ctx context.Context, b Beat) error {
	k, node := s.dir.keys, s.dir.opts.Node
	args := []any{node, s.number, flag(b.Done), "draining", flag(b.Draining), "notes", b.Notes}
	if b.Address != "" {
		args = append(args, "address", b.Address)
	}
	if b.Trend != "" {
		args = append(args, "trend", b.Trend)
	}
	for name, n := range b.Counters {
		args = append(args, counterField+name, n)
	}
	sent := time.Now()
	err := s.do(ctx, &call{script: heartbeatScript, args: args,
		keys: []string{k.sessions, k.asserting, k.nodes, k.node(node), k.control}})
	if err == nil {
		s.mu.Lock()
		s.beat = sent
		s.mu.Unlock()
	}
	return err
}

// Deregister leaves the cluster, and ends the session. Namespaces in which the node was
// still a member are empty when the lease holder has swept them.
func (s *Session) Deregister(ctx context.Context) error {
	k, node := s.dir.keys, s.dir.opts.Node
	err := s.do(ctx, &call{script: deregisterScript, args: []any{node, s.number, k.leftPrefix},
		keys: []string{k.sessions, k.asserting, k.nodes, k.stale, k.node(node), k.nodeNamespaces(node), k.control}})
	if err == nil {
		s.end(ErrFenced)
	}
	return err
}

// flag is a boolean as the scripts take it.
func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
