package namespace

import (
	"context"
	"encoding/json"
	"net/url"
	"time"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

// Conn is one client's transport connection, what the package writes frames
// to. node/engineio implements it.
type Conn interface {
	// ID is the session id of the transport.
	ID() string
	// Protocol is the version of Engine.IO: 4, or 3 for Socket.IO v2 clients.
	Protocol() int
	// Transport is "polling" or "websocket"; it changes at an upgrade.
	Transport() string
	// Send queues a frame and reports whether it was taken. It never blocks;
	// frames sent by one goroutine leave in the order of the calls.
	Send(f *frame.Frame, flags frame.Flags) bool
	// Reserve counts bytes that are about to be kept for the connection, against
	// one bound for all that is held for it. If it returns false, there is no
	// room for them or the connection is closed. It never blocks.
	Reserve(n int) bool
	// Release gives back what Reserve counted. Nothing need be given back once
	// the connection is closed.
	Release(n int)
	// Close ends the connection after what is queued has left, within a
	// bounded time; [Client.Closed] follows. It never blocks.
	Close(reason string)
}

// Cluster is where a Registry announces what it has, and what it asks of the
// other nodes. [NewSolo] is the one of a single node; package cluster
// implements it over Redis.
//
// The methods that announce something are called in the order of what they
// announce, under locks: they only enqueue, and never block or call back. For
// one namespace they take effect in the order of the calls.
type Cluster interface {
	// Start hands over the registry. It is called once, before anything else.
	Start(Local)
	// Join announces that this node has a use for the namespace: a socket, or
	// one on its way in. wait blocks until the cluster has answered which
	// incarnation stands and broadcasts to it are being received. A Join that
	// failed is not followed by a Leave.
	Join(fullName string, retirement time.Duration) (wait func(context.Context) (epoch uint64, err error))
	// Epoch returns the epoch that this node's incarnation has in the cluster at
	// present, 0 if there is none. The answer of a Join may be overtaken on its
	// way: by an Adopt, which a later look at Epoch then agrees with. It is
	// called under locks and does not block.
	Epoch(fullName string) uint64
	// Admit says why nobody may be let into any namespace at the moment, nil if
	// all is well: a node that has lost touch with the directory cannot know
	// what stands. It is called for every client, under locks, and does not block.
	Admit() error
	// Leave announces that the node's last socket and last pin are gone. The
	// namespace may be retired once it has been empty everywhere for retirement.
	Leave(fullName string, epoch uint64, retirement time.Duration)
	// SetRetirement announces that a namespace which is empty on this node has
	// another retirement time. If it is empty everywhere, the time that it has
	// been empty counts.
	SetRetirement(fullName string, epoch uint64, retirement time.Duration)
	// Dismiss asks for the retirement of a namespace that is empty everywhere,
	// now instead of when its time is over. It blocks until the cluster has
	// answered, with [ErrUnknown], [ErrOccupied] or [ErrPermanent] if it will not
	// be. A Join that comes first calls it off.
	Dismiss(ctx context.Context, fullName string) error
	// EnterRoom announces a socket in a room. wait blocks until messages to the
	// room from outside the cluster are being received; nil if they are.
	EnterRoom(fullName, room string) (wait func(context.Context) error)
	// LeaveRoom announces that the last socket left the room.
	LeaveRoom(fullName, room string)
	// SocketEntered announces a socket that is about to be in the namespace, and
	// its own room with it, for which nobody waits: the nodes reach it as they
	// reach the namespace.
	SocketEntered(fullName, id string)
	// SocketLeft announces that it has left.
	SocketLeft(fullName, id string)
	// Publish passes a message on to the other nodes. It does not wait for them,
	// and an error means that nobody should get the message, not even here:
	// while the others cannot be reached it is nil.
	Publish(m *Message) error
	// Ask passes a message on to the other nodes and calls each, one call at a
	// time, with every answer until all have come or ctx is over, and not after
	// it has returned. An error says which nodes did not answer; what came
	// before stands.
	Ask(ctx context.Context, m *Message, each func(Answer)) error
}

// Local is what a Cluster calls on its node; *Registry implements it. The
// methods may be called from any goroutine, but not from within a call that
// the registry makes to the cluster.
type Local interface {
	// Retire says that the incarnation was retired cluster-wide. It goes from
	// this node too, unless it is in use here again.
	Retire(fullName string, epoch uint64)
	// Retired says, on one node of the cluster, that it was this node that
	// decided the retirement.
	Retired(fullName string, epoch uint64)
	// Adopt says that an incarnation goes on under another epoch.
	Adopt(fullName string, epoch uint64)
	// Count says how many sockets the node has in a namespace, and how long that
	// stays when it is empty; false if the node does not have it.
	Count(fullName string) (sockets int, retirement time.Duration, ok bool)
	// Deliver carries out a message of another node, handlers of the
	// application included: the messages of one namespace wait for each other.
	Deliver(m *Message)
	// Answer carries out a message of another node and calls reply with every
	// answer, the last before it returns. ctx bounds the wait; reply is called
	// with locks held and must not block.
	Answer(ctx context.Context, m *Message, reply func(Answer))
}

// Kind says what a [Message] asks for.
type Kind uint8

// The kinds of messages between nodes.
const (
	KindBroadcast  Kind = iota // an event for clients; asked, for their acknowledgements too
	KindJoin                   // the addressed sockets join To
	KindLeave                  // the addressed sockets leave To
	KindDisconnect             // the addressed sockets are disconnected
	KindFetch                  // describe the addressed sockets
	KindServerSide             // an event for the other nodes' own handlers
)

// Message is what one node says to the others about one namespace.
type Message struct {
	Kind     Kind
	FullName string
	Name     string // the short name, as clients know it

	// Rooms and Except address sockets: those in any of Rooms (all, if there
	// are none) and in none of Except.
	Rooms, Except []string

	// Event is the Socket.IO EVENT packet of a broadcast, and holds the name
	// and arguments of a server-side event.
	Event *frame.Frame
	Flags frame.Flags
	// Timeout is how long clients have for their acknowledgement; 0 where none
	// is asked for.
	Timeout time.Duration

	// To holds the rooms that sockets join or leave.
	To []string
	// Close ends the connection of a disconnected socket, too.
	Close bool
}

// Answer is one answer to a message.
type Answer struct {
	Node string
	// Sockets answers KindFetch.
	Sockets []SocketInfo
	// Clients says, once for each node, how many clients a broadcast went to.
	Clients int
	// Args is an acknowledgement, of one client or of a node's own handler.
	Args *Args
}

// SocketInfo describes a socket of any node.
type SocketInfo struct {
	ID        string
	Node      string
	Rooms     []string // its own room excluded
	Handshake HandshakeInfo
	Transport string
	Data      json.RawMessage // an object, by key
}

// HandshakeInfo is a handshake in the form that travels between nodes.
type HandshakeInfo struct {
	Headers map[string]string `json:"headers"`
	Time    string            `json:"time"`
	Address string            `json:"address"`
	XDomain bool              `json:"xdomain"`
	Secure  bool              `json:"secure"`
	Issued  int64             `json:"issued"` // Unix milliseconds
	URL     string            `json:"url"`
	Query   map[string]string `json:"query"`
	Auth    json.RawMessage   `json:"auth"`
}

// V2 reports whether it is that of a client of Socket.IO v2 (Engine.IO 3), whose
// ids are the session ids of their connections: who knows one can take it over.
func (h HandshakeInfo) V2() bool {
	u, err := url.Parse(h.URL)
	return err == nil && u.Query().Get("EIO") == "3"
}
