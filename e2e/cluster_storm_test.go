package e2e

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// ledger knows which broadcasts were sent while which client was in.
type ledger struct {
	mu    sync.Mutex // guards all
	said  []string   // every broadcast, in the order in which they began
	by    []*stormer
	taken map[string]bool // acknowledged to the sender

	inside int       // clients in, or on their way
	out    time.Time // when the last one left
}

// stormer is a client of the storm, for one stay.
type stormer struct {
	*member
	from  int            // index of the first broadcast that began after its CONNECT answer
	heard map[string]int // guarded by ledger.mu
}

// A namespace that retires after 50 ms, clients that come and go, three nodes. Whatever
// happens: nobody misses a broadcast, nobody is in what was retired, and all nodes agree at the end.
func TestCluster_Storm(t *testing.T) {
	t.Parallel()
	const (
		clients = 20
		length  = 30 * time.Second
		name    = "/storm"
	)
	c := startNodes(t, 3, 50*time.Millisecond)
	l := &ledger{taken: make(map[string]bool)}
	end := time.Now().Add(length)
	stays := make([]int, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for time.Now().Before(end) && !t.Failed() {
				if err := l.stay(c, c.all[r.IntN(3)], name, r); err != nil {
					t.Error(err)
					return
				}
				stays[i]++
				time.Sleep(l.pause(r))
			}
		})
	}
	all.Wait()
	total := 0
	for _, n := range stays {
		total += n
	}
	c.gone(name, c.all...)
	c.judge(c.all)
	setups, retirements := 0, 0
	for _, n := range c.all {
		life := c.life(n, name)
		setups += life.Setups
		retirements += len(life.Retirements)
	}
	epochs := make(map[uint64]bool)
	setUp := make(map[string]uint64)
	for _, m := range c.clients {
		epochs[m.in.Epoch] = true
		if e, ok := setUp[m.in.ID]; ok && e != m.in.Epoch {
			t.Errorf("%s was set up once and has been epochs %d and %d", m.in.ID, e, m.in.Epoch)
		}
		setUp[m.in.ID] = m.in.Epoch
	}
	t.Logf("%d stays, %d broadcasts, %d setups, %d retirements of %d epochs that clients were in", total, len(l.said), setups, retirements, len(epochs))
	if retirements < len(epochs) {
		t.Errorf("%d epochs were retired, clients were in %d", retirements, len(epochs))
	}
	if len(epochs) < 5 {
		t.Errorf("only %d incarnations: the storm does not test much", len(epochs))
	}
}

// pause is how long a client that has left stays away. Every other half second it is until
// nobody is in any more, and then, for all clients together, until about when the namespace
// is being retired: some times a moment before, some times after.
func (l *ledger) pause(r *rand.Rand) time.Duration {
	const lull = 500
	began := time.Now().UnixMilli() / lull
	if began%2 == 0 {
		return time.Duration(r.IntN(100)) * time.Millisecond
	}
	for time.Now().UnixMilli() < (began+2)*lull {
		l.mu.Lock()
		inside, out := l.inside, l.out
		l.mu.Unlock()
		if inside == 0 {
			delay := 48*time.Millisecond + time.Duration(began*1319%10_000)*time.Microsecond
			return time.Until(out.Add(delay + time.Duration(r.IntN(2000))*time.Microsecond))
		}
		time.Sleep(time.Millisecond)
	}
	return 0
}

// stay brings a client in, lets it speak now and then, and lets it leave when it has heard
// everything that was said while it was in.
func (l *ledger) stay(c *nodes, n *clusterNode, name string, r *rand.Rand) error {
	s := &stormer{heard: make(map[string]int)}
	l.mu.Lock()
	l.inside++
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.inside--
		l.out = time.Now()
	}()
	m, err := c.tryJoin(n, name, func(word string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		s.heard[word]++
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	s.member, s.from = m, len(l.said)
	l.mu.Unlock()
	for until := time.Now().Add(time.Duration(r.IntN(200)) * time.Millisecond); time.Now().Before(until); {
		time.Sleep(time.Duration(r.IntN(50)) * time.Millisecond)
		w := word()
		l.mu.Lock()
		l.said, l.by = append(l.said, w), append(l.by, s)
		l.mu.Unlock()
		if err := m.say(w); err != nil {
			return err
		}
		l.mu.Lock()
		l.taken[w] = true
		l.mu.Unlock()
	}
	l.mu.Lock()
	to := len(l.said)
	l.mu.Unlock()
	deadline := time.Now().Add(patience)
	for {
		missing := l.missing(s, to)
		if missing == "" {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("client %s of %s, in since %v, has not heard %s", m.id, n.id, m.since, missing)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if m.gone() {
		return fmt.Errorf("client %s of %s was dropped", m.id, n.id)
	}
	m.leave()
	return nil
}

// missing says what a client still has to hear of what was said before to. What is not acknowledged
// yet is waited for, too.
func (l *ledger) missing(s *stormer, to int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := s.from; i < to; i++ {
		w := l.said[i]
		switch {
		case l.by[i] == s:
		case s.heard[w] > 1:
			return fmt.Sprintf("%s only once", w)
		case s.heard[w] == 0:
			return fmt.Sprintf("%s, which %s of %s said in epoch %d (taken: %v)", w, l.by[i].id, l.by[i].node.id, l.by[i].in.Epoch, l.taken[w])
		}
	}
	return ""
}
