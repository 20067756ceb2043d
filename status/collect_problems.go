package status

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dynamicio/dynamicio/cluster"
)

// problems says in sentences what is not as it should be in the cluster. A
// node that drains is none: somebody wants it to.
func (c *Collector) problems(o *cluster.Overview) []string {
	out := []string{}
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if c.opts.Ready != nil {
		if err := c.opts.Ready(); err != nil {
			say("This node, %s, is not ready: %v.", c.opts.Node, err)
		}
	}
	for _, n := range o.Nodes {
		if n.HeartbeatAge > silentAfter {
			if n.HeartbeatAge < n.TTL {
				say("Node %s has been silent for %s; after %s it is evicted.", n.ID, seconds(n.HeartbeatAge), seconds(n.TTL))
				continue
			}
			// Who takes over the lease gives everybody the time anew.
			say("Node %s has been silent for %s and is about to be evicted.", n.ID, seconds(n.HeartbeatAge))
		}
	}
	out = append(out, surroundings(o)...)
	if o.Lease.Holder == "" && o.SettledIn == 0 {
		say("No node holds the lease: nothing retires until one does.")
	}
	for _, n := range o.Nodes {
		if slices.Contains(o.Asserting, n.ID) && assertingFor(o, &n) > assertTime {
			say("Node %s has not said for %s what it has: nothing retires until it does.", n.ID, seconds(assertingFor(o, &n)))
		}
	}
	return out
}

// assertTime is for how long a node may assert what it has before that is a problem. Most take milliseconds.
const assertTime = 10 * time.Second

// assertingFor is how long a node's session has been there. Its number is at least the time of its beginning, by
// Redis's clock in microseconds, and nearly always that very time.
func assertingFor(o *cluster.Overview, n *cluster.NodeState) time.Duration {
	return max(0, o.Time.Sub(time.UnixMicro(int64(n.Session))))
}

// notes says in sentences what is worth knowing and is as it should be: what a cluster goes through
// when it is new, and when Redis has come back.
func notes(o *cluster.Overview) []string {
	out := []string{}
	if o.SettledIn > 0 {
		out = append(out, fmt.Sprintf("Redis is new to the nodes, or has come back: nothing retires for another %s, so that every node can say what it has.",
			seconds(o.SettledIn)))
	}
	for _, n := range o.Nodes {
		if slices.Contains(o.Asserting, n.ID) && assertingFor(o, &n) <= assertTime {
			out = append(out, fmt.Sprintf("Node %s is still saying what it has: nothing retires meanwhile.", n.ID))
		}
	}
	return out
}

// rivalFor is how long it shows that a process was refused whose node id is taken. It tries again every 2 seconds.
const rivalFor = 5 * time.Second

// surroundings says what is wrong with how the nodes were set up beside each other and beside others.
func surroundings(o *cluster.Overview) (out []string) {
	speaks := map[string][]string{} // nodes by what their broadcasts go by
	for _, n := range o.Nodes {
		for _, note := range n.Notes {
			if !slices.Contains(out, note) { // several nodes may have found the same
				out = append(out, note)
			}
		}
		if n.RivalAge > 0 && n.RivalAge < rivalFor && n.HeartbeatAge < silentAfter {
			out = append(out, fmt.Sprintf("Another process (at %q) was started as node %s and is refused: every process needs a --node-id of its own.", n.Rival, n.ID))
		}
		if n.Bus != "" {
			speaks[n.Bus] = append(speaks[n.Bus], n.ID)
		}
	}
	if len(speaks) > 1 {
		var parts []string
		for _, bus := range slices.Sorted(maps.Keys(speaks)) {
			parts = append(parts, fmt.Sprintf("%s (%s)", bus, strings.Join(speaks[bus], ", ")))
		}
		out = append(out, "The nodes have different bus prefixes or dialects and do not hear each other's broadcasts: "+strings.Join(parts, "; ")+
			". Give all the same --bus-prefix and --bus-dialect.")
	}
	return out
}

// away says that Redis does not answer.
func (c *Collector) away() string {
	state := "does not answer"
	if c.opts.Away != nil {
		if d := c.opts.Away(); d >= time.Second {
			state = "has not answered for " + seconds(d)
		}
	}
	text := fmt.Sprintf("Redis %s: this is what node %s alone knows. Nothing retires, and nodes do not reach each other.",
		state, c.opts.Node)
	if c.opts.Ready != nil {
		if err := c.opts.Ready(); err != nil {
			text += fmt.Sprintf(" The node is %v.", err)
		}
	}
	return text
}

// seconds is a time for people: rounded up, so that it is never none.
func seconds(d time.Duration) string {
	return fmt.Sprintf("%d s", int64(math.Ceil(d.Seconds())))
}
