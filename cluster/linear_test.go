package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// The directory must behave as if its commands took effect one at a time, each at
// some moment between its call and its answer. The model below is that sequential
// directory, for three nodes and one namespace. Its retirement time is 0 or long, more than
// a test takes.

const (
	linearNodes = 3
	holderNode  = -1 // the lease holder, a fourth node whose own session is not modelled

	linearLong = time.Hour
)

// linearState is comparable, which porcupine wants.
type linearState struct {
	last      uint64              // highest number given out
	session   [linearNodes]uint64 // that stands; 0: none
	asserting [linearNodes]bool
	epoch     uint64 // of the namespace; 0: absent
	was       uint64
	long      bool                // its retirement time is linearLong, not 0
	dismissed bool                // it may be retired at once nonetheless
	member    [linearNodes]uint64 // session that made the node a member; 0: none
}

func (s linearState) empty() bool { return s.member == [linearNodes]uint64{} }

func (s linearState) anyAsserting() bool { return s.asserting != [linearNodes]bool{} }

type linearInput struct {
	op      string
	node    int
	session uint64 // that the command carries
	epoch   uint64 // of assert and retime
	full    bool   // of assert: occupied
	long    bool   // the retirement time that the command carries
}

type linearOutput struct {
	fenced   bool
	number   uint64 // session or epoch
	empty    bool   // of leave and retime
	standing Standing
	dismiss  Dismissal
	gate     Gate
	retired  []Retirement
	evicted  []string
}

// linearStep says whether the answer is right, and what the state is then.
func linearStep(s linearState, in linearInput, out linearOutput) (bool, linearState) {
	if in.op == "register" {
		ok := out.number > s.last
		s.last, s.session[in.node], s.asserting[in.node] = out.number, out.number, true
		return ok, s
	}
	if in.node != holderNode && (out.fenced || s.session[in.node] != in.session) {
		return out.fenced && s.session[in.node] != in.session, s
	}
	switch in.op {
	case "done":
		s.asserting[in.node] = false
		return true, s
	case "deregister":
		s.session[in.node], s.asserting[in.node] = 0, false
		return true, s
	case "join":
		return linearJoin(s, in, out)
	case "leave":
		return linearLeave(s, in, out)
	case "assert":
		return linearAssert(s, in, out)
	case "retime":
		if s.epoch == 0 || s.epoch != in.epoch {
			return out.number == 0, s
		}
		s.long = in.long
		return out.number == s.epoch && out.empty == s.empty(), s
	case "dismiss":
		return linearDismiss(s, out)
	case "retire":
		return linearRetire(s, out)
	case "evict": // when it may is for other tests: here it may always
		for _, id := range out.evicted {
			var node int
			fmt.Sscan(id, &node)
			if s.session[node] == 0 {
				return false, s
			}
			s.session[node], s.asserting[node] = 0, false
		}
		return true, s
	case "sweep":
		for i, session := range s.member {
			if session != s.session[i] {
				s.member[i] = 0
			}
		}
		return true, s
	}
	panic("no such command: " + in.op)
}

func linearJoin(s linearState, in linearInput, out linearOutput) (bool, linearState) {
	ok := out.number == s.epoch
	if s.epoch == 0 {
		ok = out.number > s.last
		s.last, s.epoch, s.was, s.long = out.number, out.number, 0, in.long
	}
	s.member[in.node], s.dismissed = in.session, false
	return ok, s
}

func linearLeave(s linearState, in linearInput, out linearOutput) (bool, linearState) {
	was := s.member[in.node] != 0
	if was {
		s.long = in.long
	}
	s.member[in.node] = 0
	return out.number == s.epoch && out.empty == (was && s.empty()), s
}

func linearAssert(s linearState, in linearInput, out linearOutput) (bool, linearState) {
	want := Retired
	switch {
	case s.epoch != 0 && in.epoch != 0 && (in.epoch == s.epoch || in.epoch == s.was):
		want = Stands
	case s.epoch != 0:
		want = Replaced
	case in.full:
		want = Restored
	}
	ok := out.standing == want
	if want == Restored {
		ok = ok && out.number > s.last
		s.last, s.epoch, s.was = out.number, out.number, in.epoch
		s.long, s.dismissed = in.long, false
	} else {
		ok = ok && out.number == s.epoch
	}
	if in.full {
		s.member[in.node], s.long, s.dismissed = in.session, in.long, false
	}
	return ok, s
}

func linearDismiss(s linearState, out linearOutput) (bool, linearState) {
	want := Dismissed
	switch {
	case s.epoch == 0:
		want = NotStanding
	case !s.empty():
		want = Occupied
	default:
		s.dismissed = true
	}
	return out.dismiss == want && out.number == s.epoch, s
}

func linearRetire(s linearState, out linearOutput) (bool, linearState) {
	if s.anyAsserting() {
		return out.gate == Asserting && out.retired == nil, s
	}
	if s.epoch == 0 || !s.empty() || s.long && !s.dismissed {
		return out.gate == Decided && out.retired == nil, s
	}
	ok := out.gate == Decided && len(out.retired) == 1 && out.retired[0].Epoch == s.epoch
	s.epoch, s.was, s.long, s.dismissed = 0, 0, false, false
	return ok, s
}

var linearModel = porcupine.Model{
	Init: func() any { return linearState{} },
	Step: func(state, in, out any) (bool, any) {
		ok, next := linearStep(state.(linearState), in.(linearInput), out.(linearOutput))
		return ok, next
	},
}

// history records what all clients do.
type history struct {
	*world
	start   time.Time
	clients atomic.Int64

	mu  sync.Mutex // guards ops
	ops []porcupine.Operation
}

// do runs one command and records it. An error that is no answer ends the test: the history
// would not tell what happened.
func (h *history) do(in linearInput, command func() (linearOutput, error)) linearOutput {
	id := int(h.clients.Add(1)) // each command is a client of its own: nothing is implied of their order
	call := time.Since(h.start)
	out, err := command()
	back := time.Since(h.start)
	if errors.Is(err, ErrFenced) {
		out = linearOutput{fenced: true}
	} else if err != nil {
		h.Errorf("%+v: %v", in, err)
		return out
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: id, Input: in, Call: int64(call), Output: out, Return: int64(back)})
	return out
}

// command runs one command of a session. Only the first that is fenced goes to Redis, so a session
// that has ended is not asked.
func (h *history) command(s *Session, node int, op string, epoch uint64, full bool) linearOutput {
	in := linearInput{op: op, node: node, session: s.Number(), epoch: epoch, full: full, long: rand.N(2) == 0}
	retirement := time.Duration(0)
	if in.long {
		retirement = linearLong
	}
	return h.do(in, func() (out linearOutput, err error) {
		switch op {
		case "join":
			j := &Join{FullName: "/x", Retirement: retirement}
			err = s.Do(h.ctx, j)
			out.number = j.Epoch
		case "leave":
			l := &Leave{FullName: "/x", Retirement: retirement}
			err = s.Do(h.ctx, l)
			out.number, out.empty = l.Epoch, l.Empty
		case "assert":
			a := &Assert{FullName: "/x", Epoch: epoch, Confirmed: s.Era(), Occupied: full, Retirement: retirement}
			err = s.Do(h.ctx, a)
			out.number, out.standing = a.Current, a.Standing
		case "retime":
			r := &Retime{FullName: "/x", Epoch: epoch, Retirement: retirement}
			err = s.Do(h.ctx, r)
			out.number, out.empty = r.Current, r.Empty
		case "dismiss":
			d := &Dismiss{FullName: "/x"}
			err = s.Do(h.ctx, d)
			out.number, out.dismiss = d.Epoch, d.Dismissal
		case "done":
			err = s.Heartbeat(h.ctx, Beat{Done: true})
		case "deregister":
			err = s.Deregister(h.ctx)
		}
		return out, err
	})
}

// register begins a session, as a command of the history.
func (h *history) register(d *Directory, node int) *Session {
	var s *Session
	h.do(linearInput{op: "register", node: node}, func() (linearOutput, error) {
		var err error
		if s, err = d.Register(h.ctx, NodeInfo{}); err != nil {
			return linearOutput{}, err
		}
		return linearOutput{number: s.Number()}, nil
	})
	return s
}

// node lives, joins, leaves, falls silent and comes back, until ctx ends.
func (h *history) node(ctx context.Context, d *Directory, node int) {
	s := h.register(d, node)
	if s == nil {
		return
	}
	defer func() { s.Close() }()
	var epoch uint64
	for ctx.Err() == nil {
		var out linearOutput
		switch n := rand.N(100); {
		case n < 25:
			out = h.command(s, node, "join", 0, false)
			epoch = max(epoch, out.number)
		case n < 50:
			out = h.command(s, node, "leave", 0, false)
		case n < 60:
			out = h.command(s, node, "assert", epoch, n < 55)
			epoch = max(epoch, out.number)
		case n < 66:
			out = h.command(s, node, "retime", epoch, false)
		case n < 74:
			out = h.command(s, node, "dismiss", 0, false)
			if !out.fenced && n < 72 { // before the lease holder has looked
				if out = h.command(s, node, "join", 0, false); !out.fenced {
					out = h.command(s, node, "leave", 0, false)
				}
			}
		case n < 90:
			out = h.command(s, node, "done", 0, false)
		case n < 92:
			out = h.command(s, node, "deregister", 0, false)
		case n < 95:
			time.Sleep(minTTL * 3 / 2) // silent for too long
		default: // a connection breaks: what was under way races the new session
			old := s
			var late sync.WaitGroup
			late.Go(func() { h.command(old, node, "leave", 0, false) })
			late.Go(func() {
				if s = h.register(d, node); s == nil {
					s = old
				}
			})
			late.Wait()
			if s != old {
				old.Close()
			}
		}
		if out.fenced || s.Err() != nil {
			s.Close()
			if s = h.register(d, node); s == nil {
				return
			}
			if rand.N(2) == 0 {
				h.command(s, node, "done", 0, false)
			}
		}
		time.Sleep(rand.N(4 * time.Millisecond))
	}
}

func TestDirectory_IsLinearizable(t *testing.T) {
	srv := redistest.Start(t)
	w := newWorld(t, srv)
	counts := map[string]int{}
	missing := func() []string {
		return slices.DeleteFunc([]string{"join", "leave", "assert", "register", "retired", "evicted", "sweep", "fenced leave", "fenced join",
			"retime took effect", "dismiss took effect"}, func(what string) bool { return counts[what] > 0 })
	}
	for round := 0; round < 6 || len(missing()) > 0; round++ {
		if w.ctx.Err() != nil {
			t.Fatalf("no %q in any history: nothing was shown about them", missing())
		}
		w.admin.FlushAll(w.ctx)
		h := &history{world: w, start: time.Now()}
		var dirs [linearNodes + 1]*Directory
		for i := range dirs {
			dirs[i] = w.directory(fmt.Sprint(i), Options{NodeTTL: minTTL, Timeout: 10 * time.Second})
		}
		holder := w.register(dirs[linearNodes])
		w.settle(holder)
		run, stop := context.WithTimeout(w.ctx, 700*time.Millisecond)
		var wg sync.WaitGroup
		for i := range linearNodes {
			wg.Go(func() { h.node(run, dirs[i], i) })
		}
		// Two holders by their own lights, as after a lost lease: both have the token.
		for range 2 {
			wg.Go(func() {
				for run.Err() == nil {
					w.beat(holder)
					h.holder(holder, [...]string{"retire", "retire", "evict", "sweep"}[rand.N(4)])
					time.Sleep(rand.N(6 * time.Millisecond))
				}
			})
		}
		wg.Wait()
		stop()
		for _, op := range h.ops {
			in, out := op.Input.(linearInput), op.Output.(linearOutput)
			counts[in.op]++
			if out.fenced {
				counts["fenced "+in.op]++
			}
			counts["evicted"] += len(out.evicted)
			counts["retired"] += len(out.retired)
			if in.op == "retime" && out.number != 0 || in.op == "dismiss" && out.dismiss == Dismissed {
				counts[in.op+" took effect"]++
			}
		}
		result, _ := porcupine.CheckOperationsVerbose(linearModel, h.ops, 2*time.Minute)
		if result != porcupine.Ok {
			t.Fatalf("a history of %d commands is %v", len(h.ops), result)
		}
		holder.Close()
	}
	t.Logf("commands: %v", counts)
}

// holder runs a command of the lease holder.
func (h *history) holder(s *Session, op string) {
	h.do(linearInput{op: op, node: holderNode}, func() (out linearOutput, err error) {
		switch op {
		case "retire":
			d, e := s.Retire(h.ctx, h.token)
			out.gate, out.retired, err = d.Gate, d.Retired, e
		case "evict":
			d, e := s.Evict(h.ctx, h.token)
			out.evicted, err = d.Evicted, e
		case "sweep":
			_, err = s.Sweep(h.ctx, h.token)
		}
		return out, err
	})
}
