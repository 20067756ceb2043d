package namespace

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Middleware is asked before a socket is admitted to a namespace. An error
// refuses it: the client gets a connect_error with the text and data of a
// [*ClientError], or "Forbidden". It may take its time; the namespace does not
// retire meanwhile. The context ends when the client has gone.
type Middleware func(ctx context.Context, s *Socket) error

// Namespace is one incarnation of a namespace on this node. Its methods are
// safe for concurrent use; handlers are best registered in its setup, before
// the first client is in.
type Namespace struct {
	reg                  *Registry
	fullName, host, name string
	created              time.Time

	// Guarded by reg.mu.
	uses       int // pins and sockets
	state      setupState
	ready      chan struct{} // closed when the setup under way has ended
	refusal    error         // why the setup refused; set before ready closes
	permanent  bool
	creator    netip.Addr // the address whose client brought it to life, if counted
	counted    bool       // it is one of reg.byAddress
	epoch      uint64     // 0 until the directory has given one
	membership membership
	joining    *joinCall // not nil while membership is memberJoining
	notice     uint64    // the epoch of a retirement told while pinned, or 0
	emptied    time.Time // when the last use on this node ended; zero while there is one

	retirement atomic.Int64  // a time.Duration
	ids        atomic.Uint64 // acknowledgement ids, shared by all sockets so that a broadcast has one
	outgoing   atomic.Int32  // listeners of outgoing events on all sockets together
	gone       atomic.Bool   // refused or retired, as state says under the lock

	// mu guards what follows, and Socket.rooms of the sockets in here. While
	// it is held frames are queued, and nothing else happens outside.
	mu      sync.RWMutex
	sockets map[string]*Socket // by id
	rooms   map[string]map[*Socket]struct{}

	registrations
}

// registrations are the application's functions in a namespace.
type registrations struct {
	inSetup    bool // what is registered now is its setup's
	onConnect  []hook[func(*Socket)]
	onExpire   []hook[func()]
	middleware []hook[Middleware]
	handlers   map[string][]*listener // for events of any socket
	onAny      []*listener
	serverSide map[string][]*listener // for events of other nodes
}

// FullName is what the registry, Redis and the status page call the
// namespace: "/chat" on the main host, "//myhost.com/chat" on any other.
func (ns *Namespace) FullName() string { return ns.fullName }

// Name is what clients call it: "/chat" on every host.
func (ns *Namespace) Name() string { return ns.name }

// Host is the virtual host it belongs to; empty on the main host.
func (ns *Namespace) Host() string { return ns.host }

// Epoch is the number of the incarnation, given by the cluster; it only grows.
// It is 0 until a first client has been on its way in.
func (ns *Namespace) Epoch() uint64 {
	ns.reg.mu.Lock()
	defer ns.reg.mu.Unlock()
	return ns.epoch
}

// Info is a snapshot of a namespace as this node sees it.
type Info struct {
	FullName, Host, Name string
	Epoch                uint64
	Permanent            bool
	Retirement           time.Duration
	Sockets              int       // on this node
	Created              time.Time // on this node
	Emptied              time.Time // when the last socket on this node left; zero while there is one
}

// Info returns a snapshot.
func (ns *Namespace) Info() Info {
	i := Info{
		FullName: ns.fullName, Host: ns.host, Name: ns.name,
		Created: ns.created, Retirement: ns.Retirement(), Sockets: ns.SocketCount(),
	}
	ns.reg.mu.Lock()
	defer ns.reg.mu.Unlock()
	i.Epoch, i.Permanent, i.Emptied = ns.epoch, i.Retirement == Never, ns.emptied
	return i
}

// Permanent reports whether the namespace stays when it is empty.
func (ns *Namespace) Permanent() bool { return ns.Retirement() == Never }

// Retirement is how long the namespace stays empty before it is retired;
// [Never] for a permanent one.
func (ns *Namespace) Retirement() time.Duration { return time.Duration(ns.retirement.Load()) }

// SetRetirement sets how long the namespace stays empty before it is retired,
// at least 0. One that is empty now is retired by the new time, cluster-wide;
// what it has been empty counts. Where nodes disagree, the last word counts:
// that of the last node to leave, or to call SetRetirement since. A permanent
// namespace stays permanent. It does not wait for the cluster.
func (ns *Namespace) SetRetirement(d time.Duration) {
	r := ns.reg
	r.mu.Lock()
	defer r.mu.Unlock()
	d = max(d, 0)
	if ns.permanent {
		return
	}
	ns.retirement.Store(int64(d))
	if ns.membership == memberOut && ns.epoch != 0 && ns.state != stateGone && !r.closed {
		r.opts.Cluster.SetRetirement(ns.fullName, ns.epoch, d)
	}
}

// OnConnect registers a function that runs for every socket that is admitted,
// before any of its events is handled.
func (ns *Namespace) OnConnect(f func(*Socket)) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.onConnect = append(slices.Clip(ns.onConnect), hook[func(*Socket)]{f, ns.inSetup})
}

// OnExpire registers a function that runs once on this node when the
// incarnation has been retired; the last registered runs first.
func (ns *Namespace) OnExpire(f func()) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.onExpire = append(ns.onExpire, hook[func()]{f, ns.inSetup})
}

// Use adds a middleware; they run in the order in which they were added.
func (ns *Namespace) Use(m Middleware) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.middleware = append(slices.Clip(ns.middleware), hook[Middleware]{m, ns.inSetup})
}

// On registers a handler for an event of any socket in the namespace, and
// returns a function that takes it back. It costs nothing per socket, other
// than [Socket.On]; [SocketFrom] tells a handler which socket it is.
func (ns *Namespace) On(event string, h Handler) (off func()) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.handlers == nil {
		ns.handlers = make(map[string][]*listener)
	}
	return addListener(&ns.mu, ns.handlers, event, &listener{h, ns.inSetup})
}

// OnAny registers a handler that sees every event of every socket before the
// handlers of its name do, and returns a function that takes it back.
func (ns *Namespace) OnAny(h Handler) (off func()) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	l := &listener{h, ns.inSetup}
	ns.onAny = append(slices.Clip(ns.onAny), l)
	return func() {
		ns.mu.Lock()
		defer ns.mu.Unlock()
		ns.onAny = without(ns.onAny, l)
	}
}

// standing returns the incarnation that lives under the name of ns, which is
// nearly always ns. Whoever kept a retired one and broadcasts through it means
// the name: other nodes go by it, and clients know nothing else.
func (ns *Namespace) standing() *Namespace {
	if ns.gone.Load() {
		if live := ns.reg.Lookup(ns.fullName); live != nil {
			return live
		}
	}
	return ns
}

// Sockets returns the sockets on this node.
func (ns *Namespace) Sockets() []*Socket {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	all := make([]*Socket, 0, len(ns.sockets))
	for _, s := range ns.sockets {
		all = append(all, s)
	}
	return all
}

// Socket returns the socket of this node with that id, or nil.
func (ns *Namespace) Socket(id string) *Socket {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.sockets[id]
}

// SocketCount returns how many sockets are on this node.
func (ns *Namespace) SocketCount() int {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return len(ns.sockets)
}

// Rooms returns how many sockets of this node each room has. The sockets' own
// rooms are not listed.
func (ns *Namespace) Rooms() map[string]int {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	rooms := make(map[string]int, len(ns.rooms))
	for room, members := range ns.rooms {
		rooms[room] = len(members)
	}
	return rooms
}

// without returns list less one entry, in a new slice: readers may hold the old one.
func without(list []*listener, l *listener) []*listener {
	i := slices.Index(list, l)
	if i < 0 {
		return list
	}
	return slices.Concat(list[:i], list[i+1:])
}

// newSocketID returns 20 characters, as Node's Socket.IO has them: 15 random
// bytes in URL-safe base64. Its Redis adapters tell sockets from rooms by that length.
func newSocketID() string {
	var b [15]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// randomAckStart starts the acknowledgement ids of an incarnation anywhere, so
// that a late acknowledgement meant for the one before finds nobody.
func randomAckStart() uint64 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return uint64(binary.LittleEndian.Uint32(b[:]) >> 4)
}
