package namespace

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// What is counted agrees with what is there, and makes sense at any moment on the way.
func TestStats_AgreeWithWhatIsThere(t *testing.T) {
	r := newRegistry(t, Options{Retirement: time.Millisecond})
	r.Setup("*", accept)
	stop := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if s := r.Stats(); s.Namespaces < 1 || s.Occupied < 0 || s.Occupied > s.Namespaces || s.Sockets < 0 {
				t.Errorf("%d namespaces, %d of them occupied, %d sockets", s.Namespaces, s.Occupied, s.Sockets)
				return
			}
		}
	})
	for range 50 {
		p := newPeer(t, r, dial{})
		for i := range 4 {
			p.join(fmt.Sprintf("/%d", i*5+rand.IntN(5)))
		}
		switch rand.IntN(3) {
		case 0:
			p.close()
		case 1:
			p.leave(p.conn.client.Sockets()[0].Namespace().Name())
		}
	}
	eventually(t, "the counters stand at what is there", func() bool {
		s, occupied, sockets, all := r.Stats(), 0, 0, r.Namespaces()
		for _, ns := range all {
			n := ns.SocketCount()
			sockets += n
			if n > 0 {
				occupied++
			}
		}
		return s.Namespaces == int64(len(all)) && s.Occupied == int64(occupied) && s.Sockets == int64(sockets) && sockets > 0
	})
	close(stop)
	looking.Wait()
}

// A disconnect counts under its reason; one that is not the package's own is "other".
func TestStats_DisconnectsByReason(t *testing.T) {
	r := newRegistry(t, Options{})
	for _, reason := range []string{ReasonPingTimeout, ReasonPingTimeout, "a whim"} {
		r.stats.disconnected(reason)
	}
	s := r.Stats()
	if s.DisconnectsBy[ReasonPingTimeout] != 2 || s.DisconnectsBy["other"] != 1 || s.Disconnects != 3 || len(s.DisconnectsBy) != 9 {
		t.Errorf("%+v", s)
	}
}

// How long handlers take is counted for each event, what they wait for included.
func TestStats_HandlerDurations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{})
		r.Setup("/", func(ns *Namespace, _ Match) error {
			ns.On("e", func(_ context.Context, e *Event) error {
				var ms int
				err := e.Bind(&ms)
				time.Sleep(time.Duration(ms) * time.Millisecond)
				return err
			})
			return nil
		})
		p := newPeer(t, r, dial{})
		p.join("/")
		p.send(`2["e",20]`, `2["e",0]`, `2["e",30]`, `2["e",60000]`, `2["none"]`)
		time.Sleep(2 * time.Minute)
		want := Durations{Sum: time.Minute + 50*time.Millisecond}
		want.Counts[0], want.Counts[5], want.Counts[len(DurationBounds)] = 2, 2, 1
		if got := r.Stats().Handlers; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		p.close()
	})
}
