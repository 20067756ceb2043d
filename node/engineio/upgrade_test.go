package engineio

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

// probeWith opens a WebSocket for the session and exchanges the probe.
func (p *poller) probeWith() *wsClient {
	p.h.t.Helper()
	c := p.h.dial("EIO=" + p.eio + "&transport=websocket&sid=" + p.sid)
	c.write("2probe")
	if m := c.read(); m != "3probe" {
		p.h.t.Fatalf("answer to the probe: %q", m)
	}
	return c
}

// Messages of both directions cross the change of transport whole and in order.
func TestUpgrade_LosesNothing(t *testing.T) {
	for _, eio3 := range []bool{false, true} {
		h := listen(t, Options{AllowEIO3: true})
		var p *poller
		first := "4a"
		if eio3 {
			p, first = h.polling3(""), "2:4a"
		} else {
			p = h.polling()
		}
		p.text("0")
		p.post(first)
		c := p.probeWith()
		check(t, "before", p.Transport(), "polling")
		check(t, "queued before the probe goes by polling", p.get().status, 200)
		for i := range 100 {
			p.text(fmt.Sprint(i + 1))
		}
		c.write("5")
		c.write("4b")
		c.write("4c")
		for i := range 100 {
			check(t, "over WebSocket", c.read(), fmt.Sprint("4", i+1))
		}
		for _, want := range []string{"a", "b", "c"} {
			check(t, "received", receive(t, p.got).data, want)
		}
		check(t, "after", p.Transport(), "websocket")
		s := h.Stats()
		check(t, "stats", fmt.Sprint(s.Upgrades, s.Polling, s.WebSocket), "1 0 1")
	}
}

// A POST that is still being handled when the upgrade packet comes was sent
// before it: what follows on the WebSocket waits.
func TestUpgrade_WaitsForThePost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{})
		var order []string
		leave := make(chan struct{})
		h.setup = func(p *peer) {
			p.receive = func(data []byte, _ bool) error {
				order = append(order, string(data)) // calls come one at a time, or -race tells
				<-leave
				return nil
			}
		}
		sid, p := h.open("EIO=4&transport=polling")
		posted := make(chan answer)
		go func() { posted <- h.serve("POST", "EIO=4&transport=polling&sid="+sid, "4a\x1e4b") }()
		synctest.Wait() // until it is in the handler
		c := h.pipeProbe("EIO=4&transport=websocket&sid=" + sid)
		c.write("2probe")
		if f, err := readFrame(c.br); err != nil || string(f.Payload) != "3probe" {
			t.Fatalf("%q, %v", f.Payload, err)
		}
		c.write("5")
		go c.write("4c")
		synctest.Wait() // until everyone waits for the handler
		check(t, "before", fmt.Sprint(order, " ", p.Transport()), "[a] polling")
		close(leave)
		check(t, "POST", (<-posted).body, "ok")
		synctest.Wait()
		check(t, "after", fmt.Sprint(order, " ", p.Transport()), "[a b c] websocket")
		c.conn.Close()
		h.shut()
	})
}

// PROTOCOL: a GET after the probe ends with a noop, any number of them; the
// session's messages go first.
func TestUpgrade_GetEndsWithNoop(t *testing.T) {
	h := listen(t, Options{})
	p := h.polling()
	waiting := p.goGet() // from before the probe, as a real client has it
	p.waitGet()
	c := p.probeWith()
	check(t, "pending GET", receive(t, waiting).body, "6")
	check(t, "second GET", p.get().body, "6")
	p.text("m")
	check(t, "third GET", p.get().body, "4m")
	c.write("5")
	p.text("n")
	check(t, "over WebSocket", c.read(), "4n")
}

// PROTOCOL: race c. A GET that is there when the upgrade packet comes, or comes
// later, gets 400 and takes nothing with it.
func TestUpgrade_GetIsRefusedAfterwards(t *testing.T) {
	h := listen(t, Options{})
	p := h.polling()
	pending := p.goGet()
	p.waitGet()
	c := h.dial("EIO=4&transport=websocket&sid=" + p.sid)
	c.write("2probe")
	c.write("5")
	check(t, "pending GET", receive(t, pending).status, 400)
	check(t, "later GET", p.get().body, `{"code":3,"message":"Bad request"}`)
	check(t, "later POST", p.post("4x").status, 400)
	p.text("m")
	check(t, "probe", c.read(), "3probe")
	check(t, "message", c.read(), "4m")
}

// PROTOCOL: race d. One attempt at a time; a newcomer is closed, before and
// after the upgrade, and the first goes on.
func TestUpgrade_OnlyOne(t *testing.T) {
	h := listen(t, Options{})
	p := h.polling()
	c := p.probeWith()
	other := h.dial("EIO=4&transport=websocket&sid=" + p.sid)
	check(t, "during", other.readClose(), ws.StatusPolicyViolation)
	c.write("5")
	p.text("m")
	check(t, "message", c.read(), "4m")
	other = h.dial("EIO=4&transport=websocket&sid=" + p.sid)
	check(t, "after", other.readClose(), ws.StatusPolicyViolation)
	c.write("4still here")
	check(t, "received", receive(t, p.got).data, "still here")
}

// An attempt that is not completed in time, or goes wrong, is dropped; the
// session stays on polling and may try again.
func TestUpgrade_HalfOpen(t *testing.T) {
	h := listen(t, Options{UpgradeTimeout: 2 * time.Second}) // the last attempt has to be within it
	for name, attempt := range map[string]func(p *poller) *wsClient{
		"silent":         func(p *poller) *wsClient { return h.dial("EIO=4&transport=websocket&sid=" + p.sid) },
		"only the probe": func(p *poller) *wsClient { return p.probeWith() },
		"no probe": func(p *poller) *wsClient {
			c := h.dial("EIO=4&transport=websocket&sid=" + p.sid)
			c.write("5")
			return c
		},
		"a message": func(p *poller) *wsClient {
			c := p.probeWith()
			c.write("4x")
			return c
		},
		"garbage": func(p *poller) *wsClient {
			c := h.dial("EIO=4&transport=websocket&sid=" + p.sid)
			c.write("zzz")
			return c
		},
		"gone": func(p *poller) *wsClient {
			c := p.probeWith()
			c.conn.Close()
			return nil
		},
	} {
		p := h.polling()
		if c := attempt(p); c != nil {
			check(t, name, c.readClose(), ws.StatusNormalClosure)
		}
		h.eventually("the end of the attempt", func() bool {
			p.Conn.mu.Lock()
			defer p.Conn.mu.Unlock()
			return !p.Conn.poll.upgrading
		})
		check(t, name+": POST", p.post("4m").body, "ok")
		check(t, name+": received", receive(t, p.got).data, "m")
		c := p.probeWith()
		c.write("5")
		p.text("up")
		check(t, name+": tries again", c.read(), "4up")
	}
}

// A session that ends takes the attempt with it.
func TestUpgrade_SessionEndsMeanwhile(t *testing.T) {
	h := listen(t, Options{})
	p := h.polling()
	c := p.probeWith()
	p.Close(ReasonForcedClose)
	check(t, "probe", c.readClose(), 0)
	check(t, "reason", receive(t, p.closed), ReasonForcedClose)
}

// The heartbeat goes on across the upgrade: a ping that polling did not fetch
// comes over the WebSocket, and its pong counts.
func TestUpgrade_HeartbeatGoesOn(t *testing.T) {
	h := listen(t, Options{PingInterval: 40 * time.Millisecond, PingTimeout: time.Hour})
	p := h.polling()
	c := p.probeWith()
	c.write("5")
	for range 3 {
		check(t, "ping", c.read(), "2")
		c.write("3")
	}
	c.write("4m")
	check(t, "received", receive(t, p.got).data, "m")
}

func TestUpgrade_Refused(t *testing.T) {
	h := listen(t, Options{DisableUpgrades: true, AllowEIO3: true})
	a := h.do("GET", "EIO=4&transport=polling", "")
	p := h.peer()
	if _, err := dialWS(h.web.Listener.Addr().String(), "/socket.io/?EIO=4&transport=websocket&sid="+p.ID(), nil); err == nil {
		t.Error("upgraded though upgrades are off")
	}
	check(t, "nothing offered", a.body[len(`0{"sid":"`)+len(p.ID()):][:15], `","upgrades":[]`)
}
