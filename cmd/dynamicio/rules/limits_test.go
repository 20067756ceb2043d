package rules

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
)

// However many come at the same time, no more are let in than there is room
// for: those on their way in count.
func TestGuard_LimitOfSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 5
		reg, _ := guarded(t, &Set{Rules: []*Rule{everywhere(func(r *Rule) { r.Limits.Sockets = limit })}})
		all := []*client{enter(t, reg, "", "/x", "")}
		gate := make(chan struct{}) // another middleware takes its time
		reg.Lookup("/x").Use(func(context.Context, *namespace.Socket) error { <-gate; return nil })
		answers := func() (in, full int) {
			synctest.Wait()
			for _, c := range all[1:] {
				select {
				case answer := <-c.conn.frames:
					if answer[0] == '0' {
						in++
					} else {
						full++
					}
				default:
				}
			}
			return in, full
		}
		for range 40 {
			all = append(all, dial(t, reg, "", "/x", ""))
		}
		if in, full := answers(); in != 0 || full != 40-(limit-1) {
			t.Errorf("%d are in and %d refused, want 0 and %d", in, full, 40-(limit-1))
		}
		close(gate)
		if in, full := answers(); in != limit-1 || full != 0 {
			t.Errorf("%d more are in and %d refused, want %d and 0", in, full, limit-1)
		}
		if got, want := refused(t, reg, "", "/x", ""), errFull.Error()+" namespace_full"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		enter(t, reg, "", "/y", "").leave() // another namespace has places of its own
		all[0].leave()
		synctest.Wait()
		enter(t, reg, "", "/x", "").leave()
		for _, c := range all[1:] {
			c.leave()
		}
	})
}

// One that is refused, or gone, before it is in gives its place back.
func TestGuard_LimitOfSockets_PlacesComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, _ := guarded(t, &Set{Rules: []*Rule{everywhere(func(r *Rule) { r.Limits.Sockets = 2 })}})
		first := enter(t, reg, "", "/x", "")
		defer first.leave()
		gate := make(chan struct{})
		reg.Lookup("/x").Use(func(ctx context.Context, _ *namespace.Socket) error {
			select {
			case <-gate:
				return namespace.Errorf("not you")
			case <-ctx.Done():
				return nil
			}
		})
		gone := dial(t, reg, "", "/x", "")
		synctest.Wait()
		gone.leave()
		synctest.Wait()
		other := dial(t, reg, "", "/x", "")
		defer other.leave()
		synctest.Wait()
		other.quiet() // it waits at the gate: the place of the one that has gone
		close(gate)
		if got := other.next(); !strings.Contains(got, "not you") {
			t.Errorf("it is told %s", got)
		}
		synctest.Wait()
		if got := refused(t, reg, "", "/x", ""); got != "not you" {
			t.Errorf("the place of the one that was refused: %s", got)
		}
	})
}

func TestGuard_LimitsOfOneSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, g := guarded(t, &Set{Rules: []*Rule{everywhere(func(r *Rule) {
			r.Limits = Limits{Rooms: 2, EventBytes: 20, EventsPerSecond: 1, EventsBurst: 4}
		})}})
		c := enter(t, reg, "", "/x", "")
		defer c.leave()
		for args, want := range map[string]string{
			`"join","a"`: ok,
			`"echo","0123456789012345678901234567890"`: failed("the event has 33 bytes, at most 20 are allowed"),
		} {
			if got := c.call(args); got != want {
				t.Errorf("%s: %s, want %s", args, got, want)
			}
		}
		c.call(`"join","b"`)
		if got := c.call(`"join","b"`); got != ok {
			t.Errorf("again into the same room: %s", got)
		}
		if got, want := c.call(`"join","c"`), failed("too many events: at most 1 a second, and 4 at once"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		time.Sleep(time.Second)
		if got, want := c.call(`"join","c"`), failed("a socket may be in 2 rooms at most"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got := c.call(`"echo",1`); got == "[1]" {
			t.Error("two events in a second")
		}
		other := enter(t, reg, "", "/x", "")
		defer other.leave()
		if got := other.call(`"echo",1`); got != "[1]" {
			t.Errorf("another socket pays for it: %s", got)
		}
		g.Replace(&Set{Rules: []*Rule{everywhere(func(r *Rule) { r.Limits.EventsPerSecond = 2 })}})
		for i, want := range []bool{true, true, false} {
			if got := c.call(`"echo",1`); (got == "[1]") != want {
				t.Errorf("event %d under the new limit: %s", i, got)
			}
		}
	})
}

// Less than one event a second is one now and then, not none.
func TestGuard_LimitBelowOneASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, _ := guarded(t, &Set{Rules: []*Rule{everywhere(func(r *Rule) { r.Limits.EventsPerSecond = 0.5 })}})
		c := enter(t, reg, "", "/x", "")
		defer c.leave()
		for i, want := range []bool{true, false, true} {
			if got := c.call(`"echo",1`); (got == "[1]") != want {
				t.Errorf("event %d: %s", i, got)
			}
			time.Sleep(time.Second + time.Millisecond)
		}
	})
}

// An event may be as large as the limit says.
func TestGuard_LimitOfBytes(t *testing.T) {
	reg, _ := guarded(t, &Set{Rules: []*Rule{everywhere(func(r *Rule) { r.Limits.EventBytes = 5 })}})
	c := enter(t, reg, "", "/x", "")
	defer c.leave()
	for args, want := range map[string]string{
		`"echo","123"`: `["123"]`, `"echo","1234"`: failed("the event has 6 bytes, at most 5 are allowed"),
	} {
		if got := c.call(args); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

// Rules that change, but not in how many events a socket may send, give it none anew.
func TestGuard_AnotherLimitIsNoFreshBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := func(rooms int) *Set {
			return &Set{Rules: []*Rule{everywhere(func(r *Rule) {
				r.Limits = Limits{EventsPerSecond: 1, EventsBurst: 1, Rooms: rooms}
			})}}
		}
		reg, g := guarded(t, set(1))
		c := enter(t, reg, "", "/x", "")
		defer c.leave()
		s := reg.Lookup("/x").Sockets()[0]
		may := func(rooms int) bool { return set(rooms).Rules[0].Limits.mayEvent(s) }
		if !may(1) || may(1) {
			t.Error("not one event, and then none")
		}
		g.Replace(set(2))
		if may(2) {
			t.Error("another bound of rooms gave an event")
		}
	})
}
