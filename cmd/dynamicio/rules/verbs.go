package rules

import (
	"context"
	"errors"

	"github.com/dynamicio/dynamicio/namespace"
)

// result is what every event but echo is acknowledged with.
type result struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// addVerbs answers the events that clients of the program may send.
func (sp *space) addVerbs() {
	for event, do := range map[string]func(*namespace.Event, *Rule) error{
		"join": join, "leave": leave, "broadcast": broadcast, "to": to,
	} {
		sp.ns.On(event, func(_ context.Context, e *namespace.Event) error {
			rule, err := sp.check(e)
			if err == nil {
				err = do(e, rule)
			}
			return answer(e, err)
		})
	}
	sp.ns.On("echo", func(_ context.Context, e *namespace.Event) error {
		rule, err := sp.check(e)
		switch {
		case err != nil:
			return answer(e, err)
		case !rule.Allow.Echo:
			return answer(e, notAllowed(e))
		case e.WantsAck():
			return e.AckArgs(e.Args)
		}
		return e.Socket().EmitArgs("echo", e.Args)
	})
}

// check finds the rule for an event, and holds against its limits what all
// events have: their number and their size.
func (sp *space) check(e *namespace.Event) (*Rule, error) {
	rule := sp.rule()
	switch {
	case rule == nil:
		return nil, namespace.Errorf("the namespace is refused by now")
	case !rule.Limits.mayEvent(e.Socket()):
		return nil, namespace.Errorf("too many events: at most %v a second, and %d at once", rule.Limits.EventsPerSecond, rule.Limits.burst())
	case rule.Limits.EventBytes > 0 && e.Size() > rule.Limits.EventBytes:
		return nil, namespace.Errorf("the event has %d bytes, at most %d are allowed", e.Size(), rule.Limits.EventBytes)
	}
	return rule, nil
}

// answer acknowledges with what became of an event. What went wrong is the
// client's own doing, and it may know.
func answer(e *namespace.Event, err error) error {
	r := result{OK: true}
	if err != nil {
		r = result{Error: err.Error()}
	}
	if err := e.Ack(r); err != nil && !errors.Is(err, namespace.ErrDisconnected) {
		return err
	}
	return nil
}

func notAllowed(e *namespace.Event) error {
	return namespace.Errorf("%s is not allowed in this namespace", e.Name)
}

func roomNotAllowed(e *namespace.Event, room string) error {
	return namespace.Errorf("%s is not allowed for the room %q", e.Name, room)
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
		return namespace.Errorf("a socket may be in %d rooms at most", most)
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
		return "", namespace.Errorf("argument %d must be the name of the %s", i+1, what)
	}
	return *s, nil
}
