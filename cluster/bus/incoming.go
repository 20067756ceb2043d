package bus

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/dynamicio/dynamicio/cluster/wire"
	"github.com/dynamicio/dynamicio/namespace"
)

// handle carries out what was received for a namespace, in its lane.
func (b *Bus) handle(sp *space, r received) {
	var err error
	if r.kind == chanRequest {
		err = b.request(sp, r.payload)
	} else {
		err = b.broadcast(sp, r.payload)
	}
	if err != nil {
		b.dropped(sp.full, err)
	}
}

// dropped counts and logs what could not be decoded. Errors of package wire hold nothing of the
// payload.
func (b *Bus) dropped(fullName string, err error) {
	if other, ok := errors.AsType[*wire.ForeignError](err); ok {
		b.foreign(other.Adapter)
		return
	}
	c := &b.stats.malformed
	if errors.Is(err, wire.ErrTooLarge) {
		c = &b.stats.tooLarge
	}
	if c.Add(1)%logEvery == 1 {
		b.log.Warn("bus: message dropped", "namespace", fullName, "error", err)
	}
}

// decodedLimit bounds what a message may take once it is decoded.
func (b *Bus) decodedLimit() int { return 8 * b.opts.MaxMessage }

func (b *Bus) broadcast(sp *space, payload []byte) error {
	m, err := wire.DecodeBroadcast(payload)
	if err != nil {
		return err
	}
	// The channels of /a#b look like those of rooms of /a.
	if strings.HasPrefix(m.UID, b.uid) || m.Nsp != sp.full || !b.addresses(sp, m.Rooms) {
		b.stats.ignored.Add(1)
		return nil
	}
	if sp.heard.late(m.UID) {
		b.stats.late.Add(1)
		return nil
	}
	msg, err := m.Message(sp.name, b.decodedLimit())
	if err != nil {
		return err
	}
	b.stats.delivered.Add(1)
	b.local.Deliver(msg)
	return nil
}

// request carries out a command or answers a question. We are among those that the one who asks
// counts, so every question is answered, also when there is nothing to say.
func (b *Bus) request(sp *space, payload []byte) error {
	q, err := wire.DecodeRequest(payload, b.decodedLimit())
	if err != nil {
		return err
	}
	if strings.HasPrefix(q.UID, b.uid) || !b.answers(sp, q) {
		b.stats.ignored.Add(1)
		return nil
	}
	if sp.heard.late(q.UID) {
		b.stats.late.Add(1)
		return nil
	}
	if q.Type == wire.TypeAllRooms {
		b.respond(sp, q, &wire.Response{Rooms: b.rooms(sp)})
		return nil
	}
	m, err := q.Message(sp.full, sp.name)
	if err != nil {
		return err
	}
	b.stats.delivered.Add(1)
	switch q.Type {
	case wire.TypeSockets, wire.TypeFetch:
		b.describe(sp, q, m)
	case wire.TypeJoin, wire.TypeLeave, wire.TypeDisconnect:
		b.command(sp, q, m)
	case wire.TypeServerSide:
		if q.ID == "" {
			sp.side.push(m, len(payload))
			return nil
		}
		b.answerAside(q, func(ctx context.Context) {
			var once sync.Once
			b.local.Answer(ctx, m, func(a namespace.Answer) {
				once.Do(func() { b.respond(sp, q, &wire.Response{Args: a.Args}) })
			})
		})
	case wire.TypeBroadcast:
		b.acknowledge(sp, q, m)
	}
	return nil
}

// rooms returns the rooms of a namespace on this node, sockets' own included.
func (b *Bus) rooms(sp *space) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	rooms := make([]string, 0, len(sp.rooms)+len(sp.sockets))
	for id := range sp.sockets {
		rooms = append(rooms, id)
	}
	for room := range sp.rooms {
		if sp.sockets[room] == nil {
			rooms = append(rooms, room)
		}
	}
	return rooms
}

func (b *Bus) describe(sp *space, q *wire.Request, m *namespace.Message) {
	r := &wire.Response{}
	var mu sync.Mutex // guards r: the calls of reply may overlap
	b.local.Answer(b.ctx, m, func(a namespace.Answer) {
		mu.Lock()
		defer mu.Unlock()
		r.Sockets = append(r.Sockets, a.Sockets...)
	})
	mu.Lock()
	defer mu.Unlock()
	for _, s := range r.Sockets {
		r.IDs = append(r.IDs, s.ID)
	}
	b.respond(sp, q, r)
}

// command makes sockets join, leave or go. In the old form it is for one socket, whose owner answers.
func (b *Bus) command(sp *space, q *wire.Request, m *namespace.Message) {
	if !q.Addressed && !b.owns(sp, q.SID) {
		return
	}
	b.local.Deliver(m)
	if !q.Addressed && q.ID != "" {
		b.respond(sp, q, &wire.Response{})
	}
}

// acknowledge passes a broadcast on to clients and their acknowledgements back. It returns when the
// event has been sent to them, so that what follows it in the lane stays behind it.
func (b *Bus) acknowledge(sp *space, q *wire.Request, m *namespace.Message) {
	sent := make(chan struct{})
	var once sync.Once
	began := b.answerAside(q, func(ctx context.Context) {
		defer once.Do(func() { close(sent) })
		b.local.Answer(ctx, m, func(a namespace.Answer) {
			if a.Args != nil {
				b.respond(sp, q, &wire.Response{Type: wire.TypeClientAck, Args: a.Args})
				return
			}
			b.respond(sp, q, &wire.Response{Type: wire.TypeClientCount, Clients: a.Clients})
			once.Do(func() { close(sent) })
		})
	})
	if began {
		<-sent
	}
}

// maxAnswerTime bounds how long a question may take, whatever the one who asks says.
const maxAnswerTime = 10 * time.Minute

// answerAside runs f in a goroutine of its own and says whether it does: not if there are too many.
func (b *Bus) answerAside(q *wire.Request, f func(context.Context)) bool {
	select {
	case b.aside <- struct{}{}:
	default:
		b.stats.busy.Add(1)
		return false
	}
	d := b.opts.AnswerTimeout
	if q.Timeout > 0 {
		d = min(q.Timeout, maxAnswerTime)
	}
	b.wg.Go(func() {
		defer func() { <-b.aside }()
		defer b.survive()
		ctx, cancel := context.WithTimeout(b.ctx, d)
		defer cancel()
		f(ctx)
	})
	return true
}

// maxUID bounds the part of a channel's name that another server chooses.
const maxUID = 64

func (b *Bus) encodeAnswer(q *wire.Request, r *wire.Response) ([]byte, error) {
	payload, err := wire.AppendResponse(nil, b.opts.Dialect, q.Type, r)
	if err == nil {
		err = b.checkSize(payload)
	}
	return payload, err
}

// bare describes sockets without what their clients chose, which may be large: otherwise some with long
// headers could keep all others from being seen. Rooms are left out last. Of the address, the
// version of the protocol stays: ids of old ones are secret.
func bare(sockets []namespace.SocketInfo, rooms bool) []namespace.SocketInfo {
	out := make([]namespace.SocketInfo, len(sockets))
	for i, s := range sockets {
		h := s.Handshake
		out[i] = namespace.SocketInfo{ID: s.ID, Node: s.Node, Transport: s.Transport, Handshake: namespace.HandshakeInfo{
			Time: h.Time, Address: h.Address, XDomain: h.XDomain, Secure: h.Secure, Issued: h.Issued,
		}}
		if rooms {
			out[i].Rooms = s.Rooms
		}
		if h.V2() {
			out[i].Handshake.URL = "?EIO=3"
		}
	}
	return out
}

// respond publishes an answer. It does not block.
func (b *Bus) respond(sp *space, q *wire.Request, r *wire.Response) {
	if q.ID == "" {
		return
	}
	r.ID, r.Node = q.ID, b.opts.NodeID
	payload, err := b.encodeAnswer(q, r)
	for step := 0; err != nil && len(r.Sockets) > 0 && step < 2; step++ {
		r.Sockets, r.Incomplete = bare(r.Sockets, step == 0), true
		payload, err = b.encodeAnswer(q, r)
	}
	if err != nil {
		b.log.Error("bus: answer cannot be sent", "namespace", sp.full, "error", err)
		// We are counted: an empty answer that says so is better than none.
		r = &wire.Response{ID: r.ID, Node: r.Node, Type: r.Type, Clients: r.Clients, Incomplete: true}
		if payload, err = wire.AppendResponse(nil, b.opts.Dialect, q.Type, r); err != nil {
			return
		}
	}
	// Everybody who asks listens to both channels; on its own, nobody else has to read the answer.
	channel := b.responseChannel(sp.full)
	if b.opts.Dialect == wire.Node && q.UID != "" && len(q.UID) <= maxUID {
		channel += q.UID + "#"
	}
	b.out.push(b, outItem{channel: channel, payload: payload})
}
