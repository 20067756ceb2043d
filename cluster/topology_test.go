package cluster

import (
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/redis/go-redis/v9"
)

// documentedRights returns what doc.go tells the operator to allow, so that it is that which is tested.
// cluster: what a Redis Cluster needs besides is there, too.
func documentedRights(t *testing.T, cluster bool) []any {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile(`(?m)(^//\t.*\n)+`).FindAllString(string(text), -1)
	var rule string
	for _, b := range blocks {
		b = strings.ReplaceAll(b, "//\t", " ")
		if strings.Contains(b, "ACL SETUSER") || cluster && strings.Contains(b, "+cluster|") {
			rule += b
		}
	}
	var args []any
	for f := range strings.FieldsSeq(strings.NewReplacer("NODE", "node", "PASSWORD", "secret").Replace(rule)) {
		args = append(args, f)
	}
	if len(args) < 10 {
		t.Fatalf("doc.go names no rights, but %v", args)
	}
	return args
}

// allow makes the user. When the test is over, it fails if Redis has refused the user anything. What the
// test opens after this is closed before that.
func allow(t *testing.T, c *redis.Client, rights []any) {
	t.Helper()
	ctx := limit(t)
	if err := c.Do(ctx, rights...).Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		refused, err := c.ACLLog(ctx, 100).Result()
		if err != nil {
			t.Error(err)
		}
		for _, r := range refused {
			if r.Object == "client|setinfo" {
				continue // the library says its name, and does without
			}
			t.Errorf("Redis refused: %s %s", r.Reason, r.Object)
		}
	})
}

// Over TLS, as a user that may do what the documentation names and nothing else. It is
// no parallel test: see redistest.StartTLS.
func TestCluster_OverTLSAsAnACLUser(t *testing.T) {
	srv := redistest.StartTLS(t)
	admin := srv.Client()
	allow(t, admin, documentedRights(t, false))
	w := openWhole(t, srv.URL("node", "secret"), 2)
	w.life()
	list, err := admin.ClientList(w.ctx).Result()
	if err != nil {
		t.Fatal(err)
	}
	conns := 0
	for line := range strings.Lines(list) {
		if strings.Contains(line, " laddr="+srv.TLSAddr+" ") {
			conns++
			if !strings.Contains(line, " user=node ") {
				t.Errorf("not logged in: %s", line)
			}
		}
	}
	if conns < 8 { // a session, a listener and two of the bus, for each node
		t.Errorf("%d connections over TLS: %s", conns, list)
	}
	w.connect()
	w.agree()
	w.loseConnections(admin)
	w.undisturbed()
	w.retire()
	w.life() // the scripts are known by now, and the lease is held
}

// loseConnections cuts all nodes off that are at this server, which lets them back in.
func (w *whole) loseConnections(admin *redis.Client) {
	w.Helper()
	for _, kind := range []string{"normal", "pubsub"} {
		if err := admin.ClientKillByFilter(w.ctx, "TYPE", kind, "SKIPME", "yes").Err(); err != nil {
			w.Fatal(err)
		}
	}
	w.back()
	w.agree()
	w.cross()
	w.ask()
}

// back waits until all have a session and subscriptions for a second time.
func (w *whole) back() {
	w.Helper()
	for _, n := range w.nodes {
		w.until(n.id+" is back", func() bool {
			m, b := n.Stats()
			return m.Registrations > 1 && b.Reconnects > 0
		})
	}
	w.ready()
}

// A certificate for another name is none: neither the directory nor the bus talks to such a server.
func TestCluster_ChecksTheCertificate(t *testing.T) {
	srv := redistest.StartTLS(t)
	allow(t, srv.Client(), documentedRights(t, false))
	url := strings.Replace(srv.URL("node", "secret"), "127.0.0.1", "localhost", 1)
	var log syncBuffer
	c, err := Open(Config{Redis: url, Node: "a", NodeTTL: memberTTL, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	c.Start(&fakeLocal{})
	defer c.Close(limit(t))
	w := &whole{TB: t, ctx: limit(t)}
	for _, what := range []string{"not registered in Redis", "bus: not subscribed", "bus: cannot publish"} {
		w.until(what, func() bool {
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, what) && strings.Contains(line, "x509: certificate is not valid for") {
					return true
				}
			}
			return false
		})
	}
	if !strings.Contains(log.String(), "certificate is for another name: use that one in the URL") {
		t.Errorf("the log does not say what to do: %s", log.String())
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("the log has the password: %s", log.String())
	}
	openWhole(t, url+"?skip_verify=true", 1) // that was all that it lacked
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// A master dies. The clients notice nothing; what it did not pass on is asserted with the new one.
func TestCluster_SentinelFailover(t *testing.T) {
	t.Parallel()
	r := redistest.StartReplicated(t)
	w := openWhole(t, r.URL(), 2)
	w.connect()
	w.agree()
	w.cross()
	r.Master.Kill()
	w.survives()
}

// survives goes on after the server has died that the nodes were registered with, and has one successor.
func (w *whole) survives() {
	w.Helper()
	epoch := w.nodes[0].reg.Lookup(wholeName).Epoch()
	for _, n := range w.nodes { // what needs no Redis goes on
		name := w.event()
		if err := n.reg.Lookup(wholeName).Local().Emit(name); err != nil {
			w.Fatal(err)
		}
		w.until("a local event", func() bool { return n.peer.count(eventFrame(name)) == 1 })
	}
	w.back()
	w.agree()
	if got := w.nodes[0].reg.Lookup(wholeName).Epoch(); got <= epoch {
		w.Errorf("epoch %d after %d, want a higher one in a new era", got, epoch)
	}
	w.cross()
	w.ask()
	w.undisturbed()
	w.retire()
	w.life()
}

// One master has the keys; messages pass all of them. The user has the documented rights
// there, too.
func TestCluster_OnARedisCluster(t *testing.T) {
	t.Parallel()
	all := redistest.StartCluster(t, 3)
	for _, s := range all {
		allow(t, s.Client(), documentedRights(t, true))
	}
	w := openWhole(t, strings.Replace(redistest.ClusterURL(all[0]), "//", "//node:secret@", 1), 2)
	w.life()
	w.life()
}

// The master that has the keys dies, and its replica takes over. As with Sentinel, the clients notice nothing.
func TestCluster_RedisClusterFailover(t *testing.T) {
	t.Parallel()
	all := redistest.StartCluster(t, 3)
	master := redistest.Owner(t, all, newKeys("default").era)
	replica := redistest.AddReplica(t, all, master)
	w := openWhole(t, redistest.ClusterURL(all[0]), 2)
	w.connect()
	w.agree()
	w.cross()
	master.Kill()
	if err := replica.Client().Do(w.ctx, "CLUSTER", "FAILOVER", "TAKEOVER").Err(); err != nil {
		t.Fatal(err)
	}
	w.survives()
}

// The master is replaced while it lives, and goes on answering for a while: until Sentinel
// makes it a replica, which takes it some 10 s.
func TestCluster_SentinelSwitchOver(t *testing.T) {
	t.Parallel()
	r := redistest.StartReplicated(t)
	w := openWhole(t, r.URL(), 2)
	w.connect()
	w.agree()
	w.cross()
	if err := r.Sentinel.Client().Do(w.ctx, "SENTINEL", "FAILOVER", redistest.SentinelName).Err(); err != nil {
		t.Fatal(err)
	}
	w.survives()
}

// The slot of the cluster's keys moves to another server, without the data. The sessions end there,
// and what the nodes have is asserted where the slot is.
func TestCluster_RedisClusterMovesTheSlot(t *testing.T) {
	t.Parallel()
	all := redistest.StartCluster(t, 3)
	w := openWhole(t, redistest.ClusterURL(all[0]), 2)
	w.connect()
	w.agree()
	w.cross()
	redistest.MoveSlot(t, all, newKeys("default").era)
	w.until("all are registered anew", func() bool {
		for _, n := range w.nodes {
			if m, _ := n.Stats(); m.Registrations < 2 {
				return false
			}
		}
		return true
	})
	w.ready()
	w.agree()
	w.cross()
	w.ask()
	w.undisturbed()
	w.retire()
	w.life()
}

// A directory finds the new master of a Redis Cluster by itself: nothing else uses its client here.
func TestDirectory_FindsTheNewMaster(t *testing.T) {
	t.Parallel()
	all := redistest.StartCluster(t, 1)
	replica := redistest.AddReplica(t, all, all[0])
	w := newWorld(t, replica)
	c, err := Connect(redistest.ClusterURL(all[0]) + "?addr=" + replica.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d, err := New(c, Options{Node: "a", NodeTTL: ttl, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s := w.register(d)
	all[0].Kill()
	if err := replica.Client().Do(w.ctx, "CLUSTER", "FAILOVER", "TAKEOVER").Err(); err != nil {
		t.Fatal(err)
	}
	w.until("it registers with the new one", func() bool {
		next, err := d.Register(w.ctx, NodeInfo{})
		if err != nil {
			return false
		}
		defer next.Close()
		if !next.NewEra() || next.Number() <= s.Number() {
			t.Errorf("session %d after %d, new era %v", next.Number(), s.Number(), next.NewEra())
		}
		return true
	})
}
