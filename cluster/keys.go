package cluster

import (
	"fmt"
	"strings"
	"unicode"
)

// keys names everything in Redis; the scripts say what is in it. The hash tag puts all of
// it into one slot, and since it comes first, braces in a name do no harm.
type keys struct {
	prefix string // "dynamicio:{<cluster>}:"

	era, clock, sessions, asserting, nodes, stale, due, namespaces, lease, token, control string
	// These begin the keys of each node, namespace and ended session.
	nodePrefix, nsPrefix, leftPrefix string
}

func newKeys(cluster string) keys {
	p := "dynamicio:{" + cluster + "}:"
	return keys{
		prefix: p,
		era:    p + "era", clock: p + "epoch", sessions: p + "sessions", asserting: p + "asserting",
		nodes: p + "nodes", stale: p + "stale", due: p + "due", namespaces: p + "namespaces",
		lease: p + "lease", token: p + "token", control: p + "control",
		nodePrefix: p + "node:", nsPrefix: p + "ns:", leftPrefix: p + "left:",
	}
}

func (k keys) node(id string) string           { return k.nodePrefix + id }
func (k keys) nodeNamespaces(id string) string { return k.nodePrefix + id + ":namespaces" }
func (k keys) ns(fullName string) string       { return k.nsPrefix + fullName }

// maxNameLen bounds the names of clusters and nodes; they are part of every key.
const maxNameLen = 200

// checkName refuses what would make keys ambiguous or logs unreadable.
func checkName(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("cluster: %s is empty", what)
	case len(name) > maxNameLen:
		return fmt.Errorf("cluster: %s has %d bytes, at most %d are allowed", what, len(name), maxNameLen)
	case strings.ContainsAny(name, "{}") || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("cluster: %s %q has a brace or a control character", what, name)
	case strings.HasSuffix(name, ":namespaces"):
		// It would share a key with the set of namespaces of another node.
		return fmt.Errorf("cluster: %s %q ends in :namespaces", what, name)
	}
	return nil
}
