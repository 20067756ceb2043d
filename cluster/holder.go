package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// maxWork is how many namespaces, or nodes, one script of the lease holder looks at: about
// two milliseconds of Redis's time.
const maxWork = 100

// Gate says whether the cluster may decide anything at present.
type Gate int

// What holds decisions up.
const (
	Decided   Gate = iota // nothing
	Unsettled             // the era began less than a node TTL ago
	Asserting             // a session has not said yet what it has
	Postponed             // Redis stood still, or nobody watched, until just now
)

func (g Gate) String() string {
	switch g {
	case Decided:
		return "decided"
	case Unsettled:
		return "unsettled"
	case Asserting:
		return "asserting"
	case Postponed:
		return "postponed"
	}
	return "unknown"
}

// Retirement is one retired incarnation.
type Retirement struct {
	FullName string
	Epoch    uint64
	Late     time.Duration // how long after its time, by Redis's clock
}

// Decision is what a call of the lease holder came to.
type Decision struct {
	// Gate says whether anything could be decided.
	Gate Gate
	// Wait is when to ask again: 0 for at once, negative if only a notice will tell.
	Wait time.Duration
	// Retired are the namespaces that Retire retired; all nodes are told.
	Retired []Retirement
	// Evicted are the nodes whose sessions Evict ended.
	Evicted []string
}

// Retire retires up to a hundred namespaces that have been empty for long enough. It
// takes the lease holder's token, and returns [lease.ErrLost] if that is not the lease's.
func (s *Session) Retire(ctx context.Context, token uint64) (Decision, error) {
	k := s.dir.keys
	d, rest, err := s.decide(ctx, &call{script: retireScript,
		keys: []string{k.sessions, k.era, k.lease, k.asserting, k.due, k.namespaces, k.control},
		args: []any{s.dir.opts.Node, s.number, s.era, token, maxWork, k.nsPrefix}})
	for ; len(rest) >= 3; rest = rest[3:] {
		name, ok := rest[0].(string)
		epoch, ok2 := rest[1].(int64)
		late, ok3 := rest[2].(int64)
		if !ok || !ok2 || !ok3 {
			err = &Error{Op: "retire", Err: fmt.Errorf("the script says %v", rest)}
			s.end(err)
			return Decision{}, err
		}
		d.Retired = append(d.Retired, Retirement{name, uint64(epoch), time.Duration(late) * time.Microsecond})
	}
	return d, err
}

// Evict ends the sessions of nodes that were silent past their TTL. The lease
// holder must call it at least three times in a node TTL: a longer gap counts as a stall
// and postpones all eviction. Token as in [Session.Retire].
func (s *Session) Evict(ctx context.Context, token uint64) (Decision, error) {
	k := s.dir.keys
	d, rest, err := s.decide(ctx, &call{script: evictScript,
		keys: []string{k.sessions, k.era, k.lease, k.asserting, k.nodes, k.stale, k.control},
		args: []any{s.dir.opts.Node, s.number, token, maxWork, k.nodePrefix, k.leftPrefix}})
	for _, v := range rest {
		if id, ok := v.(string); ok {
			d.Evicted = append(d.Evicted, id)
		}
	}
	return d, err
}

// decide runs a script that returns {gate, wait in us, ...}.
func (s *Session) decide(ctx context.Context, c *call) (Decision, []any, error) {
	if err := s.do(ctx, c); err != nil {
		return Decision{}, nil, err
	}
	res, err := c.cmd.Slice()
	if err == nil && len(res) >= 2 {
		gate, ok := res[0].(int64)
		wait, ok2 := res[1].(int64)
		if ok && ok2 {
			return Decision{Gate: Gate(gate), Wait: time.Duration(wait) * time.Microsecond}, res[2:], nil
		}
	}
	err = &Error{Op: c.script.name, Err: errors.Join(err, fmt.Errorf("the script says %v", res))}
	s.end(err)
	return Decision{}, nil, err
}

// Swept is what a call of Sweep came to.
type Swept struct {
	More        bool // there is more to do, at once
	Memberships int  // removed, of sessions that do not stand
	Forgotten   int  // namespaces of a former era
}

// Sweep looks at up to a hundred namespaces and removes what ended sessions and former
// eras have left. Token as in [Session.Retire].
func (s *Session) Sweep(ctx context.Context, token uint64) (Swept, error) {
	k := s.dir.keys
	c := &call{script: sweepScript,
		keys: []string{k.sessions, k.era, k.lease, k.stale, k.due, k.namespaces},
		args: []any{s.dir.opts.Node, s.number, s.era, token, maxWork, k.nsPrefix, k.leftPrefix}}
	if err := s.do(ctx, c); err != nil {
		return Swept{}, err
	}
	res, err := s.ints(c, 3)
	if err != nil {
		return Swept{}, err
	}
	return Swept{More: res[0] == 1, Memberships: int(res[1]), Forgotten: int(res[2])}, nil
}
