package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// command is what a script wants done.
type command struct {
	Op       string   `json:"op"`
	NS       string   `json:"ns"` // the full name
	Rooms    []string `json:"rooms"`
	Except   []string `json:"except"`
	Volatile bool     `json:"volatile"`
	Event    string   `json:"event"`
	Args     []arg    `json:"args"`
	Timeout  int      `json:"timeout"` // in ms, of questions; 0: the default of the server
	To       []string `json:"to"`      // rooms to join or leave
	Close    bool     `json:"close"`
	Count    int      `json:"count"` // of events in a burst
}

// arg is an argument; {"$binary":"base64"} is binary data.
type arg struct{ value any }

func (a *arg) UnmarshalJSON(text []byte) error {
	var b struct {
		Binary *string `json:"$binary"`
	}
	if json.Unmarshal(text, &b) == nil && b.Binary != nil {
		data, err := base64.StdEncoding.DecodeString(*b.Binary)
		a.value = data
		return err
	}
	a.value = json.RawMessage(text)
	return nil
}

// outcome is what became of a command.
type outcome struct {
	Value any    `json:"value,omitempty"`
	Error string `json:"error,omitempty"`
	// Missing are the nodes that did not answer.
	Missing []string `json:"missing,omitempty"`
}

// commands carries out commands. It is safe for concurrent use.
type commands struct{ srv *node.Server }

func (c commands) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var cmd command
	if err := json.NewDecoder(r.Body).Decode(&cmd); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	value, err := c.do(r.Context(), &cmd)
	out := outcome{Value: value}
	if err != nil {
		out.Error = err.Error()
		if missing := (*namespace.MissingError)(nil); errors.As(err, &missing) {
			out.Missing = missing.Nodes
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // the script has gone if this fails
}

func (c commands) do(ctx context.Context, cmd *command) (any, error) {
	ns := c.srv.Registry().Lookup(cmd.NS)
	if ns == nil {
		host, name := namespace.SplitFullName(cmd.NS)
		var err error
		if ns, err = c.srv.Of(name, host); err != nil {
			return nil, err
		}
	}
	if cmd.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(cmd.Timeout)*time.Millisecond)
		defer cancel()
	}
	b := ns.All().Except(cmd.Except...)
	if len(cmd.Rooms) > 0 {
		b = ns.To(cmd.Rooms...).Except(cmd.Except...)
	}
	if cmd.Volatile {
		b = b.Volatile()
	}
	args := make([]any, len(cmd.Args))
	for i, a := range cmd.Args {
		args[i] = a.value
	}
	switch cmd.Op {
	case "of":
		return nil, nil
	case "emit":
		return nil, b.Emit(cmd.Event, args...)
	case "burst":
		return nil, burst(ns, cmd)
	case "emitAck":
		replies, err := b.EmitWithAck(ctx, cmd.Event, args...)
		return firsts(replies), err
	case "join":
		return nil, b.SocketsJoin(cmd.To...)
	case "leave":
		return nil, b.SocketsLeave(cmd.To...)
	case "disconnect":
		return nil, b.DisconnectSockets(cmd.Close)
	case "fetch":
		sockets, err := b.FetchSockets(ctx)
		return described(sockets), err
	case "toSocket":
		return nil, toSocket(ctx, b, cmd, args)
	case "serverSide":
		return nil, ns.ServerSideEmit(cmd.Event, args...)
	case "serverSideAck":
		replies, err := ns.ServerSideEmitWithAck(ctx, cmd.Event, args...)
		return firsts(replies), err
	}
	return nil, fmt.Errorf("no such command: %q", cmd.Op)
}

// burst emits many events, by turns to everybody and to one room, some with binary data.
func burst(ns *namespace.Namespace, cmd *command) error {
	for i := range cmd.Count {
		b := ns.All()
		if i%2 == 1 {
			b = ns.To(cmd.Rooms...)
		}
		args := []any{i}
		if i%10 == 0 {
			args = append(args, []byte{byte(i)})
		}
		if err := b.Emit(cmd.Event, args...); err != nil {
			return err
		}
	}
	return nil
}

// toSocket steers one socket by what FetchSockets found: rooms says which, event how.
func toSocket(ctx context.Context, b namespace.Broadcast, cmd *command, args []any) error {
	sockets, err := b.FetchSockets(ctx)
	if err != nil {
		return err
	}
	if len(sockets) != 1 {
		return fmt.Errorf("%d sockets", len(sockets))
	}
	switch s := sockets[0]; cmd.Event {
	case "join":
		return s.Join(cmd.To...)
	case "leave":
		return s.Leave(cmd.To...)
	case "disconnect":
		return s.Disconnect(cmd.Close)
	default:
		return s.Emit(cmd.Event, args...)
	}
}

// firsts returns the first argument of every answer, as Node does.
func firsts(replies []namespace.Reply) []any {
	values := make([]any, 0, len(replies))
	for _, r := range replies {
		if r.Err != nil {
			continue // is in the error of all
		}
		var value any
		if r.Args != nil && r.Args.Len() > 0 {
			value = r.Args.At(0)
			if binary := []byte(nil); r.Args.At(0).Attachments() != nil && r.Args.At(0).Bind(&binary) == nil {
				value = map[string]any{"$binary": binary}
			}
		}
		values = append(values, value)
	}
	return values
}

// socket is a socket as the scripts look at it.
type socket struct {
	ID        string                  `json:"id"`
	Rooms     []string                `json:"rooms"` // without its own
	Data      json.RawMessage         `json:"data"`
	Handshake namespace.HandshakeInfo `json:"handshake"`
}

func described(found []namespace.RemoteSocket) []socket {
	sockets := make([]socket, 0, len(found))
	for _, s := range found {
		sockets = append(sockets, socket{s.ID, s.Rooms, s.Data, s.Handshake})
	}
	return sockets
}
