package engineio

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// shedding returns when each of n sessions was told of its end, counted from
// the beginning of a Shed over a time.
func shedding(t *testing.T, h *host, n int, over time.Duration) (ended []time.Duration, took time.Duration) {
	t.Helper()
	begun := time.Now()
	times := make(chan time.Duration, n)
	for range n {
		_, p := h.open("EIO=4&transport=polling")
		go func() { // ends with the session
			check(t, "reason", <-p.closed, ReasonServerShutdown)
			times <- time.Since(begun)
		}()
	}
	h.Shed(t.Context(), over)
	took = time.Since(begun)
	for range n {
		ended = append(ended, receive(t, times))
	}
	return ended, took
}

// However many clients a node has, those that come back to the others come one
// after the other.
func TestShed_IsSpreadEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{})
		ended, took := shedding(t, h, 1000, 10*time.Second)
		slices.Sort(ended)
		for i := range ended[:len(ended)-102] {
			// The time of 100 turns, and the jitter at both of its ends.
			if apart := ended[i+101] - ended[i]; apart < time.Second-10*time.Millisecond {
				t.Fatalf("sessions %d to %d ended within %v", i, i+101, apart)
			}
		}
		if last := ended[len(ended)-1]; last < 9900*time.Millisecond || last > 10*time.Second {
			t.Errorf("the last ended after %v", last)
		}
		if took > 10*time.Second+closeGrace {
			t.Errorf("Shed took %v", took)
		}
		h.shut()
		check(t, "sessions", len(slices.Collect(h.Conns())), 0)
	})
}

// Nobody waits long for a node with few clients, nor at all with none.
func TestShed_OfFewIsQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{})
		ended, _ := shedding(t, h, 3, time.Minute)
		if last := slices.Max(ended); last > 3*slowestPace {
			t.Errorf("the last of 3 ended after %v", last)
		}
		synctest.Wait()
		begun := time.Now()
		h.Shed(t.Context(), time.Minute)
		check(t, "the time for none", time.Since(begun), time.Duration(0))
		h.shut()
	})
}

// A polling client that is between two GETs hears of the end as one that waits,
// after what was sent to it, and a client goes on until its turn.
func TestShed_EndsPollingCleanly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{})
		sid, p := h.open("EIO=4&transport=polling")
		query := "EIO=4&transport=polling&sid=" + sid
		go h.Shed(t.Context(), time.Minute) // ends within the test
		synctest.Wait()
		check(t, "handshake", h.serve("GET", "EIO=4&transport=polling", "").status, 503)
		check(t, "POST before the turn", h.serve("POST", query, "4hello").body, "ok")
		check(t, "message", receive(t, p.got).data, "hello")
		p.text("goodbye")
		check(t, "reason", receive(t, p.closed), ReasonServerShutdown)
		check(t, "GET", h.serve("GET", query, "").body, "4goodbye")
		check(t, "next GET", h.serve("GET", query, "").body, "1")
		check(t, "GET after the end", h.serve("GET", query, "").status, 400)
		h.shut()
	})
}

// A stop that may wait no longer leaves the rest to Close.
func TestShed_EndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{})
		for range 100 {
			h.open("EIO=4&transport=polling")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		h.Shed(ctx, 5*time.Second)
		check(t, "took", time.Since(begun), time.Second)
		h.shut()
		check(t, "sessions", len(slices.Collect(h.Conns())), 0)
	})
}
