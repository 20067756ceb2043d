package bus

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dynamicio/dynamicio/cluster/wire"
	"github.com/dynamicio/dynamicio/namespace"
)

// Bus is one node's place on the bus. Between [Bus.Start] and [Bus.Close] it runs
// these goroutines: subscribe, publish, probe, settle, linger, keepPeers, and shorter ones for what was received. All methods
// may be called from any goroutine.
//
// Enter, Leave, EnterRoom, LeaveRoom, SocketEntered and SocketLeft never block, and
// take effect in the order of the calls. They say what is there, not how often: to enter twice is to
// enter once.
type Bus struct {
	opts  Options
	log   *slog.Logger
	uid   string // of this bus among servers; see stamp for what follows it
	local namespace.Local

	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // all goroutines of the bus

	// mu guards the fields below and those of every space, sub and link. It is a leaf: nobody is
	// called and nothing is waited for while it is held.
	mu     sync.Mutex
	spaces map[string]*space // entered ones, by full name
	// lingering are those left a moment ago: they answer questions, and get nothing else.
	lingering map[string]*space
	subs      map[string]*sub // wanted ones and those not yet given up, by channel
	dirty     []*sub          // those that may need a command to Redis; empty while link is nil
	link      *link           // nil while there is no connection
	told      bool            // whether SocketEntered was ever called
	up        bool            // whether link has subscribed everything that was wanted as it began
	server    string          // run_id of the server that the node is registered with; see Follow

	confirmed atomic.Int64             // how many subs are subOn
	peers     atomic.Pointer[[]string] // the probe channels of the other nodes that were there last

	wake chan struct{} // holds one if dirty may have something; for link.write
	out  publisher
	// connections is how many publishing ones there were; publish alone uses it.
	connections uint32
	probe       prober
	neighbors   neighbors
	asks        asks
	replies     lane[[]byte]  // received answers
	aside       chan struct{} // holds one for each request that is being answered aside
	backlog     atomic.Int64  // bytes in all lanes
	stats       counters
}

// space is what the bus knows of a namespace that the node has entered.
type space struct {
	full, name string
	fixed      []*sub
	request    *sub // one of fixed
	rooms      map[string]*sub
	sockets    map[string]*sub // by id
	left       bool
	leftAt     time.Time

	heard generations // of the broadcasts and commands in data; used by its lane alone

	data lane[received]           // broadcasts and requests, in order
	side lane[*namespace.Message] // events for servers, in order: their handlers may take long
}

// received is a message that waits for its turn.
type received struct {
	kind    chanKind
	payload []byte
}

// New makes a bus; it does nothing before Start.
func New(o Options) (*Bus, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Bus{
		opts: o, log: o.Logger, uid: randomID(),
		spaces: make(map[string]*space), lingering: make(map[string]*space), subs: make(map[string]*sub),
		wake: make(chan struct{}, 1), aside: make(chan struct{}, o.MaxAside),
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.out.wake = make(chan struct{}, 1)
	b.asks.byID, b.asks.byPayload = make(map[string]*ask), make(map[string]*ask)
	b.probe.channel = b.probeChannel(o.NodeID)
	b.neighbors.channel = "dynamicio:prefix:" + o.Prefix
	b.replies.init(b, b.answered)
	return b, nil
}

// uidLen is the length of a uid.
const uidLen = 12

// randomID returns uidLen characters that nobody else has.
func randomID() string {
	var r [uidLen / 4 * 3]byte
	_, _ = rand.Read(r[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(r[:])
}

// Start connects, in the background, and delivers to l from then on. It is called once,
// before anything else.
func (b *Bus) Start(l namespace.Local) {
	b.local = l
	b.probe.start = time.Now()
	b.mu.Lock()
	b.retain(b.probe.channel, chanProbe, nil)
	b.retain(b.neighbors.channel, chanAnnounce, nil)
	b.mu.Unlock()
	b.wg.Go(b.subscribe)
	b.wg.Go(b.publish)
	b.wg.Go(b.probeLoop)
	b.wg.Go(b.settle)
	b.wg.Go(b.linger)
	b.wg.Go(b.keepPeers)
}

// failures are attempts to connect that failed in a row. They keep a Redis that stays away from filling the
// log: the first is a warning, and once more the first that says Redis's own reason; neither is where the
// node says so already.
type failures struct {
	n           int
	said, named bool
}

// log counts a failure and logs it.
func (f *failures) log(b *Bus, what string, err error) {
	f.n++
	level := slog.LevelDebug
	says := errors.As(err, new(redisError))
	if (!f.said || says && !f.named) && (b.opts.Away == nil || !b.opts.Away()) {
		f.said, f.named, level = true, says, slog.LevelWarn
	}
	b.log.Log(b.ctx, level, what, "attempt", f.n, "error", err)
}

// Close publishes what is still queued, if Redis takes it until ctx is over (nothing is awaited if it
// is over already), ends every wait and question with [ErrClosed], and returns when all goroutines
// have ended; handlers of server-side events hold it up. It is called once.
func (b *Bus) Close(ctx context.Context) {
	flushed := make(chan struct{})
	b.out.push(b, outItem{done: func(int, error) { close(flushed) }})
	select {
	case <-flushed:
	case <-ctx.Done():
	}
	b.cancel()
	b.wg.Wait()
}

// Enter subscribes to what concerns a namespace. wait returns when Redis has
// confirmed it, so that every message published from then on is received: nil; or
// [ErrLeft], [ErrClosed] or the end of ctx. It goes on waiting when the connection breaks; see
// [Bus.Connected].
func (b *Bus) Enter(fullName string) (wait func(context.Context) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sp := b.spaces[fullName]
	if sp == nil {
		_, name := namespace.SplitFullName(fullName)
		sp = &space{full: fullName, name: name}
		sp.data.init(b, func(r received) { b.handle(sp, r) })
		sp.side.init(b, func(m *namespace.Message) { b.local.Deliver(m) })
		b.spaces[fullName] = sp
		names := []struct {
			channel string
			kind    chanKind
		}{
			{b.broadcastChannel(fullName), chanBroadcast},
			{b.requestChannel(fullName), chanRequest},
			{b.responseChannel(fullName), chanResponse},
			{b.ownResponseChannel(fullName), chanResponse},
		}
		if b.opts.Dialect == wire.StockGo {
			names[0].channel += "#" // ours, see publishChannel
			names = append(names, names[0])
			names[4].channel = b.broadcastChannel(fullName)
		}
		for _, n := range names {
			s := b.retain(n.channel, n.kind, sp)
			sp.fixed = append(sp.fixed, s)
			if n.kind == chanRequest {
				sp.request = s
			}
		}
		if old := b.lingering[fullName]; old != nil {
			b.lingerOff(old)
		}
	}
	fixed := sp.fixed
	return func(ctx context.Context) error {
		for _, s := range fixed {
			if err := b.await(ctx, s, false); err != nil {
				return err
			}
		}
		return nil
	}
}

// Leave undoes Enter, and EnterRoom and SocketEntered for all that the namespace still has. Questions are
// answered for a second more.
func (b *Bus) Leave(fullName string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sp := b.spaces[fullName]
	if sp == nil {
		return
	}
	delete(b.spaces, fullName)
	sp.left = true
	for _, s := range sp.fixed {
		if s != sp.request {
			b.release(s, sp)
		}
	}
	b.lingerOn(sp)
	for _, s := range sp.rooms {
		b.release(s, sp)
	}
	for _, s := range sp.sockets {
		b.release(s, sp)
	}
	sp.rooms, sp.sockets = nil, nil // what it answers from now on
}

// EnterRoom says that the node has a socket in a room of a namespace that it has entered. Broadcasts
// of our nodes to the room are delivered at once. wait returns when those of other servers are
// received, too; it is nil if they are. It does not wait while there is no
// connection, nor longer than a second: a room is no less joined for that, and is subscribed when Redis is back.
func (b *Bus) EnterRoom(fullName, room string) (wait func(context.Context) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sp := b.spaces[fullName]
	if sp == nil {
		return nil
	}
	s := sp.rooms[room]
	if s == nil {
		s = b.retain(b.roomChannel(fullName, room), chanRoom, sp)
		if sp.rooms == nil {
			sp.rooms = make(map[string]*sub)
		}
		sp.rooms[room] = s
	}
	if s.state == subOn {
		return nil
	}
	return func(ctx context.Context) error {
		bounded, cancel := context.WithTimeout(ctx, roomWait)
		defer cancel()
		err := b.await(bounded, s, true)
		if ctx.Err() == nil && bounded.Err() != nil {
			return nil
		}
		return err
	}
}

// roomWait is how long a client's join may wait for a Redis that does not answer.
const roomWait = time.Second

// LeaveRoom undoes EnterRoom.
func (b *Bus) LeaveRoom(fullName, room string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if sp := b.spaces[fullName]; sp != nil && sp.rooms[room] != nil {
		b.release(sp.rooms[room], sp)
		delete(sp.rooms, room)
	}
}

// SocketEntered says that a socket is about to be in a namespace that the node has
// entered. It is called before the socket can receive, for every socket or for none: from the first call
// on the bus drops broadcasts to rooms, a socket's own included, that it has not been told of. Servers
// other than ours reach the socket by its id a moment later, and not at all without the call.
func (b *Bus) SocketEntered(fullName, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = true
	sp := b.spaces[fullName]
	if sp == nil || sp.sockets[id] != nil {
		return
	}
	if sp.sockets == nil {
		sp.sockets = make(map[string]*sub)
	}
	sp.sockets[id] = b.retain(b.roomChannel(fullName, id), chanRoom, sp)
}

// SocketLeft undoes SocketEntered.
func (b *Bus) SocketLeft(fullName, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if sp := b.spaces[fullName]; sp != nil && sp.sockets[id] != nil {
		b.release(sp.sockets[id], sp)
		delete(sp.sockets, id)
	}
}

// addresses says whether a broadcast to these rooms may concern a socket here, and whether the
// namespace has not been left since it was received.
func (b *Bus) addresses(sp *space, rooms []string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if sp.left {
		return false
	}
	for _, room := range rooms {
		if sp.rooms[room] != nil || sp.sockets[room] != nil {
			return true
		}
	}
	return len(rooms) == 0 || !b.told
}

// answers says whether a request is to be carried out: one that nobody waits for is
// not, where the node has left.
func (b *Bus) answers(sp *space, q *wire.Request) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !sp.left || q.ID != ""
}

// owns says whether a socket is known to be here.
func (b *Bus) owns(sp *space, id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return sp.sockets[id] != nil
}

func (b *Bus) broadcastChannel(full string) string { return b.opts.Prefix + "#" + full + "#" }

func (b *Bus) roomChannel(full, room string) string {
	return b.opts.Prefix + "#" + full + "#" + room + "#"
}

func (b *Bus) requestChannel(full string) string {
	return b.opts.Prefix + requestSuffix + "#" + full + "#"
}

func (b *Bus) responseChannel(full string) string {
	return b.opts.Prefix + responseSuffix + "#" + full + "#"
}

func (b *Bus) ownResponseChannel(full string) string {
	return b.responseChannel(full) + b.uid + "#"
}

// publishChannel is where our broadcasts go.
func (b *Bus) publishChannel(full string) string {
	return BroadcastChannel(b.opts.Prefix, b.opts.Dialect, full)
}

// BroadcastChannel is where broadcasts in a namespace are published, those to rooms included. Stock Go
// servers ignore the channel that Node takes for the whole namespace, and take one with an empty room
// instead.
func BroadcastChannel(prefix string, d wire.Dialect, fullName string) string {
	if d == wire.StockGo {
		return prefix + "#" + fullName + "##"
	}
	return prefix + "#" + fullName + "#"
}
