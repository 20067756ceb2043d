package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis dies and comes back, with nothing or with what it knew some time ago. Nobody is
// dropped, nothing that is occupied expires, what was empty still retires.
func TestFaults_RedisRestarted(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"empty", "old"} {
		t.Run(data, func(t *testing.T) {
			t.Parallel()
			const retirement = time.Second
			c := startNodes(t, 3, retirement)
			n1, n2, n3 := c.all[0], c.all[1], c.all[2]
			a, b := c.join(n1, "/x"), c.join(n2, "/x")
			// The dump says that /old is occupied and /then is empty; both is over when it is loaded.
			old, then := c.join(n3, "/old"), c.join(n1, "/then")
			then.leave()
			if data == "old" {
				c.redis.Save()
			}
			then = c.join(n1, "/then")
			old.leave()
			c.gone("/old", c.all...)
			late := c.join(n2, "/late") // not in the dump
			empty := c.join(n3, "/empty")
			empty.leave() // its time begins, and Redis does not see the end of it
			c.hears(a, b)

			c.redis.Kill()
			away := time.Now()
			local := c.join(n1, "/x") // into what the node has
			first := c.join(n2, "/during")
			t.Logf("let in %v after Redis died", time.Since(away))
			c.hears(a, local)
			time.Sleep(time.Until(away.Add(nodeTTL + time.Second)))
			c.inside(a, b, then, late, local, first)
			c.redis.Restart()
			back := time.Now()
			c.converge(c.all...)
			t.Logf("one cluster again %v after Redis came back", time.Since(back))

			c.hears(a, b, local)
			for _, m := range []*member{a, b, then, late, local, first} {
				if l := c.life(m.node, m.namespace); l.Expiries != 0 && m.namespace != "/then" {
					t.Errorf("%s of %s: %+v, while a client is in it", m.namespace, m.node.id, l)
				}
			}
			one, two, three := c.join(n1, "/x"), c.join(n2, "/x"), c.join(n3, "/x")
			if one.in.Epoch != two.in.Epoch || two.in.Epoch != three.in.Epoch || one.in.Epoch < a.in.Epoch {
				t.Errorf("/x was epoch %d and is %d, %d, %d", a.in.Epoch, one.in.Epoch, two.in.Epoch, three.in.Epoch)
			}
			c.hears(one, two, three)
			c.inside(a, b, then, late, local, first, one, two, three)
			c.gone("/empty", c.all...)
			c.gone("/old", c.all...)
			for _, m := range []*member{a, b, then, late, local, first, one, two, three} {
				m.leave()
			}
			for _, name := range []string{"/x", "/then", "/late", "/during"} {
				c.gone(name, c.all...)
			}
			c.judge(c.all)
		})
	}
}

// FLUSHALL is a restart without a restart: no connection breaks.
func TestFaults_RedisFlushed(t *testing.T) {
	t.Parallel()
	c := startNodes(t, 2, time.Second)
	a, b := c.join(c.all[0], "/x"), c.join(c.all[1], "/x")
	empty := c.join(c.all[0], "/empty")
	empty.leave()
	if err := c.redis.Client().FlushAll(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	c.converge(c.all...)
	c.hears(a, b)
	d := c.join(c.all[1], "/x")
	if d.in.Epoch <= a.in.Epoch || d.in.ID != b.in.ID {
		t.Errorf("after a loss of data a client is in %+v, want a higher epoch than %d and no other setup than %s", d.in, a.in.Epoch, b.in.ID)
	}
	c.gone("/empty", c.all...)
	c.inside(a, b, d)
	c.judge(c.all)
}

// Redis stands still for ten seconds. Everybody misses heartbeats, and nobody is evicted for it.
func TestFaults_RedisStalled(t *testing.T) {
	t.Parallel()
	c := startNodes(t, 3, time.Second)
	n1, n2, n3 := c.all[0], c.all[1], c.all[2]
	a, b, alone := c.join(n1, "/x"), c.join(n2, "/x"), c.join(n3, "/alone")
	c.hears(a, b)
	admin := redis.NewClient(&redis.Options{Addr: c.redis.Addr, MaxRetries: -1, ReadTimeout: -1})
	defer admin.Close()
	stall := make(chan error, 1)
	go func() { // ends when Redis goes on
		stall <- admin.Do(context.Background(), "DEBUG", "SLEEP", "10").Err()
	}()
	time.Sleep(500 * time.Millisecond)
	during := c.join(n3, "/during")
	local := c.join(n1, "/x")
	select {
	case err := <-stall:
		t.Errorf("clients were let in only when Redis went on (%v)", err)
		stall <- nil
	default:
	}
	c.hears(a, local)
	c.inside(a, b, alone, during, local)
	if err := <-stall; err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	c.converge(c.all...)
	t.Logf("one cluster again %v after the stall", time.Since(back))
	c.hears(a, b, local)
	c.inside(a, b, alone, during, local)
	d := c.join(n2, "/x")
	if d.in.Epoch != a.in.Epoch {
		t.Errorf("/x is epoch %d after a stall, was %d", d.in.Epoch, a.in.Epoch)
	}
	e := c.join(n1, "/alone")
	if e.in.Epoch != alone.in.Epoch {
		t.Errorf("/alone is epoch %d after a stall, was %d", e.in.Epoch, alone.in.Epoch)
	}
	for _, n := range c.all {
		if n.has("node evicted") > 0 {
			t.Errorf("%s evicted a node", n.id)
		}
	}
	for _, m := range []*member{a, b, alone, during, local, d, e} {
		m.leave()
	}
	for _, name := range []string{"/x", "/alone", "/during"} {
		c.gone(name, c.all...)
	}
	c.judge(c.all)
}
