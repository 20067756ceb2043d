package namespace

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A connection that sends faster than it may is read at its pace, loses
// nothing, and is not closed; what it may send at once is a second's worth.
func TestClient_EventsPerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{EventsPerSecond: 10})
		handled := 0
		r.Setup("/", func(ns *Namespace, _ Match) error {
			ns.On("e", func(context.Context, *Event) error { handled++; return nil })
			return nil
		})
		p := newPeer(t, r, dial{})
		p.join("/")
		took := func(events int) time.Duration {
			t.Helper()
			begun, before := time.Now(), handled
			for range events {
				p.send(`2["e"]`)
			}
			synctest.Wait()
			if handled-before != events {
				t.Errorf("%d of %d events are handled", handled-before, events)
			}
			return time.Since(begun)
		}
		time.Sleep(time.Minute)
		if d := took(10); d != 0 {
			t.Errorf("a second's worth takes %v", d)
		}
		if d := took(20); d < 2*time.Second-leastPause || d > 2*time.Second+leastPause {
			t.Errorf("20 events more take %v, want 2s", d)
		}
		if n := r.Stats().Throttled; n == 0 || n > 20 {
			t.Errorf("%d pauses are counted", n)
		}
		time.Sleep(time.Hour)
		if d := took(11); d == 0 || d > 200*time.Millisecond {
			t.Errorf("after an hour of silence 11 events take %v, want a burst of 10 and one more", d)
		}
		p.close()
	})
}

// The end of a connection ends its pause.
func TestClient_EventsPerSecond_ClosedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{EventsPerSecond: 0.001})
		r.Setup("/", accept)
		p := newPeer(t, r, dial{})
		p.join("/")
		p.send(`2["e"]`)
		received := make(chan error, 1)
		go func() { received <- p.client.Receive([]byte(`2["e"]`), false) }()
		synctest.Wait()
		select {
		case err := <-received:
			t.Fatalf("the second event is read at once: %v", err)
		default:
		}
		begun := time.Now()
		p.close()
		if err := <-received; err != nil || time.Since(begun) != 0 {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
	})
}

// Without a bound there is no pause.
func TestClient_EventsPerSecond_NoBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{EventsPerSecond: -1})
		r.Setup("/", accept)
		p := newPeer(t, r, dial{})
		p.join("/")
		begun := time.Now()
		for range 20_000 {
			p.send(`2["e"]`)
		}
		if d := time.Since(begun); d != 0 {
			t.Errorf("it takes %v", d)
		}
		p.close()
	})
}
