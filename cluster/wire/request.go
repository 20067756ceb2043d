package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/namespace/msgpack"
)

// Type is the number of a request or response.
type Type int

// The types of the classic adapter.
const (
	TypeSockets     Type = iota // which of these rooms' sockets do you have? Not sent any more
	TypeAllRooms                // which rooms do you have?
	TypeJoin                    // sockets join rooms
	TypeLeave                   // sockets leave rooms
	TypeDisconnect              // sockets are disconnected
	TypeFetch                   // describe sockets
	TypeServerSide              // an event for servers; answered with the same type
	TypeBroadcast               // a broadcast that wants acknowledgements
	TypeClientCount             // response: how many clients it went to
	TypeClientAck               // response: one client's acknowledgement
)

// Request is one server's question or command to the others.
type Request struct {
	Type Type
	UID  string // of the sender; "emitter" for emitters, or empty
	ID   string // empty if no answer is wanted

	// Addressed says that sockets are addressed by rooms, in Rooms and Except. Otherwise a
	// join, leave or disconnect is in the old form, for the one socket SID and
	// the one room Room; the owner of the socket answers it.
	Addressed     bool
	Rooms, Except []string
	Flags         frame.Flags
	SID, Room     string

	To      []string      // what sockets join or leave
	Close   bool          // of a disconnect: the connection, too
	Timeout time.Duration // how long the sender waits; 0 if it does not say

	data        json.RawMessage // [event, ...args]
	attachments [][]byte
}

// Message makes of the request what [namespace.Local] understands. full and name are
// those of the namespace on whose channel it came.
func (q *Request) Message(full, name string) (*namespace.Message, error) {
	m := &namespace.Message{
		FullName: full, Name: name, Rooms: q.Rooms, Except: q.Except, Flags: q.Flags,
		To: q.To, Close: q.Close, Timeout: q.Timeout,
	}
	if !q.Addressed && q.SID != "" {
		m.Rooms, m.To = []string{q.SID}, []string{q.Room}
	}
	switch q.Type {
	case TypeSockets, TypeFetch:
		m.Kind = namespace.KindFetch
	case TypeJoin:
		m.Kind = namespace.KindJoin
	case TypeLeave:
		m.Kind = namespace.KindLeave
	case TypeDisconnect:
		m.Kind = namespace.KindDisconnect
	case TypeServerSide, TypeBroadcast:
		m.Kind = namespace.KindServerSide
		if q.Type == TypeBroadcast {
			m.Kind = namespace.KindBroadcast
		}
		f, err := eventFrame(name, q.data, q.attachments)
		if err != nil {
			return nil, err
		}
		m.Event = f
	default:
		return nil, ErrKind
	}
	return m, nil
}

// isReservedServerSide names the events that Node's servers emit themselves, or that make a
// process exit when nobody listens: an EventEmitter throws an unheard error.
func isReservedServerSide(event string) bool {
	switch event {
	case "connect", "connection", "new_namespace", "error":
		return true
	}
	return false
}

// AppendRequest appends the payload of a request that says m, from the server called
// uid. id is empty where no answer is wanted.
func AppendRequest(dst []byte, d Dialect, uid, id string, m *namespace.Message) ([]byte, error) {
	switch m.Kind {
	case namespace.KindBroadcast:
		return appendAckRequest(dst, d, uid, id, m)
	case namespace.KindServerSide:
		return appendServerSide(dst, uid, id, m)
	}
	q := jsonRequest{UID: text(uid), RequestID: text(id), Opts: &jsonOpts{Rooms: orEmpty(m.Rooms), Except: orEmpty(m.Except)}}
	to := orEmpty(m.To)
	switch m.Kind {
	case namespace.KindJoin:
		q.Type, q.Rooms = TypeJoin, &to
	case namespace.KindLeave:
		q.Type, q.Rooms = TypeLeave, &to
	case namespace.KindDisconnect:
		q.Type, q.Close = TypeDisconnect, &m.Close
	case namespace.KindFetch:
		q.Type = TypeFetch
	default:
		return dst, ErrKind
	}
	return appendJSONValue(dst, q)
}

func orEmpty(list []string) roomList {
	if list == nil {
		return roomList{}
	}
	return list
}

// appendAckRequest writes a broadcast that wants acknowledgements: msgpack, since it may hold
// binary data.
func appendAckRequest(dst []byte, d Dialect, uid, id string, m *namespace.Message) ([]byte, error) {
	dst = msgpack.AppendStr(append(msgpack.AppendMap(dst, 5), keyUID...), uid)
	dst = msgpack.AppendStr(append(dst, keyRequestID...), id)
	dst = append(append(dst, keyType...), byte(TypeBroadcast))
	dst, err := appendPacket(append(dst, keyPacket...), d, m)
	if err != nil {
		return dst, err
	}
	return appendOpts(append(dst, keyOpts...), d, m, m.Timeout), nil
}

// appendServerSide writes an event for servers: JSON, or msgpack where the event has
// binary data, which JSON would destroy.
func appendServerSide(dst []byte, uid, id string, m *namespace.Message) ([]byte, error) {
	data, attachments, err := eventData(m.Event)
	if err != nil {
		return dst, err
	}
	var name []json.RawMessage
	var event string
	if json.Unmarshal(data, &name) == nil && len(name) > 0 && json.Unmarshal(name[0], &event) == nil && isReservedServerSide(event) {
		return dst, ErrReservedEvent
	}
	if len(attachments) == 0 {
		return appendJSONValue(dst, jsonRequest{
			UID: text(uid), RequestID: text(id), Type: TypeServerSide, Data: data, Timeout: float64(m.Timeout / time.Millisecond),
		})
	}
	n := 3
	if id != "" {
		n++
	}
	if m.Timeout > 0 {
		n++
	}
	dst = msgpack.AppendStr(append(msgpack.AppendMap(dst, n), keyUID...), uid)
	if id != "" {
		dst = msgpack.AppendStr(append(dst, keyRequestID...), id)
	}
	if m.Timeout > 0 {
		dst = msgpack.AppendUint(append(dst, keyTimeout...), uint64(m.Timeout/time.Millisecond))
	}
	dst = append(append(dst, keyType...), byte(TypeServerSide))
	return appendJSON(append(dst, keyData...), data, attachments)
}

// DecodeRequest reads a request in either dialect and encoding. limit bounds the memory that
// its arguments take, in bytes. An unknown type is no error.
func DecodeRequest(payload []byte, limit int) (*Request, error) {
	text, attachments, err := asJSON(payload, false, limit)
	if err != nil {
		return nil, err
	}
	j := jsonRequest{Type: -1}
	if err := unmarshalObject(text, &j); err != nil {
		return nil, err
	}
	q := &Request{
		Type: j.Type, UID: string(j.UID), ID: string(j.RequestID), SID: string(j.SID), Room: string(j.Room),
		data: j.Data, attachments: attachments, Timeout: timeoutOf(j.Timeout),
	}
	if j.Rooms != nil {
		q.To = *j.Rooms
	}
	if j.Close != nil {
		q.Close = *j.Close
	}
	if o := j.Opts; o != nil {
		q.Addressed, q.Rooms, q.Except = true, o.Rooms, o.Except
		if f := o.Flags; f != nil {
			q.Flags.Volatile = f.Volatile
			if t := timeoutOf(f.Timeout); t > 0 {
				q.Timeout = t
			}
		}
	}
	switch q.Type {
	case TypeSockets:
		q.Addressed, q.Rooms = true, q.To
	case TypeBroadcast:
		if j.Packet == nil || !isEvent(j.Packet.Type) {
			return nil, &SyntaxError{Msg: "request without an event"}
		}
		q.data = j.Packet.Data
		// Only Node says compress: false where it is meant.
		if f := j.Opts; f != nil && f.Flags != nil && f.Flags.Compress != nil && j.Packet.Type < goType {
			q.Flags.NoCompress = !*f.Flags.Compress
		}
	}
	return q, nil
}

// asJSON returns the payload of a request or response as JSON: an object by its first
// byte, otherwise msgpack.
func asJSON(payload []byte, inline bool, limit int) ([]byte, [][]byte, error) {
	if len(payload) > 0 && payload[0] == '{' {
		return payload, nil, nil
	}
	return toJSON(payload, inline, limit)
}

func unmarshalObject(text []byte, into any) error {
	if len(text) == 0 || text[0] != '{' {
		return &SyntaxError{Msg: "not an object"}
	}
	if err := json.Unmarshal(text, into); err != nil {
		return &SyntaxError{Msg: "object", Err: err}
	}
	return nil
}

// appendJSONValue is json.Marshal without the escapes for HTML.
func appendJSONValue(dst []byte, v any) ([]byte, error) {
	buf := bytes.NewBuffer(dst)
	e := json.NewEncoder(buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return dst, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// jsonRequest is a request as JSON, in Node's order of keys. Pointers are for keys
// that are left out where they mean nothing.
type jsonRequest struct {
	UID       text            `json:"uid,omitempty"`
	RequestID text            `json:"requestId,omitempty"`
	Type      Type            `json:"type"`
	Opts      *jsonOpts       `json:"opts,omitempty"`
	SID       text            `json:"sid,omitempty"`
	Room      text            `json:"room,omitempty"`
	Rooms     *roomList       `json:"rooms,omitempty"`
	Close     *bool           `json:"close,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"`
	Packet    *jsonPacket     `json:"packet,omitempty"`
	// Timeout, in milliseconds, is ours: it tells a node of ours how long its
	// handler may take. Others ignore it.
	Timeout float64 `json:"timeout,omitempty"`
}

type jsonOpts struct {
	Rooms  roomList   `json:"rooms"`
	Except roomList   `json:"except"`
	Flags  *jsonFlags `json:"flags,omitempty"`
}

type jsonFlags struct {
	Volatile bool    `json:"volatile"`
	Compress *bool   `json:"compress"`
	Timeout  float64 `json:"timeout"`
}

type jsonPacket struct {
	Type float64         `json:"type"`
	Data json.RawMessage `json:"data"`
}

// text is a string, for which JavaScript may have sent a number; null and anything else
// is empty.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	switch c := b[0]; {
	case c == '"':
		return json.Unmarshal(b, (*string)(t))
	case c == '-' || '0' <= c && c <= '9':
		*t = text(numberText(b))
	default:
		*t = ""
	}
	return nil
}

// numberText is a JSON number as JavaScript makes a string of it.
func numberText(b []byte) string {
	if f, err := strconv.ParseFloat(string(b), 64); err == nil {
		return string(msgpack.AppendJSONFloat(nil, f))
	}
	return string(b)
}

// roomList is an array of names, some of which may be numbers.
type roomList []string

func (l *roomList) UnmarshalJSON(b []byte) error {
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*l = nil
	for _, r := range raw {
		if c := r[0]; c != '"' && c != '-' && (c < '0' || '9' < c) {
			return &SyntaxError{Msg: "room that is no string"}
		}
		var t text
		if err := t.UnmarshalJSON(r); err != nil {
			return err
		}
		*l = append(*l, string(t))
	}
	return nil
}
