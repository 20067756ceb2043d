package engineio

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// In these tests the clock is synctest's: it jumps when everyone waits, so all
// times are exact.

func TestHeartbeat_PollingTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond})
		start := time.Now()
		sid, p := h.open("EIO=4&transport=polling")
		check(t, "reason", <-p.closed, ReasonPingTimeout)
		check(t, "after", time.Since(start), 500*time.Millisecond)
		check(t, "GET", h.serve("GET", "EIO=4&transport=polling&sid="+sid, "").status, 400)
		h.shut()
	})
}

// PROTOCOL: race e. A request at the very end finds the session gone, even if
// the timer is late.
func TestHeartbeat_OverdueSessionIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond})
		sid, p := h.open("EIO=4&transport=polling")
		time.Sleep(499 * time.Millisecond) // as a client's timer that runs ahead
		check(t, "GET", h.serve("GET", "EIO=4&transport=polling&sid="+sid, "").status, 400)
		check(t, "reason", <-p.closed, ReasonPingTimeout)
		h.shut()
	})
}

func TestHeartbeat_PollingRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{})
		sid, p := h.open("EIO=4&transport=polling")
		q := "EIO=4&transport=polling&sid=" + sid
		for range 3 {
			start := time.Now()
			check(t, "GET", h.serve("GET", q, "").body, "2")
			check(t, "ping after", time.Since(start), 25*time.Second)
			time.Sleep(19 * time.Second) // a slow pong is a pong
			check(t, "POST", h.serve("POST", q, "3").body, "ok")
		}
		check(t, "closed", len(p.closed), 0)
		h.shut()
		check(t, "reason", <-p.closed, ReasonServerShutdown)
	})
}

func TestHeartbeat_WebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{})
		c, p := h.pipeSocket("EIO=4&transport=websocket")
		start := time.Now()
		for range 3 {
			f, err := readFrame(c.br)
			if err != nil || string(f.Payload) != "2" {
				t.Fatalf("ping: %q, %v", f.Payload, err)
			}
			c.write("3")
		}
		check(t, "three rounds", time.Since(start), 75*time.Second)
		go func() { _, _ = readFrame(c.br) }() // the fourth ping stays unanswered
		check(t, "reason", <-p.closed, ReasonPingTimeout)
		check(t, "after", time.Since(start), (75+25+20)*time.Second)
		c.conn.Close()
		h.shut()
	})
}

// A client that talks but never answers a ping gets one timeout more, no
// second one. (Node extends it the same way.)
func TestHeartbeat_TalkIsNoPong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{})
		start := time.Now()
		sid, p := h.open("EIO=4&transport=polling")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				h.serve("POST", "EIO=4&transport=polling&sid="+sid, "4talk")
				time.Sleep(time.Second)
			}
		}()
		check(t, "reason", <-p.closed, ReasonPingTimeout)
		if took := time.Since(start); took < 64*time.Second || took > 66*time.Second {
			t.Errorf("closed after %v, want 25 s + 2 x 20 s", took)
		}
		cancel()
		<-done
		h.shut()
	})
}

// Pongs that nothing asked for put nothing off.
func TestHeartbeat_UnaskedPongs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{})
		sid, _ := h.open("EIO=4&transport=polling")
		q := "EIO=4&transport=polling&sid=" + sid
		start := time.Now()
		for range 20 {
			time.Sleep(time.Second)
			h.serve("POST", q, "3")
		}
		check(t, "GET", h.serve("GET", q, "").body, "2")
		check(t, "ping after", time.Since(start), 25*time.Second)
		h.shut()
	})
}

// slowReceive makes every handler take 100 seconds.
func (h *host) slowReceive() {
	h.setup = func(p *peer) {
		p.receive = func(data []byte, _ bool) error {
			time.Sleep(100 * time.Second)
			p.got <- message{string(data), false}
			return nil
		}
	}
}

// poll sends one GET after the other, until the session is gone.
func (h *host) poll(q string) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		for h.serve("GET", q, "").status == 200 {
		}
	}()
	return done
}

// While Receive blocks, the client's pong may lie unread: it is not held
// against a client that reads, however long that takes. Afterwards it is.
func TestHeartbeat_BlockedReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{})
		h.slowReceive()
		sid, p := h.open("EIO=4&transport=polling")
		q := "EIO=4&transport=polling&sid=" + sid
		polled := h.poll(q)
		// The pong stands behind three messages of 100 s each.
		check(t, "POST", h.serve("POST", q, "4a\x1e4b\x1e4c\x1e3").body, "ok")
		check(t, "received", len(p.got), 3)
		check(t, "closed", len(p.closed), 0)
		start := time.Now()
		check(t, "reason", <-p.closed, ReasonPingTimeout)
		check(t, "silence afterwards", time.Since(start), 45*time.Second)
		<-polled
		h.shut()
	})
}

// A client that has gone while Receive blocks sends no GET: it does not live on
// until the handler returns, which may wait for this very client.
func TestHeartbeat_BlockedReceiveAndNobodyReads(t *testing.T) {
	for _, protocol := range []string{"4", "3"} {
		synctest.Test(t, func(t *testing.T) {
			h := newHost(t, Options{AllowEIO3: true})
			h.slowReceive()
			sid, p := h.open("EIO=" + protocol + "&transport=polling")
			start := time.Now()
			body := map[string]string{"4": "4a", "3": "2:4a"}[protocol]
			posted := make(chan struct{})
			go func() { defer close(posted); h.serve("POST", "EIO="+protocol+"&transport=polling&sid="+sid, body) }()
			check(t, "reason", <-p.closed, ReasonPingTimeout)
			// Revision 3: the client's ping is due after 45 s, and then a noop lies
			// unread for 20 s.
			check(t, "after", time.Since(start), map[string]time.Duration{"4": 45 * time.Second, "3": 65 * time.Second}[protocol])
			<-posted
			h.shut()
		})
	}
}

// Whoever sends pongs, or pings in revision 3, and never reads does not live on:
// they answer nothing that the client can have seen.
func TestHeartbeat_BlindPongs(t *testing.T) {
	for protocol, body := range map[string]string{"4": "3", "3": "1:2"} {
		synctest.Test(t, func(t *testing.T) {
			h := newHost(t, Options{AllowEIO3: true})
			sid, p := h.open("EIO=" + protocol + "&transport=polling")
			q := "EIO=" + protocol + "&transport=polling&sid=" + sid
			start := time.Now()
			for h.serve("POST", q, body).status == 200 {
				time.Sleep(time.Second)
			}
			check(t, "reason", <-p.closed, ReasonPingTimeout)
			if took := time.Since(start); took > 46*time.Second {
				t.Errorf("revision %s: closed after %v, want 45 s", protocol, took)
			}
			h.shut()
		})
	}
}

func TestHeartbeat_Revision3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{AllowEIO3: true})
		sid, p := h.open("EIO=3&transport=polling")
		q := "EIO=3&transport=polling&sid=" + sid
		for range 3 {
			time.Sleep(44 * time.Second)
			check(t, "POST", h.serve("POST", q, "1:2").body, "ok")
			check(t, "GET", h.serve("GET", q, "").body, "1:3")
		}
		check(t, "with data", h.serve("POST", q, "3:2ab").body, "ok")
		check(t, "pong", h.serve("GET", q, "").body, "3:3ab")
		start := time.Now()
		check(t, "reason", <-p.closed, ReasonPingTimeout)
		check(t, "after", time.Since(start), 45*time.Second)
		h.shut()
	})
}

// The upgrade is bounded by its own timeout; the session is not touched.
func TestHeartbeat_UpgradeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{})
		sid, p := h.open("EIO=4&transport=polling")
		start := time.Now()
		c := h.pipeProbe("EIO=4&transport=websocket&sid=" + sid)
		for {
			if _, err := readFrame(c.br); err != nil {
				break
			}
		}
		check(t, "closed after", time.Since(start), 10*time.Second)
		check(t, "session closed", len(p.closed), 0)
		h.shut()
	})
}
