package namespace

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// mesh is a cluster in one process: a directory and a bus between registries.
// What a node announces takes effect in the order of its calls, but later, in
// a goroutine of the mesh, as over a network.
type mesh struct {
	t     testing.TB
	work  sync.WaitGroup // countdowns that fire
	auto  bool           // retire by itself when the time is over
	late  time.Duration  // what nodes are told comes up to this much later
	nodes []*meshNode

	mu     sync.Mutex // guards what follows, and is a leaf
	last   uint64
	dir    map[string]*meshEntry
	closed bool
}

type meshEntry struct {
	epoch   uint64
	members map[*meshNode]bool
	due     *time.Timer
}

func newMesh(t testing.TB) *mesh {
	m := &mesh{t: t, dir: make(map[string]*meshEntry), last: 100}
	t.Cleanup(m.close)
	return m
}

func (m *mesh) close() {
	m.mu.Lock()
	m.closed = true
	for _, e := range m.dir {
		m.callOffLocked(e)
	}
	m.mu.Unlock()
	m.work.Wait()
	for _, n := range m.nodes {
		n.ops.close()
		n.inbox.close()
		n.answering.Wait()
	}
}

// node adds a registry to the mesh.
func (m *mesh) node(opts Options) *meshNode {
	n := &meshNode{mesh: m, id: fmt.Sprintf("node-%d", len(m.nodes)+1)}
	n.ops, n.inbox = newQueue(), newQueue()
	opts.NodeID, opts.Cluster = n.id, n
	m.nodes = append(m.nodes, n)
	n.reg = newRegistry(m.t, opts)
	return n
}

// meshNode is one node's end of the mesh.
type meshNode struct {
	mesh       *mesh
	id         string
	reg        *Registry
	ops, inbox *queue
	answering  sync.WaitGroup

	mu      sync.Mutex // guards what follows
	joins   map[string]int
	leaves  map[string]int
	in      map[string]bool // joined and not left since, as announced
	rooms   map[string]bool
	sockets map[string]bool
	faults  []string // announcements that cannot be
	// joinStep, if set, runs before a join takes effect, in the mesh's
	// goroutine; it may wait, and an error is the answer.
	joinStep func(full string) error
	// answerStep, if set, runs before the answer of a join is handed out.
	answerStep func(full string, epoch uint64)
	// enterRoom, if set, is what EnterRoom returns.
	enterRoom func(ctx context.Context) error
	publish   error // what Publish returns
	silent    bool  // it answers nobody
}

func (n *meshNode) Start(Local) {}

// script changes how the node's end behaves.
func (n *meshNode) script(f func(*meshNode)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(n)
}

func (n *meshNode) Join(full string, _ time.Duration) func(context.Context) (uint64, error) {
	n.mu.Lock()
	if n.in == nil {
		n.joins, n.leaves, n.in = make(map[string]int), make(map[string]int), make(map[string]bool)
	}
	n.joins[full]++
	if n.in[full] {
		n.faults = append(n.faults, "joined twice: "+full)
	}
	n.in[full] = true
	n.mu.Unlock()
	type answer struct {
		epoch uint64
		err   error
	}
	answered := make(chan answer, 1)
	n.ops.put(func() {
		n.mu.Lock()
		joinStep, answerStep := n.joinStep, n.answerStep
		n.mu.Unlock()
		if joinStep != nil {
			if err := joinStep(full); err != nil {
				n.mu.Lock()
				n.in[full] = false // a join that failed needs no leave
				n.mu.Unlock()
				answered <- answer{0, err}
				return
			}
		}
		epoch := n.mesh.join(n, full)
		if answerStep != nil {
			answerStep(full, epoch)
		}
		answered <- answer{epoch, nil}
	})
	return func(ctx context.Context) (uint64, error) {
		select {
		case a := <-answered:
			return a.epoch, a.err
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// Admit implements Cluster; nothing is ever out of touch here.
func (n *meshNode) Admit() error { return nil }

func (n *meshNode) Leave(full string, epoch uint64, retirement time.Duration) {
	n.mu.Lock()
	n.leaves[full]++
	if !n.in[full] {
		n.faults = append(n.faults, "left without having joined: "+full)
	}
	n.in[full] = false
	n.mu.Unlock()
	n.ops.put(func() { n.mesh.leave(n, full, epoch, retirement) })
}

func (n *meshNode) SetRetirement(full string, epoch uint64, retirement time.Duration) {
	n.ops.put(func() { n.mesh.leave(n, full, epoch, retirement) }) // counts from now, which the tests of Solo do not let pass
}

func (n *meshNode) Dismiss(_ context.Context, full string) error {
	if n.mesh.retire(full) == 0 {
		return ErrOccupied
	}
	return nil
}

func (m *mesh) callOffLocked(e *meshEntry) {
	if e.due != nil && e.due.Stop() {
		m.work.Done()
	}
	e.due = nil
}

func (m *mesh) join(n *meshNode, full string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.dir[full]
	if e == nil {
		m.last++
		e = &meshEntry{epoch: m.last, members: make(map[*meshNode]bool)}
		m.dir[full] = e
	}
	m.callOffLocked(e)
	e.members[n] = true
	return e.epoch
}

func (m *mesh) leave(n *meshNode, full string, epoch uint64, retirement time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.dir[full]
	if e == nil || e.epoch != epoch {
		return
	}
	delete(e.members, n)
	if len(e.members) > 0 || !m.auto || m.closed || retirement == Never {
		return
	}
	m.callOffLocked(e)
	m.work.Add(1)
	var due *time.Timer
	due = time.AfterFunc(retirement, func() {
		defer m.work.Done()
		m.mu.Lock()
		stands := m.dir[full] == e && e.due == due && !m.closed
		m.mu.Unlock()
		if stands {
			m.retire(full)
		}
	})
	e.due = due
}

// retire retires a namespace if it is empty, and tells all nodes. It reports
// the epoch, or 0.
func (m *mesh) retire(full string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.dir[full]
	if e == nil || len(e.members) > 0 {
		return 0
	}
	delete(m.dir, full)
	for i, n := range m.nodes {
		n.inbox.put(func() {
			if m.late > 0 {
				time.Sleep(rand.N(m.late))
			}
			n.reg.Retire(full, e.epoch)
			if i == 0 {
				n.reg.Retired(full, e.epoch)
			}
		})
	}
	return e.epoch
}

// forget loses a namespace without a word, as a Redis that restarts empty.
func (m *mesh) forget(full string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.dir, full)
}

// stands returns the epoch of a namespace and whether a node is a member.
func (m *mesh) stands(full string, n *meshNode) (uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.dir[full]; e != nil {
		return e.epoch, e.members[n]
	}
	return 0, false
}

// settle waits until everything announced so far has reached everybody.
func (m *mesh) settle() {
	for range 2 { // an operation may cause a notice
		for _, n := range m.nodes {
			n.ops.drain()
			n.inbox.drain()
		}
	}
}

// balance returns how often the node joined and left a namespace.
func (n *meshNode) balance(full string) (joins, leaves int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.joins[full], n.leaves[full]
}

func (n *meshNode) wantNoFaults(t testing.TB) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.faults) > 0 {
		t.Errorf("%s announced what cannot be, %d times, first: %s", n.id, len(n.faults), n.faults[0])
	}
}

func (n *meshNode) Epoch(full string) uint64 {
	m := n.mesh
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.dir[full]; e != nil {
		return e.epoch
	}
	return 0
}

func (n *meshNode) EnterRoom(full, room string) func(context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.rooms == nil {
		n.rooms = make(map[string]bool)
	}
	n.rooms[full+" "+room] = true
	return n.enterRoom
}

func (n *meshNode) LeaveRoom(full, room string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.rooms[full+" "+room] {
		n.faults = append(n.faults, "left a room that nobody entered: "+room)
	}
	delete(n.rooms, full+" "+room)
}

func (n *meshNode) SocketEntered(full, id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sockets == nil {
		n.sockets = make(map[string]bool)
	}
	if n.sockets[full+" "+id] {
		n.faults = append(n.faults, "socket entered twice: "+id)
	}
	if !n.in[full] {
		n.faults = append(n.faults, "socket entered a namespace that was not joined: "+full)
	}
	n.sockets[full+" "+id] = true
}

func (n *meshNode) SocketLeft(full, id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.sockets[full+" "+id] {
		n.faults = append(n.faults, "socket left that was not in: "+id)
	}
	delete(n.sockets, full+" "+id)
}

// inRoom reports whether the node has to hear a room: some socket has joined
// it, or has it for its own.
func (n *meshNode) inRoom(full, room string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rooms[full+" "+room] || n.sockets[full+" "+room]
}

func (n *meshNode) Publish(msg *Message) error {
	n.mu.Lock()
	err := n.publish
	n.mu.Unlock()
	if err != nil {
		return err
	}
	for _, other := range n.mesh.nodes {
		if other != n {
			other.inbox.put(func() { other.reg.Deliver(msg) })
		}
	}
	return nil
}

func (n *meshNode) Ask(ctx context.Context, msg *Message, each func(Answer)) error {
	var (
		mu      sync.Mutex // guards what follows
		over    bool
		missing []string
	)
	all := make(chan struct{}) // closed when none is missing
	others := slices.DeleteFunc(slices.Clone(n.mesh.nodes), func(other *meshNode) bool { return other == n })
	for _, other := range others {
		missing = append(missing, other.id)
	}
	if len(others) == 0 {
		close(all)
	}
	for _, other := range others {
		other.mu.Lock()
		silent := other.silent
		other.mu.Unlock()
		if silent {
			continue
		}
		other.answering.Go(func() {
			answered := false // guarded by mu
			other.reg.Answer(ctx, msg, func(a Answer) {
				mu.Lock()
				defer mu.Unlock()
				if answered {
					other.fault("answered after the last answer")
				}
				if !over {
					each(a)
				}
			})
			mu.Lock()
			defer mu.Unlock()
			answered = true
			if ctx.Err() == nil {
				missing = slices.DeleteFunc(missing, func(id string) bool { return id == other.id })
				if len(missing) == 0 {
					close(all)
				}
			}
		})
	}
	select {
	case <-all:
	case <-ctx.Done():
	}
	mu.Lock()
	defer mu.Unlock()
	over = true
	if len(missing) > 0 {
		return &MissingError{Nodes: slices.Clone(missing)}
	}
	return nil
}

func (n *meshNode) fault(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = append(n.faults, what)
}

// queue runs functions one after the other in a goroutine of its own.
type queue struct {
	mu     sync.Mutex // guards jobs and closed
	wake   *sync.Cond
	jobs   []func()
	closed bool
	done   chan struct{}
}

func newQueue() *queue {
	q := &queue{done: make(chan struct{})}
	q.wake = sync.NewCond(&q.mu)
	go q.run()
	return q
}

func (q *queue) run() {
	defer close(q.done)
	for {
		q.mu.Lock()
		for len(q.jobs) == 0 && !q.closed {
			q.wake.Wait()
		}
		if len(q.jobs) == 0 {
			q.mu.Unlock()
			return
		}
		job := q.jobs[0]
		q.jobs = q.jobs[1:]
		q.mu.Unlock()
		job()
	}
}

func (q *queue) put(job func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs = append(q.jobs, job)
	q.wake.Signal()
}

// drain waits for all jobs put before.
func (q *queue) drain() {
	done := make(chan struct{})
	q.put(func() { close(done) })
	<-done
}

// close ends the queue once it is empty.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.wake.Signal()
	q.mu.Unlock()
	<-q.done
}

var errDown = errors.New("the directory is down")
