package namespace

import (
	"context"
	"fmt"

	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

// add lets a socket in: it gets its CONNECT answer, and everything that is
// sent to the namespace from then on. Nothing comes between the two.
func (ns *Namespace) add(s *Socket) {
	var payload any // none for a v2 client
	if s.client.conn.Protocol() != 3 {
		payload = connectAnswer{s.id}
	}
	answer := mustEncode(packet.EncodeConnect(ns.name, payload))
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.reg.opts.Cluster.SocketEntered(ns.fullName, s.id)
	ns.sockets[s.id] = s
	if len(ns.sockets) == 1 {
		ns.reg.stats.occupied.Add(1)
	}
	s.admitted = true
	s.inside.Store(true)
	for room := range s.rooms { // joined in a middleware
		ns.enterLocked(s, room)
	}
	s.client.send(answer, frame.Flags{})
}

type connectAnswer struct {
	SID string `json:"sid"`
}

// mustEncode is for packets that cannot fail to encode: the decoder has let
// the namespace's name through, and the rest is ours.
func mustEncode(f *frame.Frame, err error) *frame.Frame {
	if err != nil {
		panic(err)
	}
	return f
}

// remove takes a socket out, and out of all its rooms.
func (ns *Namespace) remove(s *Socket) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	cost := 0
	for room := range s.rooms {
		cost += roomCost(room)
		if s.admitted {
			ns.leaveLocked(s, room)
		}
	}
	s.rooms = nil
	s.client.conn.Release(cost)
	if ns.sockets[s.id] == s {
		delete(ns.sockets, s.id)
		if len(ns.sockets) == 0 {
			ns.reg.stats.occupied.Add(-1)
		}
		ns.reg.opts.Cluster.SocketLeft(ns.fullName, s.id)
	}
}

// leaveLocked takes a socket out of a named room. ns.mu must be held.
func (ns *Namespace) leaveLocked(s *Socket, room string) {
	members := ns.rooms[room]
	delete(members, s)
	delete(s.rooms, room)
	if len(members) == 0 {
		delete(ns.rooms, room)
		ns.reg.opts.Cluster.LeaveRoom(ns.fullName, room)
	}
}

// Join adds the socket to rooms. When it returns, broadcasts to them reach
// it, from any node. It reports [ErrDisconnected] if the socket has gone and
// [ErrLimit] if it would be in too many rooms; it has then joined none of them.
//
// Where the wait for other nodes' broadcasts fails, the error says so; the
// socket is in the rooms then.
func (s *Socket) Join(rooms ...string) error {
	waits, err := s.enter(rooms)
	if err != nil {
		return err
	}
	for _, wait := range waits {
		if err := wait(s.Context()); err != nil {
			return fmt.Errorf("namespace: join a room of %s: %w", s.ns.fullName, err)
		}
	}
	return nil
}

// roomCost is what it takes to remember that a socket is in a room.
func roomCost(room string) int { return len(room) + 192 }

// enter is Join without its wait, which it returns.
func (s *Socket) enter(rooms []string) (waits []func(context.Context) error, err error) {
	ns := s.ns
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if s.gone.Load() {
		return nil, ErrDisconnected
	}
	total, cost := len(s.rooms), 0
	for _, room := range rooms {
		if len(room) > ns.reg.opts.MaxNameLength {
			return nil, fmt.Errorf("%w: room name of %d bytes, at most %d are allowed", ErrLimit, len(room), ns.reg.opts.MaxNameLength)
		}
		if _, in := s.rooms[room]; !in && room != s.id {
			total++
			cost += roomCost(room)
		}
	}
	if total > ns.reg.opts.MaxRooms {
		return nil, fmt.Errorf("%w: %d rooms of one socket", ErrLimit, ns.reg.opts.MaxRooms)
	}
	if cost > 0 && !s.client.conn.Reserve(cost) {
		return nil, fmt.Errorf("%w: memory for the rooms of one connection", ErrLimit)
	}
	for _, room := range rooms {
		if room == s.id {
			s.leftOwn = false
			continue
		}
		if _, in := s.rooms[room]; in {
			continue
		}
		if s.rooms == nil {
			s.rooms = make(map[string]struct{}, len(rooms))
		}
		s.rooms[room] = struct{}{}
		cost -= roomCost(room)
		if !s.admitted {
			continue // it is in the room once it is in the namespace
		}
		if wait := ns.enterLocked(s, room); wait != nil {
			waits = append(waits, wait)
		}
	}
	if cost > 0 { // a room was named twice
		s.client.conn.Release(cost)
	}
	return waits, nil
}

// enterLocked puts a socket of the namespace into a named room. ns.mu must be held.
func (ns *Namespace) enterLocked(s *Socket, room string) (wait func(context.Context) error) {
	members := ns.rooms[room]
	if members == nil {
		members = make(map[*Socket]struct{}, 1)
		if ns.rooms == nil {
			ns.rooms = make(map[string]map[*Socket]struct{})
		}
		ns.rooms[room] = members
	}
	members[s] = struct{}{}
	// Not only for the first: the others wait for its subscription too.
	return ns.reg.opts.Cluster.EnterRoom(ns.fullName, room)
}

// Leave takes the socket out of rooms. It may leave its own room too.
func (s *Socket) Leave(rooms ...string) {
	ns := s.ns
	ns.mu.Lock()
	defer ns.mu.Unlock()
	for _, room := range rooms {
		if room == s.id {
			s.leftOwn = true
		}
		if _, in := s.rooms[room]; !in {
			continue
		}
		if s.admitted {
			ns.leaveLocked(s, room)
		}
		delete(s.rooms, room)
		s.client.conn.Release(roomCost(room))
	}
}

// Rooms returns the rooms that the socket has joined, in no order and without
// its own.
func (s *Socket) Rooms() []string {
	s.ns.mu.RLock()
	defer s.ns.mu.RUnlock()
	rooms := make([]string, 0, len(s.rooms))
	for room := range s.rooms {
		rooms = append(rooms, room)
	}
	return rooms
}

// InRoom reports whether the socket is in a room.
func (s *Socket) InRoom(room string) bool {
	s.ns.mu.RLock()
	defer s.ns.mu.RUnlock()
	return s.inLocked(room)
}

// inLocked is InRoom. ns.mu must be held.
func (s *Socket) inLocked(room string) bool {
	if room == s.id {
		return !s.leftOwn
	}
	_, in := s.rooms[room]
	return in
}

// eachLocked calls f once for every socket that is addressed. ns.mu must be held.
func (ns *Namespace) eachLocked(to target, f func(*Socket)) {
	visit, rooms := f, to.rooms
	if to.sender != nil || len(to.except) > 0 {
		visit = func(s *Socket) {
			if s == to.sender {
				return
			}
			for _, room := range to.except {
				if s.inLocked(room) {
					return
				}
			}
			f(s)
		}
	}
	switch len(rooms) {
	case 0:
		for _, s := range ns.sockets {
			visit(s)
		}
	case 1:
		ns.eachInLocked(rooms[0], visit)
	default:
		seen := make(map[*Socket]struct{})
		for _, room := range rooms {
			ns.eachInLocked(room, func(s *Socket) {
				if _, again := seen[s]; !again {
					seen[s] = struct{}{}
					visit(s)
				}
			})
		}
	}
}

// eachInLocked calls visit for every socket in one room, which may be some
// socket's own. ns.mu must be held.
func (ns *Namespace) eachInLocked(room string, visit func(*Socket)) {
	members := ns.rooms[room]
	for s := range members {
		visit(s)
	}
	if own := ns.sockets[room]; own != nil && !own.leftOwn {
		if _, twice := members[own]; !twice {
			visit(own)
		}
	}
}
