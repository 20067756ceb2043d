package engineio

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// slowestPace is the longest time between two closes of Shed: a few clients
// that come back are no stampede, and need not be waited for.
const slowestPace = 50 * time.Millisecond

// Shed drains the server and ends its sessions one after the other, in random
// order: spread evenly over a time, with jitter, but not slower than 20 a second.
// A session goes on until its turn comes. Shed returns when none is left, when
// the last have had a moment to hear of their end, or when ctx ends; Close then
// ends the rest.
func (s *Server) Shed(ctx context.Context, over time.Duration) {
	s.Drain()
	all := slices.Collect(s.Conns())
	if len(all) == 0 {
		return
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	pace := min(over/time.Duration(len(all)), slowestPace)
	begun := s.now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i, c := range all {
		turn := begun + time.Duration(i)*pace + time.Duration(rand.Int64N(int64(pace)+1))
		if wait := turn - s.now(); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		}
		c.end(ReasonServerShutdown, endShed)
	}
	timer.Reset(closeGrace)
	select {
	case <-s.vacated():
	case <-timer.C:
	case <-ctx.Done():
	}
}

// vacated returns a channel that is closed once no session is in the table.
// The server is draining, so that none is added.
func (s *Server) vacated() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.vacant == nil {
		s.vacant = make(chan struct{})
		if len(s.conns) == 0 {
			close(s.vacant)
		}
	}
	return s.vacant
}
