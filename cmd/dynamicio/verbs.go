package main

import (
	"context"
	"errors"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// result is what every event of the program's namespaces is acknowledged with.
type result struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// addVerbs makes the node accept every namespace and answer the events that
// clients of the program may send.
func addVerbs(srv *node.Server) {
	srv.SetupNamespace("*", func(ns *namespace.Namespace, _ namespace.Match) error {
		ns.On("join", verb(func(e *namespace.Event) error {
			room, err := name(e, 0, "room")
			if err != nil {
				return err
			}
			return e.Socket().Join(room)
		}))
		ns.On("leave", verb(func(e *namespace.Event) error {
			room, err := name(e, 0, "room")
			if err != nil {
				return err
			}
			e.Socket().Leave(room)
			return nil
		}))
		ns.On("broadcast", verb(func(e *namespace.Event) error {
			event, err := name(e, 0, "event")
			if err != nil {
				return err
			}
			return e.Socket().Broadcast().EmitArgs(event, e.From(1))
		}))
		ns.On("to", verb(func(e *namespace.Event) error {
			room, err := name(e, 0, "room")
			if err != nil {
				return err
			}
			event, err := name(e, 1, "event")
			if err != nil {
				return err
			}
			return e.Socket().To(room).EmitArgs(event, e.From(2))
		}))
		ns.On("echo", func(_ context.Context, e *namespace.Event) error {
			if e.WantsAck() {
				return e.AckArgs(e.Args)
			}
			return e.Socket().EmitArgs("echo", e.Args)
		})
		return nil
	})
}

// verb acknowledges with what became of an event. What went wrong is the
// client's own doing, and it may know.
func verb(do func(*namespace.Event) error) namespace.Handler {
	return func(_ context.Context, e *namespace.Event) error {
		r := result{OK: true}
		if err := do(e); err != nil {
			r = result{Error: err.Error()}
		}
		if err := e.Ack(r); err != nil && !errors.Is(err, namespace.ErrDisconnected) {
			return err
		}
		return nil
	}
}

// name reads an argument that names a room or an event.
func name(e *namespace.Event, i int, what string) (string, error) {
	var s *string
	if err := e.At(i).Bind(&s); err != nil || s == nil {
		return "", namespace.Errorf("argument %d must be the name of the %s", i+1, what)
	}
	return *s, nil
}
