package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// formTimeout is how long servers may take to find each other: some 2 s.
const formTimeout = 30 * time.Second

// await polls until f is true. The servers say nothing when they are done.
func await(tb testing.TB, what string, f func() bool) {
	tb.Helper()
	for end := time.Now().Add(formTimeout); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("redistest: not within %v: %s", formTimeout, what)
		}
	}
}

// Replicated is a master with a replica, and a Sentinel that watches both and decides alone.
type Replicated struct {
	Master, Replica, Sentinel *Server // as they began
}

// SentinelName is what the Sentinel of [StartReplicated] calls its master.
const SentinelName = "main"

// StartReplicated starts all three and returns when a failover would succeed. A master that is
// silent for half a second is replaced, within two or three more.
func StartReplicated(tb testing.TB) *Replicated {
	tb.Helper()
	r := &Replicated{Master: Start(tb, "--repl-diskless-sync-delay", "0")}
	host, port, _ := net.SplitHostPort(r.Master.Addr)
	r.Replica = Start(tb, "--replicaof", host, port)
	replica := r.Replica.Client()
	await(tb, "the replica is in sync", func() bool {
		info, _ := replica.Info(context.Background(), "replication").Result()
		return strings.Contains(info, "master_link_status:up")
	})
	r.Sentinel = start(tb, func(host, port, dir string) []string {
		conf := fmt.Sprintf("bind %s\nport %s\ndir %s\n", host, port, dir) +
			fmt.Sprintf("sentinel monitor %s %s 1\n", SentinelName, strings.Replace(r.Master.Addr, ":", " ", 1)) +
			"sentinel down-after-milliseconds " + SentinelName + " 500\n" +
			"sentinel failover-timeout " + SentinelName + " 5000\n"
		path := filepath.Join(dir, "sentinel.conf") // it writes there what it finds
		if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
			tb.Fatalf("redistest: %v", err)
		}
		return []string{path, "--sentinel"}
	})
	c := r.Sentinel.Client()
	await(tb, "the Sentinel knows the replica", func() bool {
		all, _ := c.Do(context.Background(), "SENTINEL", "REPLICAS", SentinelName).Slice()
		return len(all) == 1 && strings.Contains(fmt.Sprint(all[0]), "master-link-status:ok")
	})
	return r
}

// URL is what a client is given.
func (r *Replicated) URL() string {
	return "redis+sentinel://" + r.Sentinel.Addr + "?master_name=" + SentinelName
}

// StartCluster starts a Redis Cluster of so many masters, which share the slots evenly.
func StartCluster(tb testing.TB, masters int) []*Server {
	tb.Helper()
	ctx := context.Background()
	all := make([]*Server, masters)
	for i := range all {
		all[i] = startClusterNode(tb)
		c := all[i].Client()
		first, last := 16384*i/masters, 16384*(i+1)/masters-1
		if err := c.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", first, last).Err(); err != nil {
			tb.Fatalf("redistest: %v", err)
		}
		// Each its own, or they would have to find out who gives way.
		if err := c.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			tb.Fatalf("redistest: %v", err)
		}
		if i > 0 {
			meet(tb, all[i], all[0])
		}
	}
	awaitCluster(tb, all)
	return all
}

// AddReplica gives a Redis Cluster a replica of one of its masters.
func AddReplica(tb testing.TB, all []*Server, master *Server) *Server {
	tb.Helper()
	ctx := context.Background()
	r := startClusterNode(tb)
	meet(tb, r, master)
	awaitCluster(tb, append(all[:len(all):len(all)], r))
	id, err := master.Client().Do(ctx, "CLUSTER", "MYID").Text()
	if err == nil {
		err = r.Client().Do(ctx, "CLUSTER", "REPLICATE", id).Err()
	}
	if err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	c := r.Client()
	await(tb, "the replica is in sync", func() bool {
		info, _ := c.Info(ctx, "replication").Result()
		return strings.Contains(info, "master_link_status:up")
	})
	return r
}

func startClusterNode(tb testing.TB) *Server {
	tb.Helper()
	// Its port for the others would be 10000 higher by default, which may be beyond 65535.
	_, port, _ := net.SplitHostPort(freeAddr(tb))
	return Start(tb, "--cluster-enabled", "yes", "--cluster-port", port, "--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0")
}

func meet(tb testing.TB, s, other *Server) {
	tb.Helper()
	host, port, _ := net.SplitHostPort(other.Addr)
	bus := ""
	for i, a := range other.args {
		if a == "--cluster-port" {
			bus = other.args[i+1]
		}
	}
	if err := s.Client().Do(context.Background(), "CLUSTER", "MEET", host, port, bus).Err(); err != nil {
		tb.Fatalf("redistest: %v", err)
	}
}

// awaitCluster returns when all know each other and serve all slots.
func awaitCluster(tb testing.TB, all []*Server) {
	tb.Helper()
	for _, s := range all {
		c := s.Client()
		await(tb, "the Redis Cluster is up", func() bool {
			info, err := c.ClusterInfo(context.Background()).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") &&
				strings.Contains(info, "cluster_known_nodes:"+strconv.Itoa(len(all))+"\r\n")
		})
	}
}

// ClusterURL is what a client is given: it finds the others.
func ClusterURL(s *Server) string { return "redis+cluster://" + s.Addr }

// Owner is the master that has a key's slot.
func Owner(tb testing.TB, all []*Server, key string) *Server {
	tb.Helper()
	for _, s := range all {
		if owns(s, key) {
			return s
		}
	}
	tb.Fatalf("redistest: nobody has the slot of %s", key)
	return nil
}

func owns(s *Server, key string) bool {
	c := s.Client()
	defer c.Close()
	err := c.Exists(context.Background(), key).Err()
	return err == nil || !redis.HasErrorPrefix(err, "MOVED")
}

// MoveSlot has another master take the slot of a key over. The keys in it are lost.
func MoveSlot(tb testing.TB, all []*Server, key string) {
	tb.Helper()
	ctx := context.Background()
	from := Owner(tb, all, key)
	to := all[(slices.Index(all, from)+1)%len(all)]
	c := to.Client()
	slot, err := c.ClusterKeySlot(ctx, key).Result()
	var fromID, toID string
	if err == nil {
		fromID, err = from.Client().Do(ctx, "CLUSTER", "MYID").Text()
	}
	if err == nil {
		toID, err = c.Do(ctx, "CLUSTER", "MYID").Text()
	}
	if err == nil {
		err = c.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", fromID).Err()
	}
	if err == nil { // what it imports it takes with a higher epoch than all others have
		err = c.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", toID).Err()
	}
	if err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	await(tb, "the former owner gives way", func() bool { return !owns(from, key) })
}
