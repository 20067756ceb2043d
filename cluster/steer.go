package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
)

// Retime gives a namespace another retirement time. If it is empty everywhere, that
// counts now; see retime.lua for what counts where nodes disagree.
type Retime struct {
	FullName   string
	Epoch      uint64        // of the incarnation that is meant
	Retirement time.Duration // negative: it is permanent

	// Current is the answer: Epoch, or 0 if that incarnation does not stand.
	Current uint64
	// Empty is the answer, too: nobody is in it, so that its end has changed.
	Empty bool
}

func (r *Retime) call(s *Session) *call {
	k, node := s.dir.keys, s.dir.opts.Node
	return &call{script: retimeScript,
		keys: []string{k.sessions, k.era, k.ns(r.FullName), k.due, k.control},
		args: []any{node, s.number, s.era, r.FullName, r.Epoch, millis(r.Retirement)}}
}

func (r *Retime) answer(s *Session, c *call) error {
	res, err := s.ints(c, 2)
	if err == nil {
		r.Current, r.Empty = uint64(res[0]), res[1] == 1
	}
	return err
}

// Dismissal is what became of a [Dismiss].
type Dismissal int

// The answers to a [Dismiss].
const (
	NotStanding Dismissal = iota // there is no such namespace
	Dismissed                    // it is due now
	Occupied                     // it has members
	Permanent                    // it never retires
)

// Dismiss lets an empty namespace retire now instead of when its time is over. The lease
// holder is told; who joins before it has decided calls the dismissal off.
type Dismiss struct {
	FullName string

	// Epoch is the answer: the incarnation that stands, 0 if there is none.
	Epoch uint64
	// Dismissal is the answer, too.
	Dismissal Dismissal
}

func (d *Dismiss) call(s *Session) *call {
	k, node := s.dir.keys, s.dir.opts.Node
	return &call{script: dismissScript,
		keys: []string{k.sessions, k.era, k.ns(d.FullName), k.due, k.control},
		args: []any{node, s.number, s.era, d.FullName}}
}

func (d *Dismiss) answer(s *Session, c *call) error {
	res, err := s.ints(c, 2)
	if err == nil {
		d.Epoch, d.Dismissal = uint64(res[0]), Dismissal(res[1])
	}
	return err
}

// SetRetirement says that a namespace which is empty on this node has another
// retirement time. The directory is told when it can be.
func (m *Member) SetRetirement(fullName string, retirement time.Duration) {
	m.mu.Lock()
	if e := m.entries[fullName]; e != nil && !e.wanted && e.epoch != 0 {
		e.retirement = retirement
		if !e.dirty { // otherwise what is yet to be told says it
			e.retimed = true
			m.markLocked(e)
		}
	}
	m.mu.Unlock()
	m.poke()
}

// Dismiss asks the directory to let an empty namespace retire now; see
// [namespace.Cluster]. While the node has no session it returns [ErrAway].
func (m *Member) Dismiss(ctx context.Context, fullName string) error {
	s := m.current()
	if s == nil {
		return ErrAway
	}
	op := &Dismiss{FullName: fullName}
	if err := s.Do(ctx, op); err != nil {
		return fmt.Errorf("cluster: dismiss %q: %w", fullName, err)
	}
	switch op.Dismissal {
	case NotStanding:
		return namespace.ErrUnknown
	case Occupied:
		return namespace.ErrOccupied
	case Permanent:
		return namespace.ErrPermanent
	}
	return nil
}

// SetRetirement implements [namespace.Cluster].
func (c *Cluster) SetRetirement(fullName string, _ uint64, retirement time.Duration) {
	c.member.SetRetirement(fullName, retirement)
}

// Dismiss implements [namespace.Cluster].
func (c *Cluster) Dismiss(ctx context.Context, fullName string) error {
	return c.member.Dismiss(ctx, fullName)
}
