package cluster

import (
	"context"
	"time"
)

// Op is a command of a node for one namespace: a [Join], a [Leave] or an [Assert]. It
// is given to [Session.Do], which fills in its answer.
type Op interface {
	call(s *Session) *call
	answer(s *Session, c *call) error
}

// Join makes the node a member: it has its first socket there.
type Join struct {
	FullName string
	// Retirement is for the incarnation if it is new. Negative: it is permanent.
	Retirement time.Duration

	// Epoch is the answer: the incarnation that stands.
	Epoch uint64
	// Born is the answer, too: the incarnation is new.
	Born bool
}

// Leave says that the node's last socket is gone.
type Leave struct {
	FullName string
	// Retirement is how long the namespace stays if this leaves it empty. Negative:
	// for ever, it is permanent.
	Retirement time.Duration

	// Epoch is the answer: the incarnation that stands, 0 if there is none.
	Epoch uint64
	// Empty is the answer, too: nobody is in it any more, anywhere.
	Empty bool
}

// Standing is what became of an asserted incarnation.
type Standing int

// The answers to an [Assert].
const (
	// Retired: an empty incarnation that was confirmed in this era does not stand any more. It
	// expires here.
	Retired Standing = iota
	// Stands: it stands, under the epoch of the answer: its own, or that of the one that
	// continues it since the data was lost.
	Stands
	// Replaced: another incarnation stands. An occupied one goes on under its epoch, nobody is
	// dropped; an empty one expires.
	Replaced
	// Restored: there was none, and now it stands again, under a fresh epoch.
	Restored
)

func (s Standing) String() string {
	switch s {
	case Retired:
		return "retired"
	case Stands:
		return "stands"
	case Replaced:
		return "replaced"
	case Restored:
		return "restored"
	}
	return "unknown"
}

// Assert says which incarnation the node has, and asks what became of it.
type Assert struct {
	FullName string
	// Epoch is the local incarnation's, 0 if it was made while Redis was away.
	Epoch uint64
	// Confirmed is the era in which a join or an assert last answered Epoch; 0 if none did.
	Confirmed uint64
	// Occupied: the node has sockets in it, or on their way in. It becomes a member.
	Occupied bool
	Sockets  int
	// Retirement in whole milliseconds; negative: the namespace is permanent.
	Retirement time.Duration

	// Current is the answer: the epoch that stands, 0 with Retired.
	Current uint64
	// Standing is the answer, too.
	Standing Standing
}

// Do sends ops in one write, in order, and waits for their answers. After an error
// none of the answers counts. A few hundred in a call are well; each takes Redis some
// 20 microseconds, and other nodes' commands come in between.
func (s *Session) Do(ctx context.Context, ops ...Op) error {
	if len(ops) == 0 {
		return nil
	}
	calls := make([]*call, len(ops))
	for i, op := range ops {
		calls[i] = op.call(s)
	}
	if err := s.do(ctx, calls...); err != nil {
		return err
	}
	for i, op := range ops {
		if err := op.answer(s, calls[i]); err != nil {
			return err
		}
	}
	return nil
}

func (j *Join) call(s *Session) *call {
	k, node := s.dir.keys, s.dir.opts.Node
	return &call{script: joinScript,
		keys: []string{k.sessions, k.clock, k.ns(j.FullName), k.namespaces, k.due, k.nodeNamespaces(node)},
		args: []any{node, s.number, s.era, j.FullName, millis(j.Retirement), s.dir.seen.Load()}}
}

func (j *Join) answer(s *Session, c *call) error {
	res, err := s.ints(c, 2)
	if err == nil {
		j.Epoch, j.Born = uint64(res[0]), res[1] == 1
		s.dir.saw(j.Epoch)
	}
	return err
}

func (l *Leave) call(s *Session) *call {
	k, node := s.dir.keys, s.dir.opts.Node
	return &call{script: leaveScript,
		keys: []string{k.sessions, k.era, k.ns(l.FullName), k.due, k.nodeNamespaces(node), k.control},
		args: []any{node, s.number, s.era, l.FullName, millis(l.Retirement)}}
}

func (l *Leave) answer(s *Session, c *call) error {
	res, err := s.ints(c, 2)
	if err == nil {
		l.Epoch, l.Empty = uint64(res[0]), res[1] == 1
		s.dir.saw(l.Epoch)
	}
	return err
}

func (a *Assert) call(s *Session) *call {
	k, node := s.dir.keys, s.dir.opts.Node
	return &call{script: assertScript,
		keys: []string{k.sessions, k.clock, k.era, k.ns(a.FullName), k.namespaces, k.due, k.nodeNamespaces(node)},
		args: []any{node, s.number, s.era, a.FullName, a.Epoch, a.Confirmed,
			flag(a.Occupied), a.Sockets, millis(a.Retirement)}}
}

func (a *Assert) answer(s *Session, c *call) error {
	res, err := s.ints(c, 2)
	if err == nil {
		a.Current, a.Standing = uint64(res[0]), Standing(res[1])
		s.dir.saw(a.Current)
	}
	return err
}

// Count is how many sockets the node has in a namespace of which it is a member.
type Count struct {
	FullName   string
	Sockets    int
	Retirement time.Duration // as set by now; negative: permanent
}

// maxCounts is how many namespaces one script looks at.
const maxCounts = 200

// Counts says how many sockets the node has where. Those of namespaces that it is no member
// of are dropped.
func (s *Session) Counts(ctx context.Context, counts []Count) error {
	k, node := s.dir.keys, s.dir.opts.Node
	var calls []*call
	for len(counts) > 0 {
		n := min(len(counts), maxCounts)
		args := []any{node, s.number, k.nsPrefix}
		for _, c := range counts[:n] {
			args = append(args, c.FullName, c.Sockets, millis(c.Retirement))
		}
		calls = append(calls, &call{script: countsScript, keys: []string{k.sessions}, args: args})
		counts = counts[n:]
	}
	if calls == nil {
		return nil
	}
	return s.do(ctx, calls...)
}

// millis is a retirement as the scripts take it. It rounds up: a namespace that is retired
// too early breaks a promise.
func millis(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}
