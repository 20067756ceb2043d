package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster"
	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// storm is the program of the nodes in the tests of the cluster.
var storm = program("./storm")

// Short, so that eras settle while a test waits, and long enough for a machine
// that does other things too.
const (
	nodeTTL  = 2 * time.Second
	leaseTTL = time.Second
)

// nodes is a cluster of processes on one Redis.
type nodes struct {
	*testing.T
	redis *redistest.Server
	dir   *cluster.Directory // to look, it is no node
	all   []*clusterNode

	mu      sync.Mutex // guards the rest
	clients []*member
}

// clusterNode is one process.
type clusterNode struct {
	*server
	id string
}

// startNodes starts n nodes and waits until they may decide.
func startNodes(t *testing.T, n int, retirement time.Duration, flags ...string) *nodes {
	t.Helper()
	c := newNodes(t)
	for range n {
		c.start(c.redis.URL(), retirement, flags...)
	}
	c.converge(c.all...)
	return c
}

func newNodes(t *testing.T) *nodes {
	t.Helper()
	c := &nodes{T: t, redis: redistest.Start(t)}
	client, err := cluster.Connect(c.redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if c.dir, err = cluster.New(client, cluster.Options{Node: "observer", NodeTTL: nodeTTL}); err != nil {
		t.Fatal(err)
	}
	return c
}

// start adds a node, which reaches Redis at the URL.
func (c *nodes) start(redisURL string, retirement time.Duration, flags ...string) *clusterNode {
	c.Helper()
	n := &clusterNode{id: fmt.Sprintf("n%d", len(c.all)+1)}
	n.server = startProgram(c.T, storm, append([]string{
		"-redis", redisURL, "-node-id", n.id, "-node-ttl", nodeTTL.String(), "-lease-ttl", leaseTTL.String(),
		"-retirement", retirement.String(), "-drain-timeout", "5s",
	}, flags...)...)
	c.all = append(c.all, n)
	return n
}

// eventually waits until try has no error.
func (c *nodes) eventually(within time.Duration, what string, try func() error) {
	c.Helper()
	var err error
	for end := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
		if time.Now().After(end) {
			c.Fatalf("not within %v: %s: %v", within, what, err)
		}
	}
}

func (c *nodes) overview() (cluster.Overview, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.dir.Overview(ctx)
}

// converged says what is missing until exactly these nodes are in the cluster, and one of
// them may decide.
func (c *nodes) converged(want ...*clusterNode) error {
	o, err := c.overview()
	if err != nil {
		return err
	}
	var ids []string
	for _, n := range o.Nodes {
		if n.HeartbeatAge < nodeTTL {
			ids = append(ids, n.ID)
		}
	}
	var wanted []string
	for _, n := range want {
		wanted = append(wanted, n.id)
	}
	slices.Sort(wanted)
	switch {
	case !slices.Equal(ids, wanted) || len(o.Nodes) != len(want):
		return fmt.Errorf("nodes are %v, want %v", ids, wanted)
	case len(o.Asserting) > 0:
		return fmt.Errorf("still asserting: %v", o.Asserting)
	case o.SettledIn > 0:
		return fmt.Errorf("settled in %v", o.SettledIn)
	case !slices.Contains(wanted, o.Lease.Holder):
		return fmt.Errorf("the lease is held by %q", o.Lease.Holder)
	}
	for _, n := range want { // hears the others, too: a broadcast is not repeated for who does not
		if _, err := fetch(n.url() + "/readyz"); err != nil {
			return fmt.Errorf("%s is not ready: %w", n.id, err)
		}
	}
	return nil
}

// converge waits for converged. A new era alone takes a node TTL.
func (c *nodes) converge(want ...*clusterNode) {
	c.Helper()
	c.eventually(patience, "the cluster converges", func() error { return c.converged(want...) })
}

// holder returns the node that holds the lease.
func (c *nodes) holder() *clusterNode {
	c.Helper()
	var h *clusterNode
	c.eventually(patience, "somebody holds the lease", func() error {
		o, err := c.overview()
		if err != nil {
			return err
		}
		for _, n := range c.all {
			if n.id == o.Lease.Holder {
				h = n
				return nil
			}
		}
		return fmt.Errorf("it is held by %q", o.Lease.Holder)
	})
	return h
}

// others returns the nodes without one.
func (c *nodes) others(not *clusterNode) []*clusterNode {
	return slices.DeleteFunc(slices.Clone(c.all), func(n *clusterNode) bool { return n == not })
}

// life is what the storm program counts of a name.
type life struct {
	Setups, Expiries int
	Retirements      []struct {
		Epoch uint64
		At    int64
	}
	Expired map[string]int64
	Wrong   []string
}

// counts asks a node for its book.
func (n *clusterNode) counts() (map[string]life, error) {
	var book map[string]life
	b, err := fetch(n.url() + "/counts")
	if err == nil {
		err = json.Unmarshal(b, &book)
	}
	return book, err
}

// lives returns what a node has counted of a name.
func (c *nodes) life(n *clusterNode, name string) life {
	c.Helper()
	book, err := n.counts()
	if err != nil {
		c.Fatal(err)
	}
	return book[name]
}

// gone waits until a namespace is nowhere: every node has expired what it set
// up, and Redis has forgotten it.
func (c *nodes) gone(name string, on ...*clusterNode) {
	c.Helper()
	c.eventually(patience, name+" is gone everywhere", func() error {
		for _, n := range on {
			book, err := n.counts()
			if err != nil {
				return err
			}
			if l := book[name]; l.Setups != l.Expiries {
				return fmt.Errorf("%s: %d setups, %d expiries", n.id, l.Setups, l.Expiries)
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, stands, err := c.dir.Namespace(ctx, name)
		if stands {
			err = fmt.Errorf("it stands in Redis")
		}
		return err
	})
}

// member is a client in a namespace of the storm program, which has been told where it is.
type member struct {
	*socket
	node *clusterNode
	in   incarnation

	mu    sync.Mutex // guards heard
	heard map[string]int
}

type incarnation struct {
	Epoch    uint64
	ID, Node string
}

// join brings a client in.
func (c *nodes) join(n *clusterNode, name string) *member {
	c.Helper()
	m, err := c.tryJoin(n, name, nil)
	if err != nil {
		c.Fatal(err)
	}
	return m
}

// tryJoin may be called from any goroutine. heard is called with every broadcast.
func (c *nodes) tryJoin(n *clusterNode, name string, heard func(word string)) (*member, error) {
	m := &member{node: n, heard: make(map[string]int)}
	told := make(chan incarnation, 1)
	s, err := dialSocket(n.addr, name, func(event string, args []json.RawMessage) {
		switch event {
		case "incarnation":
			var in incarnation
			if json.Unmarshal(args[0], &in) == nil {
				told <- in
			}
		case "say":
			var word string
			_ = json.Unmarshal(args[0], &word)
			if heard != nil {
				heard(word)
				return
			}
			m.mu.Lock()
			m.heard[word]++
			m.mu.Unlock()
		}
	})
	if err != nil {
		return nil, err
	}
	m.socket = s
	select {
	case m.in = <-told:
	case <-time.After(patience):
		s.conn.Close()
		return nil, fmt.Errorf("a client of %s in %s is not told its incarnation", n.id, name)
	}
	c.mu.Lock()
	c.clients = append(c.clients, m)
	c.mu.Unlock()
	return m, nil
}

// words numbers broadcasts, so that no two are alike.
var words struct {
	sync.Mutex
	n int
}

func word() string {
	words.Lock()
	defer words.Unlock()
	words.n++
	return fmt.Sprintf("w%d", words.n)
}

// say broadcasts a word and waits until the node has taken it.
func (m *member) say(word string) error {
	_, err := m.ask("broadcast", "say", word)
	return err
}

// hears waits until every one of the others has heard a word of each.
func (c *nodes) hears(all ...*member) {
	c.Helper()
	for _, from := range all {
		w := word()
		if err := from.say(w); err != nil {
			c.Fatal(err)
		}
		c.eventually(patience, fmt.Sprintf("all hear what %s of %s says", from.id, from.node.id), func() error {
			for _, to := range all {
				to.mu.Lock()
				n := to.heard[w]
				to.mu.Unlock()
				if to != from && n != 1 {
					return fmt.Errorf("%s of %s has heard it %d times", to.id, to.node.id, n)
				}
			}
			return nil
		})
	}
}

// inside fails the test if one of the clients has lost its connection.
func (c *nodes) inside(all ...*member) {
	c.Helper()
	for _, m := range all {
		if m.gone() {
			c.Errorf("client %s of %s was dropped from %s", m.id, m.node.id, m.namespace)
		}
	}
}

// judge looks at the books of nodes once all is over: nothing that may never be has been,
// every retirement was decided once, epochs only grew, and no client was in an incarnation that was
// retired while it was in. Clients of excused nodes, which the cluster had to take for dead,
// are not looked at.
func (c *nodes) judge(on []*clusterNode, excused ...*clusterNode) {
	c.Helper()
	retired := make(map[string]map[uint64]int64)
	for _, n := range on {
		book, err := n.counts()
		if err != nil {
			c.Fatal(err)
		}
		for name, l := range book {
			for _, wrong := range l.Wrong {
				c.Errorf("%s: %s: %s", n.id, name, wrong)
			}
			if retired[name] == nil {
				retired[name] = make(map[uint64]int64)
			}
			for _, r := range l.Retirements {
				if _, twice := retired[name][r.Epoch]; twice {
					c.Errorf("%s: epoch %d was retired twice", name, r.Epoch)
				}
				retired[name][r.Epoch] = r.At
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.clients {
		at, ok := retired[m.namespace][m.in.Epoch]
		m.socket.mu.Lock()
		ended := m.ended
		m.socket.mu.Unlock()
		if !ok || slices.Contains(excused, m.node) {
			continue
		}
		if ended.IsZero() || ended.UnixMicro() > at && m.since.UnixMicro() < at {
			c.Errorf("client %s of %s was in %s, epoch %d, which was retired meanwhile", m.id, m.node.id, m.namespace, m.in.Epoch)
		}
		if m.since.UnixMicro() > at {
			c.Errorf("client %s of %s was let into %s, epoch %d, which had been retired %d us before", m.id, m.node.id, m.namespace, m.in.Epoch, m.since.UnixMicro()-at)
		}
	}
	c.growing()
}

// growing fails the test if a client that came later was told a lower epoch. c.mu must be held.
func (c *nodes) growing() {
	c.Helper()
	byName := make(map[string][]*member)
	for _, m := range c.clients {
		byName[m.namespace] = append(byName[m.namespace], m)
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all := byName[name]
		slices.SortFunc(all, func(a, b *member) int { return a.since.Compare(b.since) })
		highest := all[0]
		for _, m := range all {
			highest.socket.mu.Lock()
			ended := highest.ended
			highest.socket.mu.Unlock()
			// Answers read at about the same time were not written in that order; one that
			// came after the other client had left was.
			if m.in.Epoch < highest.in.Epoch && !ended.IsZero() && ended.Before(m.since) {
				c.Errorf("%s: epoch %d at %s after epoch %d at %s", name, m.in.Epoch, m.node.id, highest.in.Epoch, highest.node.id)
			}
			if m.in.Epoch > highest.in.Epoch {
				highest = m
			}
		}
	}
}

// statusNodes returns the nodes that a node's status names.
func (n *clusterNode) statusNodes() ([]string, error) {
	var status struct{ Nodes []struct{ ID string } }
	b, err := fetch(n.url() + "/socket.io/status.json")
	if err == nil {
		err = json.Unmarshal(b, &status)
	}
	ids := make([]string, 0, len(status.Nodes))
	for _, s := range status.Nodes {
		ids = append(ids, s.ID)
	}
	return ids, err
}

// has says how often the log of a node has a text.
func (n *clusterNode) has(text string) int { return strings.Count(n.log.String(), text) }
