package namespace

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Dismissed is gone at once, everything that retiring brings included.
func TestRegistry_Dismiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{Retirement: time.Hour})
		l := newLife(t, r)
		retired := make(chan uint64, 2)
		r.OnRetire(func(_ string, epoch uint64) { retired <- epoch })
		p := newPeer(t, r, dial{})
		epoch := p.join("/x").Namespace().Epoch()
		if err := r.Dismiss(t.Context(), "/x"); !errors.Is(err, ErrOccupied) {
			t.Errorf("occupied: %v", err)
		}
		for name, want := range map[string]error{"/": ErrPermanent, "/none": ErrUnknown} {
			if err := r.Dismiss(t.Context(), name); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		}
		p.leave("/x")
		synctest.Wait()
		if err := r.Dismiss(t.Context(), "/x"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l.want(1, 1)
		if r.Lookup("/x") != nil || len(retired) != 1 || <-retired != epoch {
			t.Error("it is still there, or OnRetire was not told")
		}
		if err := r.Dismiss(t.Context(), "/x"); !errors.Is(err, ErrUnknown) {
			t.Errorf("again: %v", err)
		}
		p.close()
	})
}

// A client that comes before a dismissal has been carried out keeps the namespace, and what
// counts when it has left is the retirement time.
func TestSolo_JoinCallsADismissalOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{Retirement: time.Hour})
		l := newLife(t, r)
		p := newPeer(t, r, dial{})
		p.join("/x")
		p.leave("/x")
		synctest.Wait()
		solo := r.solo
		solo.mu.Lock()
		rec := solo.live["/x"]
		solo.countLocked("/x", rec, time.Hour) // as a dismissal, only that its timer waits for us
		due := rec.due
		solo.mu.Unlock()
		p.join("/x")
		synctest.Wait()
		solo.retire("/x", rec, &due) // the timer was firing when the client came
		l.want(1, 0)
		p.leave("/x")
		time.Sleep(time.Hour - time.Second)
		synctest.Wait()
		if r.Lookup("/x") == nil {
			t.Error("the hour of its second emptiness was cut short")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if r.Lookup("/x") != nil {
			t.Error("it does not retire any more")
		}
		p.close()
	})
}

// A new retirement time counts for what is empty, with the time that it has been empty.
func TestNamespace_SetRetirementCountsNow(t *testing.T) {
	for _, c := range []struct {
		before, after, gone time.Duration // gone: after it was left; -1: never
	}{
		{time.Hour, time.Minute, time.Minute}, {time.Minute, time.Hour, time.Hour}, {time.Hour, time.Second, 30 * time.Second},
		{Never, time.Minute, time.Minute}, {time.Minute, Never, -1}, {time.Hour, -1, 30 * time.Second},
	} {
		t.Run(fmt.Sprintf("%v to %v", c.before, c.after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry(t, Options{})
				l := newLife(t, r)
				l.configure = func(ns *Namespace) { ns.SetRetirement(c.before) }
				p := newPeer(t, r, dial{})
				ns := p.join("/x").Namespace()
				p.leave("/x")
				synctest.Wait()
				left := time.Now()
				time.Sleep(30 * time.Second)
				ns.SetRetirement(c.after)
				synctest.Wait()
				for r.Lookup("/x") != nil && time.Since(left) < 2*time.Hour {
					time.Sleep(time.Second)
					synctest.Wait()
				}
				gone := time.Since(left)
				if r.Lookup("/x") != nil {
					gone = -1
				}
				if gone != c.gone {
					t.Errorf("gone after %v, want %v", gone, c.gone)
				}
				p.close()
			})
		})
	}
}

// A socket cannot escape by leaving its own room, and nobody is hit who joined a room of that name.
func TestRegistry_DisconnectMeansOneSocket(t *testing.T) {
	c := newTrio(t)
	victim, bystander := c.sockets[0], c.sockets[1]
	victim.Leave(victim.Room())
	if _, err := bystander.enter([]string{victim.ID()}); err != nil {
		t.Fatal(err)
	}
	for _, s := range c.sockets {
		if _, err := s.enter([]string{"r"}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 { // from another node, and once it has gone
		if err := c.n[2-i].reg.Disconnect("/x", victim.ID()); err != nil {
			t.Fatal(err)
		}
		c.settle()
		if victim.Connected() {
			t.Error("it is still connected")
		}
		if i == 0 && !c.sockets[2].Connected() {
			t.Error("another one was disconnected")
		}
	}
	if err := c.n[2].reg.Disconnect("/x", c.sockets[2].ID()); err != nil || c.sockets[2].Connected() {
		t.Errorf("on its own node: %v", err)
	}
	if err := c.n[2].reg.Disconnect("/none", "x"); err != nil {
		t.Errorf("in a namespace that is not there: %v", err)
	}
}

func TestRegistry_SnapshotAndPermanent(t *testing.T) {
	r := newRegistry(t, Options{})
	r.Setup("*", accept)
	p := newPeer(t, r, dial{})
	p.join("/x")
	if _, err := r.Of("/kept", ""); err != nil {
		t.Fatal(err)
	}
	names := map[string]Info{}
	for _, i := range r.Snapshot() {
		names[i.FullName] = i
	}
	if len(names) != 3 || names["/x"].Sockets != 1 || names["/x"].Permanent || !names["/kept"].Permanent || !names["/"].Permanent {
		t.Errorf("snapshot %+v", names)
	}
	if all := r.Permanent(); len(all) != 2 {
		t.Errorf("%d permanent ones, want / and /kept", len(all))
	}
	if _, err := r.Of("/x", ""); err != nil {
		t.Fatal(err)
	}
	if all := r.Permanent(); len(all) != 3 {
		t.Errorf("%d permanent ones after Of of a live one, want 3", len(all))
	}
	p.close()
}

func TestContainsFold(t *testing.T) {
	for _, c := range []struct {
		full, part string
		want       bool
	}{{"/Kitchen", "kit", true}, {"/kitchen", "KIT", true}, {"/Küche", "ÜCHE", true}, {"/x", "", true}, {"/x", "y", false}, {"", "x", false}} {
		if got := ContainsFold(c.full, c.part); got != c.want {
			t.Errorf("%q in %q: %v", c.part, c.full, got)
		}
	}
}

func BenchmarkRegistry_Snapshot(b *testing.B) {
	r := newRegistry(b, Options{})
	for i := range 10_000 {
		if _, err := r.Of(fmt.Sprintf("/n/%05d", i), ""); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Snapshot()
	}
	b.StopTimer()
	start := time.Now()
	r.Permanent() // as many pointers under the lock
	b.ReportMetric(float64(time.Since(start).Microseconds()), "µs-locked")
}
