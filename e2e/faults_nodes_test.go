package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A node dies without a word. The others go on, what it held alone retires once it
// has been counted out, and it comes back as if new.
func TestFaults_NodeKilled(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"holder", "other"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			c := startNodes(t, 3, time.Second)
			dead := c.holder()
			if who == "other" {
				dead = c.others(dead)[0]
			}
			rest := c.others(dead)
			lost, alone := c.join(dead, "/x"), c.join(dead, "/alone")
			a, b := c.join(rest[0], "/x"), c.join(rest[1], "/x")
			c.hears(lost, a, b)
			dead.kill()
			lost.leave()
			alone.leave()
			c.hears(a, b) // nobody waits for the dead
			c.converge(rest...)
			c.gone("/alone", rest...)
			// Retirement goes on, whoever decides.
			d := c.join(rest[0], "/y")
			d.leave()
			c.gone("/y", rest...)
			c.inside(a, b)

			dead.server.start()
			c.converge(c.all...)
			back := c.join(dead, "/x")
			if back.in.Epoch != a.in.Epoch {
				t.Errorf("back in epoch %d, want %d", back.in.Epoch, a.in.Epoch)
			}
			again := c.join(dead, "/alone")
			if again.in.Epoch <= alone.in.Epoch {
				t.Errorf("epoch %d after %d was retired", again.in.Epoch, alone.in.Epoch)
			}
			c.hears(a, b, back)
			c.inside(a, b, back, again)
			c.judge(c.all, dead) // the dead node's clients were taken for dead, too
			for _, n := range rest {
				if l := c.life(n, "/x"); l.Expiries != 0 {
					t.Errorf("%s: %+v, while clients are in /x", n.id, l)
				}
			}
		})
	}
}

// The holder of the lease stops for longer than the lease, and than its node TTL, and goes on
// where it was: another one has taken over, and what the old one still wanted to do is refused.
func TestFaults_HolderStopped(t *testing.T) {
	t.Parallel()
	for _, stop := range []time.Duration{leaseTTL + 300*time.Millisecond, nodeTTL + 3*time.Second} {
		t.Run(stop.String(), func(t *testing.T) {
			t.Parallel()
			c := startNodes(t, 3, 400*time.Millisecond)
			old := c.holder()
			rest := c.others(old)
			stopped := c.join(old, "/x")
			a, b := c.join(rest[0], "/x"), c.join(rest[1], "/x")
			alone := c.join(old, "/alone")
			c.hears(stopped, a, b)
			// Something is about to be due when it stops: on waking it would retire that.
			due := c.join(rest[0], "/due")
			due.leave()
			old.signal(syscall.SIGSTOP)
			woken := false
			defer func() {
				if !woken {
					old.signal(syscall.SIGCONT)
				}
			}()
			time.Sleep(stop / 2)
			back := c.join(rest[1], "/due")
			time.Sleep(stop / 2)
			c.hears(a, b)
			// Another one holds the lease by now, and decides.
			c.eventually(patience, "another node leads", func() error {
				o, err := c.overview()
				if err == nil && (o.Lease.Holder == old.id || o.Lease.Holder == "") {
					err = fmt.Errorf("the holder is %q", o.Lease.Holder)
				}
				return err
			})
			old.signal(syscall.SIGCONT)
			woken = true
			c.converge(c.all...)
			// Nobody was dropped, nor is anybody in two places.
			c.inside(stopped, a, b, alone, back)
			c.hears(stopped, a, b)
			late := c.join(old, "/x")
			if late.in.Epoch != a.in.Epoch {
				t.Errorf("on the woken node a client is in epoch %d, want %d", late.in.Epoch, a.in.Epoch)
			}
			for _, m := range []*member{stopped, a, b, alone, back, late} {
				m.leave()
			}
			for _, name := range []string{"/x", "/alone", "/due"} {
				c.gone(name, c.all...)
			}
			c.judge(c.all, old)
		})
	}
}

// One node is cut off from Redis for 30 seconds while the others go on. It keeps its clients,
// the others count it out, and afterwards all are one again.
func TestFaults_NodeCutOff(t *testing.T) {
	t.Parallel()
	const retirement = time.Second
	c := newNodes(t)
	p := startProxy(t, strings.TrimPrefix(c.redis.URL(), "redis://"))
	cut := c.start(p.url(), retirement)
	n2, n3 := c.start(c.redis.URL(), retirement), c.start(c.redis.URL(), retirement)
	c.converge(c.all...)
	inside, alone, other := c.join(cut, "/x"), c.join(cut, "/alone"), c.join(cut, "/alone")
	a, b := c.join(n2, "/x"), c.join(n3, "/x")
	gone := c.join(n2, "/gone")
	empty := c.join(cut, "/gone")
	empty.leave()
	c.hears(inside, a, b)
	began := time.Now()
	p.cut()
	c.converge(n2, n3)
	c.hears(a, b)
	c.hears(alone, other) // local traffic goes on
	// What it had emptied retires without it; what only it has is taken for empty.
	gone.leave()
	c.gone("/gone", n2, n3)
	during := c.join(cut, "/during") // admitted, as the option says
	first := c.join(cut, "/first")
	first.leave() // and what is left empty meanwhile retires afterwards
	elsewhere := c.join(n2, "/during")
	time.Sleep(time.Until(began.Add(30 * time.Second)))
	c.inside(inside, alone, other, a, b, during, elsewhere)
	p.heal()
	healed := time.Now()
	c.converge(c.all...)
	t.Logf("one cluster again %v after the cut ended", time.Since(healed))
	c.hears(inside, a, b)
	c.hears(alone, other)
	c.hears(during, elsewhere)
	if d := c.join(cut, "/during"); d.in.Epoch != elsewhere.in.Epoch {
		t.Errorf("epochs %d and %d of one namespace", d.in.Epoch, elsewhere.in.Epoch)
	} else {
		d.leave()
	}
	c.gone("/gone", c.all...)
	c.gone("/first", c.all...)
	c.inside(inside, alone, other, a, b, during, elsewhere)
	for _, m := range []*member{inside, alone, other, a, b, during, elsewhere} {
		m.leave()
	}
	for _, name := range []string{"/x", "/alone", "/during"} {
		c.gone(name, c.all...)
	}
	c.judge(c.all, cut)
}

// Without Redis, `--when-away refuse` keeps clients out, and lets them in when it is back.
func TestFaults_RefusesWhenAway(t *testing.T) {
	t.Parallel()
	c := newNodes(t)
	p := startProxy(t, strings.TrimPrefix(c.redis.URL(), "redis://"))
	cut := c.start(p.url(), time.Second, "-refuse-when-away")
	c.converge(cut)
	a, b := c.join(cut, "/x"), c.join(cut, "/x")
	p.cut()
	c.eventually(patience, "clients are kept out", func() error {
		for _, name := range []string{"/x", "/new"} {
			s, err := dialSocket(cut.addr, name, nil)
			if err == nil {
				s.leave()
				return fmt.Errorf("a client was let into %s", name)
			}
			if !strings.Contains(err.Error(), "44"+name) {
				return err
			}
		}
		return nil
	})
	c.hears(a, b) // those inside go on
	p.heal()
	c.converge(cut)
	d := c.join(cut, "/x")
	c.hears(a, b, d)
	c.inside(a, b, d)
	c.judge(c.all)
}
