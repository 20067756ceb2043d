package bus

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/dynamicio/dynamicio/cluster/wire"
)

// Every so many probes a node says under which prefix its cluster is. Whoever has not been heard three times
// in a row has gone.
const (
	announceEvery = 10
	announceLost  = 3
)

// maxNeighbors bounds how many others a bus remembers. One is too many already.
const maxNeighbors = 16

// neighbors are those who share the prefix and should not.
type neighbors struct {
	channel string

	mu       sync.Mutex                // guards the rest; a leaf
	clusters map[string]neighbor       // others of ours, by name
	adapters map[wire.Adapter]neighbor // servers that do not speak as we do
}

type neighbor struct {
	node  string // one of its nodes
	heard time.Time
}

// announce says which cluster this node's prefix belongs to.
func (b *Bus) announce() {
	b.out.push(b, outItem{channel: b.neighbors.channel, payload: []byte(b.opts.Cluster + "\n" + b.opts.NodeID)})
}

// announced takes what another node, or this one, says of itself.
func (b *Bus) announced(payload []byte) {
	cluster, node, ok := parseAnnouncement(payload)
	if !ok {
		b.stats.malformed.Add(1)
		return
	}
	if cluster == b.opts.Cluster {
		return
	}
	n := &b.neighbors
	n.mu.Lock()
	fresh := remember(b, &n.clusters, cluster, node)
	n.mu.Unlock()
	if fresh {
		b.log.Warn("bus: another cluster uses the same prefix; give one of the two another --bus-prefix",
			"prefix", b.opts.Prefix, "other_cluster", cluster, "other_node", node)
	}
}

// maxAnnounced bounds the names in an announcement, as package cluster does, in bytes.
const maxAnnounced = 200

func parseAnnouncement(payload []byte) (cluster, node string, ok bool) {
	cluster, node, ok = strings.Cut(string(payload[:min(len(payload), 2*maxAnnounced+2)]), "\n")
	valid := func(s string) bool {
		return s != "" && len(s) <= maxAnnounced && !strings.ContainsFunc(s, unicode.IsControl)
	}
	return cluster, node, ok && valid(cluster) && valid(node)
}

// foreign notes that a server was heard whose adapter cannot be spoken to.
func (b *Bus) foreign(a wire.Adapter) {
	b.stats.foreign.Add(1)
	n := &b.neighbors
	n.mu.Lock()
	fresh := remember(b, &n.adapters, a, "")
	n.mu.Unlock()
	if fresh {
		b.log.Warn("bus: "+foreignText(a, b.opts.Prefix)+" "+foreignAdvice, "adapter", string(a), "prefix", b.opts.Prefix)
	}
}

func foreignText(a wire.Adapter, prefix string) string {
	return fmt.Sprintf("Servers with %s use the prefix %q, too: they and dynamicio do not understand each other, "+
		"and their fetchSockets and acknowledgements fail in namespaces that both have.", a, prefix)
}

const foreignAdvice = "Give them another channelPrefix, or this cluster another --bus-prefix."

// remember notes that a neighbor was heard, and says whether that is news. neighbors.mu must be held.
func remember[K comparable](b *Bus, known *map[K]neighbor, key K, node string) (fresh bool) {
	was, ok := (*known)[key]
	if !ok && len(*known) >= maxNeighbors {
		return false
	}
	if *known == nil {
		*known = make(map[K]neighbor)
	}
	(*known)[key] = neighbor{node, time.Now()}
	return !ok || time.Since(was.heard) > b.neighborTime()
}

// neighborTime is for how long a neighbor counts that is not heard any more.
func (b *Bus) neighborTime() time.Duration {
	return announceLost * announceEvery * b.opts.ProbeInterval
}

// Neighbors says, in sentences, who else uses the prefix and should not, as far as this node has heard in
// the last half minute.
func (b *Bus) Neighbors() []string {
	n := &b.neighbors
	var out []string
	n.mu.Lock()
	defer n.mu.Unlock()
	for cluster, other := range n.clusters {
		if time.Since(other.heard) <= b.neighborTime() {
			out = append(out, fmt.Sprintf("Cluster %s (node %s) uses the bus prefix %s, too: the two hear each other's broadcasts. "+
				"Give one of them another --bus-prefix.", cluster, other.node, b.opts.Prefix))
		}
	}
	for a, other := range n.adapters {
		if time.Since(other.heard) <= b.neighborTime() {
			out = append(out, foreignText(a, b.opts.Prefix)+" "+foreignAdvice)
		}
	}
	slices.Sort(out)
	return out
}

// Speaks says what broadcasts go by: prefix and dialect. Nodes that say different things do not hear each other.
func (b *Bus) Speaks() string {
	if b.opts.Dialect == wire.StockGo {
		return b.opts.Prefix + ", in the dialect go"
	}
	return b.opts.Prefix
}
