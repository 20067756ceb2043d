package wire

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/namespace/msgpack"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

// Response is one server's answer to a request.
type Response struct {
	ID   string // of the request
	Type Type   // TypeServerSide, TypeClientCount, TypeClientAck; -1 in the others, which have none
	// Node is the id of the node that answered; empty if it is none of ours.
	Node string
	// Incomplete: the node had more to say than fits into a message.
	Incomplete bool

	IDs     []string               // answers TypeSockets
	Rooms   []string               // answers TypeAllRooms
	Sockets []namespace.SocketInfo // answers TypeFetch
	Clients int                    // of a TypeClientCount
	Args    *namespace.Args        // of a TypeServerSide or TypeClientAck
}

// jsonResponse is a response as JSON. Others ignore node, rest and incomplete, which are ours.
type jsonResponse struct {
	Type        *Type           `json:"type,omitempty"`
	RequestID   text            `json:"requestId"`
	Sockets     *[]any          `json:"sockets,omitempty"`
	Rooms       *roomList       `json:"rooms,omitempty"`
	ClientCount *int            `json:"clientCount,omitempty"` // also "clientcount", as stock Go has it
	Data        json.RawMessage `json:"data,omitempty"`
	Packet      json.RawMessage `json:"packet,omitempty"`
	Rest        json.RawMessage `json:"rest,omitempty"` // arguments of an acknowledgement behind the first
	Node        text            `json:"node,omitempty"`
	Incomplete  bool            `json:"incomplete,omitempty"`
}

// AppendResponse appends the payload of an answer to a request of the type asked. Answers to
// TypeJoin, TypeLeave and TypeDisconnect, which only the old form has, say nothing but
// the request's id. r.Type counts for those to TypeBroadcast.
func AppendResponse(dst []byte, d Dialect, asked Type, r *Response) ([]byte, error) {
	j := jsonResponse{RequestID: text(r.ID), Node: text(r.Node), Incomplete: r.Incomplete}
	switch {
	case asked == TypeSockets:
		list := []any{}
		for _, id := range r.IDs {
			list = append(list, id)
		}
		j.Sockets = &list
	case asked == TypeAllRooms:
		rooms := orEmpty(r.Rooms)
		j.Rooms = &rooms
	case asked == TypeFetch:
		list := []any{} // never null: Node counts an answer without an array, but does not end on it
		for i := range r.Sockets {
			list = append(list, toJSONSocket(d, &r.Sockets[i]))
		}
		j.Sockets = &list
	case asked == TypeJoin, asked == TypeLeave, asked == TypeDisconnect:
	case asked == TypeBroadcast && r.Type == TypeClientCount:
		j.Type, j.ClientCount = &r.Type, &r.Clients
	case asked == TypeBroadcast && r.Type == TypeClientAck, asked == TypeServerSide:
		return appendAck(dst, d, asked, r)
	default:
		return dst, ErrKind
	}
	return appendJSONValue(dst, j)
}

// appendAck writes the acknowledgement of a client (msgpack) or a server (JSON, unless it
// has binary data). In Node's dialect it is one value, the first argument; in Go's
// the array of all. Our nodes find the arguments behind the first under a key of their own.
func appendAck(dst []byte, d Dialect, asked Type, r *Response) ([]byte, error) {
	key, typ := "packet", TypeClientAck
	if asked == TypeServerSide {
		key, typ = "data", TypeServerSide
	}
	var all, first, rest []byte
	var attachments [][]byte
	if r.Args != nil {
		// By way of a frame, so that placeholders are in their shortest form.
		f, err := packet.EncodeArgs(packet.Header{Type: packet.Ack}, "", *r.Args)
		if err != nil {
			return dst, err
		}
		if all, attachments, err = eventData(f); err != nil {
			return dst, err
		}
		if first, rest, err = splitArgs(all, attachments); err != nil {
			return dst, err
		}
	}
	value := first
	if d == StockGo {
		if value, rest = all, nil; value == nil {
			value = []byte("[]")
		}
	}
	if asked == TypeServerSide && len(attachments) == 0 {
		return appendJSONValue(dst, jsonResponse{
			Type: &typ, RequestID: text(r.ID), Data: value, Rest: rest, Node: text(r.Node),
		})
	}
	n := 2
	for _, set := range []bool{value != nil, rest != nil, r.Node != ""} {
		if set {
			n++
		}
	}
	dst = append(append(msgpack.AppendMap(dst, n), keyType...), byte(typ))
	dst = msgpack.AppendStr(append(dst, keyRequestID...), r.ID)
	var err error
	if value != nil {
		if dst, err = appendJSON(msgpack.AppendStr(dst, key), value, attachments); err != nil {
			return dst, err
		}
	}
	if rest != nil {
		if dst, err = appendJSON(msgpack.AppendStr(dst, "rest"), rest, attachments); err != nil {
			return dst, err
		}
	}
	if r.Node != "" {
		dst = msgpack.AppendStr(msgpack.AppendStr(dst, "node"), r.Node)
	}
	return dst, nil
}

// splitArgs returns the first element of an array, nil if it has none, and the array
// of the others, nil if there are none.
func splitArgs(array []byte, attachments [][]byte) (first, rest []byte, err error) {
	args, err := packet.NewArgs(array, attachments...)
	if err != nil || args.Len() == 0 {
		return nil, nil, err
	}
	first = args.At(0).JSON()
	if args.Len() > 1 {
		rest = []byte{'['}
		for i := 1; i < args.Len(); i++ {
			if i > 1 {
				rest = append(rest, ',')
			}
			rest = append(rest, args.At(i).JSON()...)
		}
		rest = append(rest, ']')
	}
	return first, rest, nil
}

// DecodeResponse reads a response. d says who answers: in Go's dialect the value of an
// acknowledgement is the array of its arguments. limit bounds the memory that is taken, in bytes.
func DecodeResponse(payload []byte, d Dialect, limit int) (*Response, error) {
	data, attachments, err := asJSON(payload, false, limit)
	if err != nil {
		return nil, err
	}
	var j struct {
		jsonResponse
		Sockets []json.RawMessage `json:"sockets"`
	}
	if err := unmarshalObject(data, &j); err != nil {
		return nil, err
	}
	if len(j.Sockets) > 0 && len(attachments) > 0 {
		// Data of sockets has no place for attachments: as Node's JSON has them.
		if data, _, err = toJSON(payload, true, limit); err != nil {
			return nil, err
		}
		j.Sockets = nil
		if err := unmarshalObject(data, &j); err != nil {
			return nil, err
		}
	}
	r := &Response{ID: string(j.RequestID), Type: -1, Node: string(j.Node), Incomplete: j.Incomplete}
	if j.Rooms != nil {
		r.Rooms = *j.Rooms
	}
	if j.Type != nil {
		r.Type = *j.Type
	}
	if j.ClientCount != nil {
		if *j.ClientCount < 0 {
			return nil, &SyntaxError{Msg: "negative number of clients"}
		}
		r.Clients = *j.ClientCount
	}
	switch r.Type {
	case TypeServerSide:
		r.Args, err = ackArgs(d, j.Data, j.Rest, attachments)
	case TypeClientAck:
		r.Args, err = ackArgs(d, j.Packet, j.Rest, attachments)
	}
	if err != nil {
		return nil, err
	}
	return r, r.sockets(j.Sockets)
}

// ackArgs puts the arguments of an acknowledgement together again.
func ackArgs(d Dialect, value, rest json.RawMessage, attachments [][]byte) (*namespace.Args, error) {
	array := []byte(value)
	switch {
	case d == StockGo && len(value) > 0 && value[0] == '[':
	case len(value) == 0:
		array = []byte("[]")
	case len(rest) > 1 && rest[0] == '[' && len(rest) > len("[]"):
		array = slices.Concat([]byte{'['}, value, []byte{','}, rest[1:])
	default:
		array = slices.Concat([]byte{'['}, value, []byte{']'})
	}
	args, err := packet.NewArgs(array, attachments...)
	if err != nil {
		return nil, &SyntaxError{Msg: "acknowledgement", Err: err}
	}
	return &args, nil
}

// sockets reads the elements of an answer: descriptions, or ids.
func (r *Response) sockets(list []json.RawMessage) error {
	for _, raw := range list {
		if raw[0] == '"' {
			var id text
			if err := id.UnmarshalJSON(raw); err != nil {
				return &SyntaxError{Msg: "socket", Err: err}
			}
			r.IDs = append(r.IDs, string(id))
			continue
		}
		var s jsonSocket
		if err := unmarshalObject(raw, &s); err != nil {
			return err
		}
		if s.ID == "" {
			return &SyntaxError{Msg: "socket", Err: errors.New("it has no id")}
		}
		r.Sockets = append(r.Sockets, s.info(r.Node))
	}
	return nil
}

// jsonSocket describes a socket as Node's adapter does. The transport is an addition
// of ours.
type jsonSocket struct {
	ID        text            `json:"id"`
	Handshake jsonHandshake   `json:"handshake"`
	Rooms     roomList        `json:"rooms"` // its own included
	Data      json.RawMessage `json:"data"`
	Transport text            `json:"transport,omitempty"`
}

type jsonHandshake struct {
	Headers values          `json:"headers"`
	Time    text            `json:"time"`
	Address text            `json:"address"`
	XDomain bool            `json:"xdomain"`
	Secure  bool            `json:"secure"`
	Issued  float64         `json:"issued"`
	URL     text            `json:"url"`
	Query   values          `json:"query"`
	Auth    json.RawMessage `json:"auth"`
}

func toJSONSocket(d Dialect, s *namespace.SocketInfo) any {
	h := s.Handshake
	return jsonSocket{
		ID: text(s.ID), Rooms: append(roomList{s.ID}, s.Rooms...), Transport: text(s.Transport), Data: orObject(s.Data),
		Handshake: jsonHandshake{
			Headers: values{h.Headers, d}, Time: text(h.Time), Address: text(h.Address), XDomain: h.XDomain,
			Secure: h.Secure, Issued: float64(h.Issued), URL: text(h.URL), Query: values{h.Query, d}, Auth: orObject(h.Auth),
		},
	}
}

// orObject returns the JSON of an object; an empty one where there is none.
func orObject(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || string(raw) == "null" {
		return json.RawMessage("{}")
	}
	return raw
}

func (s *jsonSocket) info(node string) namespace.SocketInfo {
	h := s.Handshake
	return namespace.SocketInfo{
		ID: string(s.ID), Node: node, Transport: string(s.Transport), Data: orObject(s.Data),
		Rooms: slices.DeleteFunc([]string(s.Rooms), func(room string) bool { return room == string(s.ID) }),
		Handshake: namespace.HandshakeInfo{
			Headers: h.Headers.m, Time: string(h.Time), Address: string(h.Address), XDomain: h.XDomain,
			Secure: h.Secure, Issued: int64(h.Issued), URL: string(h.URL), Query: h.Query.m, Auth: orObject(h.Auth),
		},
	}
}

// values are headers or query parameters: strings in Node's dialect, arrays of
// strings in Go's.
type values struct {
	m map[string]string
	d Dialect
}

func (v values) MarshalJSON() ([]byte, error) {
	if v.d == StockGo {
		lists := make(map[string][]string, len(v.m))
		for k, s := range v.m {
			lists[k] = []string{s}
		}
		return appendJSONValue(nil, lists)
	}
	if v.m == nil {
		return []byte("{}"), nil
	}
	return appendJSONValue(nil, v.m)
}

func (v *values) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	v.m = make(map[string]string, len(raw))
	for k, r := range raw {
		if r[0] == '[' {
			var list roomList
			if err := list.UnmarshalJSON(r); err != nil {
				return err
			}
			v.m[k] = strings.Join(list, ", ")
			continue
		}
		var t text
		if err := t.UnmarshalJSON(r); err != nil {
			return err
		}
		v.m[k] = string(t)
	}
	return nil
}
