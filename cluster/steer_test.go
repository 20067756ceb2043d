package cluster

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/dynamicio/dynamicio/namespace"
)

func (w *world) retime(s *Session, name string, epoch uint64, d time.Duration) *Retime {
	w.Helper()
	op := &Retime{FullName: name, Epoch: epoch, Retirement: d}
	if err := s.Do(w.ctx, op); err != nil {
		w.Fatalf("retime %s: %v", name, err)
	}
	return op
}

func (w *world) dismiss(s *Session, name string) Dismissal {
	w.Helper()
	op := &Dismiss{FullName: name}
	if err := s.Do(w.ctx, op); err != nil {
		w.Fatalf("dismiss %s: %v", name, err)
	}
	return op.Dismissal
}

// dueIn is how long a namespace has left, by what the directory tells people.
func (w *world) dueIn(name string) time.Duration {
	w.Helper()
	n, ok := w.state(name)
	if !ok || n.Due.IsZero() {
		w.Fatalf("%s is not due: %+v", name, n)
	}
	return n.Due.Sub(n.Emptied)
}

// A new retirement time counts at once for what is empty, the time spent empty included.
func TestRetime_CountsNow(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	s, other := w.node("a"), w.node("b")
	w.settle(s, other)
	epoch := w.join(s, "/x")
	w.leave(s, "/x", time.Hour)
	if r := w.retime(s, "/x", epoch, time.Minute); !r.Empty || r.Current != epoch || w.dueIn("/x") != time.Minute {
		t.Errorf("retime = %+v, due after %v, want a minute", r, w.dueIn("/x"))
	}
	// The last word counts, from whichever node.
	w.retime(other, "/x", epoch, 2*time.Hour)
	w.beat(s, other)
	if names, d := w.retire(s); names != nil || d.Wait < time.Hour {
		t.Errorf("retired %v, next in %v", names, d.Wait)
	}
	w.retime(s, "/x", epoch, -1)
	if n, _ := w.state("/x"); !n.Permanent || !n.Due.IsZero() {
		t.Errorf("made permanent: %+v", n)
	}
	w.retime(s, "/x", epoch, time.Millisecond)
	time.Sleep(2 * time.Millisecond)
	w.beat(s, other)
	if names, _ := w.retire(s); len(names) != 1 {
		t.Error("not retired by the new time")
	}
	if r := w.retime(s, "/x", epoch, time.Hour); r.Current != 0 || w.admin.Exists(w.ctx, "dynamicio:{default}:ns:/x").Val() != 0 {
		t.Errorf("retime of a retired one = %+v", r)
	}
}

func TestRetime_OccupiedOrAnotherIncarnation(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	s := w.node("a")
	epoch := w.join(s, "/x")
	if r := w.retime(s, "/x", epoch, time.Minute); r.Empty {
		t.Error("occupied, and said to be empty")
	}
	if n := w.admin.ZCard(w.ctx, "dynamicio:{default}:due").Val(); n != 0 {
		t.Error("an occupied namespace is due")
	}
	before := w.dump()
	if r := w.retime(s, "/x", epoch-1, time.Hour); r.Current != 0 || w.dump() != before {
		t.Errorf("of another incarnation: %+v", r)
	}
}

// A dismissed namespace is due at once, and the lease holder is woken.
func TestDismiss_RetiresNow(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	s, other := w.node("a"), w.node("b")
	w.settle(s, other)
	notices := w.admin.Subscribe(w.ctx, s.dir.ControlChannel())
	defer notices.Close()
	if _, err := notices.Receive(w.ctx); err != nil {
		t.Fatal(err)
	}
	epoch := w.join(s, "/x")
	w.leave(s, "/x", time.Hour)
	if msg, err := notices.ReceiveMessage(w.ctx); err != nil || msg.Payload != fmt.Sprintf("due %d /x", epoch) {
		t.Errorf("the leave said %v, %v", msg, err)
	}
	if got := w.dismiss(other, "/x"); got != Dismissed {
		t.Errorf("answer %d", got)
	}
	if msg, err := notices.ReceiveMessage(w.ctx); err != nil || msg.Payload != fmt.Sprintf("due %d /x", epoch) {
		t.Errorf("the dismissal said %v, %v", msg, err)
	}
	w.beat(s, other)
	d, err := s.Retire(w.ctx, w.token)
	if err != nil || len(d.Retired) != 1 || d.Retired[0].FullName != "/x" || d.Retired[0].Epoch != epoch || d.Retired[0].Late > 30*time.Second {
		t.Errorf("decision %+v, %v", d, err)
	}
	if names, _ := w.retire(s); names != nil {
		t.Errorf("retired again: %v", names)
	}
}

// Who joins first calls a dismissal off, for good: also when that node dies at once.
func TestDismiss_AJoinCallsItOff(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	s, other := w.node("a"), w.node("b")
	w.settle(s, other)
	w.watch(s, other)
	epoch := w.join(s, "/x")
	w.retime(s, "/x", epoch, time.Hour)
	w.leave(s, "/x", time.Hour)
	w.dismiss(s, "/x")
	if got := w.join(other, "/x"); got != epoch {
		t.Errorf("joined epoch %d, want %d", got, epoch)
	}
	if names, _ := w.retire(s); names != nil {
		t.Errorf("retired %v while occupied", names)
	}
	w.evictAll(s)
	if got := w.sweep(s); got.Memberships != 1 {
		t.Errorf("swept %+v", got)
	}
	if names, _ := w.retire(s); names != nil {
		t.Errorf("retired %v: the dismissal outlived the join", names)
	}
	if got := w.dueIn("/x"); got != time.Hour {
		t.Errorf("due after %v, want its own hour", got)
	}
}

// What was made permanent after a dismissal, and then not permanent again, has its full time.
func TestDismiss_PermanenceCallsItOff(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	s := w.node("a")
	w.settle(s)
	epoch := w.join(s, "/x")
	w.leave(s, "/x", time.Hour)
	w.dismiss(s, "/x")
	w.retime(s, "/x", epoch, -1)
	w.retime(s, "/x", epoch, time.Hour)
	if names, _ := w.retire(s); names != nil {
		t.Errorf("retired %v at once", names)
	}
}

func TestDismiss_Refuses(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	s := w.node("a")
	w.join(s, "/occupied")
	w.join(s, "/permanent")
	w.leave(s, "/permanent", -1)
	before := w.dump()
	for name, want := range map[string]Dismissal{"/none": NotStanding, "/occupied": Occupied, "/permanent": Permanent} {
		if got := w.dismiss(s, name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	if w.dump() != before {
		t.Error("a refused dismissal wrote something")
	}
}

// In an era that is not settled it waits, as everything does.
func TestDismiss_WaitsUntilTheEraIsSettled(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	s := w.node("a")
	w.lead()
	w.join(s, "/x")
	w.leave(s, "/x", time.Hour)
	w.dismiss(s, "/x")
	names, d := w.retire(s)
	if names != nil || d.Gate != Unsettled {
		t.Fatalf("retired %v, gate %v", names, d.Gate)
	}
	for w.ctx.Err() == nil {
		w.beat(s)
		if names, d = w.retire(s); d.Gate != Unsettled {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if len(names) != 1 {
		t.Errorf("retired %v once settled", names)
	}
}

// A member tells of a new time whether it comes before, while or after it has left, and
// through a loss of its session.
func TestMember_SetRetirement(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	m := w.member("a", MemberOptions{})
	name := "/x"
	wait := m.Join(name, time.Hour)
	epoch, err := wait(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	m.Leave(name, epoch, time.Hour)
	m.SetRetirement(name, 2*time.Hour)
	dueAfter := func(want time.Duration) {
		t.Helper()
		w.until(fmt.Sprintf("due after %v", want), func() bool {
			n, ok := w.state(name)
			return ok && !n.Due.IsZero() && n.Retirement == want
		})
	}
	dueAfter(2 * time.Hour)
	m.SetRetirement(name, time.Minute)
	dueAfter(time.Minute)
	w.admin.ClientKillByFilter(w.ctx, "TYPE", "normal", "SKIPME", "yes")
	m.SetRetirement(name, 3*time.Hour)
	dueAfter(3 * time.Hour)
}

func TestMember_Dismiss(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	m := w.member("a", MemberOptions{})
	wait := m.Join("/x", time.Hour)
	epoch, err := wait(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Dismiss(w.ctx, "/x"); !errors.Is(err, namespace.ErrOccupied) {
		t.Errorf("occupied: %v", err)
	}
	if err := m.Dismiss(w.ctx, "/none"); !errors.Is(err, namespace.ErrUnknown) {
		t.Errorf("unknown: %v", err)
	}
	m.Leave("/x", epoch, time.Hour)
	w.until("dismissed", func() bool { return m.Dismiss(w.ctx, "/x") == nil })
	w.until("retired here", func() bool { return m.local.times("retire", "/x", epoch) == 1 })
}
