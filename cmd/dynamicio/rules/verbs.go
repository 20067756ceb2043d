package rules

import (
	"context"
	"errors"
	"strings"

	"github.com/dynamicio/dynamicio/namespace"
)

// result is what every event but echo is acknowledged with.
type result struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// verbs are the events that a client may send, but echo.
var verbs = map[string]func(*namespace.Event, *Rule) error{"join": join, "leave": leave, "broadcast": broadcast, "to": to}

// addVerbs answers the events of clients.
func (sp *space) addVerbs() {
	for event, do := range verbs {
		sp.ns.On(event, func(_ context.Context, e *namespace.Event) error {
			rule, err := sp.check(e)
			if err == nil {
				err = do(e, rule)
			}
			return sp.answer(e, err)
		})
	}
	sp.ns.On("echo", func(_ context.Context, e *namespace.Event) error {
		rule, err := sp.check(e)
		switch {
		case err != nil:
			return sp.answer(e, err)
		case !rule.Allow.Echo:
			return sp.answer(e, notAllowed(e))
		case e.WantsAck():
			return e.AckArgs(e.Args)
		}
		return e.Socket().EmitArgs("echo", e.Args)
	})
	sp.ns.OnAny(sp.unknown)
}

// unknown answers an event that is no verb: whoever brings a client of another
// server waits for its handlers otherwise, and nobody says that there are none.
func (sp *space) unknown(ctx context.Context, e *namespace.Event) error {
	if verbs[e.Name] != nil || e.Name == "echo" {
		return nil
	}
	_, err := sp.check(e)
	if err == nil {
		err = refuse(kindUnknown, "unknown event %q: this server answers %s", e.Name, strings.Join(Verbs, ", "))
	}
	sp.guard.log.DebugContext(ctx, "unknown event", "event", e.Name, "namespace", sp.ns.FullName(), "socket", e.Socket().ID())
	return sp.answer(e, err)
}

// check finds the rule for an event, and holds against its limits what all
// events have: their number and their size.
func (sp *space) check(e *namespace.Event) (*Rule, error) {
	rule := sp.rule()
	switch {
	case rule == nil:
		return nil, refuse(kindNamespace, "the namespace is refused by now")
	case !rule.Limits.mayEvent(e.Socket()):
		return nil, refuse(kindRate, "too many events: at most %v a second, and %d at once", rule.Limits.EventsPerSecond, rule.Limits.burst())
	case rule.Limits.EventBytes > 0 && e.Size() > rule.Limits.EventBytes:
		return nil, refuse(kindSize, "the event has %d bytes, at most %d are allowed", e.Size(), rule.Limits.EventBytes)
	}
	return rule, nil
}

// answer acknowledges with what became of an event. What went wrong is the
// client's own doing, and it may know.
func (sp *space) answer(e *namespace.Event, err error) error {
	r := result{OK: true}
	if err != nil {
		r = result{Error: sp.guard.refusals.count(err).Error()}
	}
	if err := e.Ack(r); err != nil && !errors.Is(err, namespace.ErrDisconnected) {
		return err
	}
	return nil
}

func notAllowed(e *namespace.Event) error {
	return refuse(kindVerb, "%s is not allowed in this namespace", e.Name)
}

func roomNotAllowed(e *namespace.Event, room string) error {
	return refuse(kindRoom, "%s is not allowed for the room %q", e.Name, room)
}

func join(e *namespace.Event, rule *Rule) error {
	room, err := name(e, 0, "room")
	if err != nil {
		return err
	}
	s := e.Socket()
	if !rule.Allow.Join.has(room, claimsOf(s)) {
		return roomNotAllowed(e, room)
	}
	if most := rule.Limits.Rooms; most > 0 && !s.InRoom(room) && len(s.Rooms()) >= most {
		return refuse(kindRooms, "a socket may be in %d rooms at most", most)
	}
	return s.Join(room)
}

func leave(e *namespace.Event, rule *Rule) error {
	room, err := name(e, 0, "room")
	switch {
	case err != nil:
		return err
	case !rule.Allow.Leave:
		return notAllowed(e)
	}
	e.Socket().Leave(room)
	return nil
}

func broadcast(e *namespace.Event, rule *Rule) error {
	event, err := name(e, 0, "event")
	switch {
	case err != nil:
		return err
	case !rule.Allow.Broadcast:
		return notAllowed(e)
	}
	return e.Socket().Broadcast().EmitArgs(event, e.From(1))
}

func to(e *namespace.Event, rule *Rule) error {
	room, err := name(e, 0, "room")
	if err != nil {
		return err
	}
	event, err := name(e, 1, "event")
	switch {
	case err != nil:
		return err
	case !rule.Allow.To.has(room, claimsOf(e.Socket())):
		return roomNotAllowed(e, room)
	}
	return e.Socket().To(room).EmitArgs(event, e.From(2))
}

// name reads an argument that names a room or an event.
func name(e *namespace.Event, i int, what string) (string, error) {
	var s *string
	if err := e.At(i).Bind(&s); err != nil || s == nil {
		return "", refuse(kindArguments, "argument %d must be the name of the %s", i+1, what)
	}
	return *s, nil
}
