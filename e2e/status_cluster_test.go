package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/dynamicio/dynamicio/status"
)

// statusNodeTTL is long enough for a node to be silent for a while before it is counted out.
const statusNodeTTL = 6 * time.Second

// statusNodes are three of the program's nodes in one cluster, waited for until it is well.
func statusNodes(t *testing.T) (redis *redistest.Server, nodes []*server) {
	t.Helper()
	redis = redistest.Start(t)
	for i := range 3 {
		nodes = append(nodes, startServer(t, "--redis", redis.URL(), "--node-id", fmt.Sprint("node-", i),
			"--node-ttl", statusNodeTTL.String(), "--lease-ttl", "1s", "--retirement", "1h", "--public-status",
			"--status-token", "secret", "--status-actions"))
	}
	untilStatus(t, nodes[0], "", "the cluster is well", func(r *status.Report) bool {
		return len(r.Nodes) == 3 && len(r.Problems) == 0 && r.Lease.Holder != ""
	})
	return redis, nodes
}

func readStatus(t *testing.T, s *server, query string) *status.Report {
	t.Helper()
	b, err := fetch(s.url() + "/socket.io/status.json" + query)
	var r status.Report
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{`"problems":null`, `"expiring":null`, `"retired":null`, `"nodes":null`, `"namespaces":null`} {
		if strings.Contains(string(b), list) {
			t.Errorf("status.json has %s", list)
		}
	}
	return &r
}

// untilStatus polls the status until something holds, and returns that report and how long it took.
func untilStatus(t *testing.T, s *server, query, what string, holds func(*status.Report) bool) (*status.Report, time.Duration) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		r := readStatus(t, s, query)
		if holds(r) {
			return r, time.Since(begun)
		}
		if time.Since(begun) > patience {
			t.Fatalf("not within %v: %s; the status is %+v", patience, what, *r)
		}
	}
}

func nodeStates(r *status.Report) map[string]string {
	states := make(map[string]string)
	for _, n := range r.Nodes {
		states[n.ID] = n.State()
	}
	return states
}

// act does what the status page's buttons do, and returns the HTTP status.
func act(t *testing.T, s *server, form url.Values) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url()+"/socket.io/status/actions", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer secret")
	resp, err := cookieless.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// A node that is killed shows as silent at once, and is gone when it is counted out: three seconds and
// the node TTL with what eviction takes are the bounds, on a busy machine.
func TestStatus_ADeadNode(t *testing.T) {
	_, nodes := statusNodes(t)
	r := readStatus(t, nodes[0], "")
	if want := map[string]string{"node-0": "up", "node-1": "up", "node-2": "up"}; fmt.Sprint(nodeStates(r)) != fmt.Sprint(want) {
		t.Errorf("states %v", nodeStates(r))
	}
	dead := "node-2"
	killed := time.Now()
	nodes[2].kill()
	r, took := untilStatus(t, nodes[0], "", "silent", func(r *status.Report) bool { return nodeStates(r)[dead] == "silent" })
	t.Logf("silent %v after the kill", took)
	if !slices.ContainsFunc(r.Problems, func(p string) bool { return strings.HasPrefix(p, "Node node-2 has been silent for ") }) {
		t.Errorf("problems %q", r.Problems)
	}
	untilStatus(t, nodes[1], "", "gone", func(r *status.Report) bool { return nodeStates(r)[dead] == "" && len(r.Problems) == 0 })
	gone := time.Since(killed)
	t.Logf("gone %v after the kill, with a node TTL of %v", gone, statusNodeTTL)
	if gone < statusNodeTTL-2*time.Second {
		t.Errorf("gone before its time")
	}
}

// From any node, a socket of any other is disconnected and an empty namespace retires.
func TestStatus_Steering(t *testing.T) {
	redis, nodes := statusNodes(t)
	one, err := dialSocket(nodes[1].addr, "/room", func(string, []json.RawMessage) {})
	if err != nil {
		t.Fatal(err)
	}
	defer one.leave()
	two, err := dialSocket(nodes[2].addr, "/room", func(string, []json.RawMessage) {})
	if err != nil {
		t.Fatal(err)
	}
	defer two.leave()
	r, _ := untilStatus(t, nodes[0], "?namespace=/room", "both sockets show", func(r *status.Report) bool {
		return len(r.Namespaces) == 1 && len(r.Namespaces[0].Clients) == 2
	})
	if code := act(t, nodes[0], url.Values{"action": {"retire"}, "namespace": {"/room"}}); code != http.StatusConflict {
		t.Errorf("retire an occupied namespace: %d, want 409", code)
	}
	for _, c := range r.Namespaces[0].Clients {
		if code := act(t, nodes[0], url.Values{"action": {"disconnect"}, "namespace": {"/room"}, "id": {c.ID}}); code != http.StatusAccepted {
			t.Fatalf("disconnect: %d", code)
		}
	}
	r, _ = untilStatus(t, nodes[0], "?q=ROO", "both are gone", func(r *status.Report) bool {
		return len(r.Namespaces) == 1 && r.Namespaces[0].Sockets == 0 && r.Namespaces[0].ExpiresInMS != nil
	})
	if r.Totals.Empty != 1 || len(r.Expiring) != 1 || r.Expiring[0].FullName != "/room" || r.Expiring[0].ExpiresInMS < 3_500_000 {
		t.Errorf("totals %+v, expiring %+v", r.Totals, r.Expiring)
	}
	if code := act(t, nodes[2], url.Values{"action": {"retire"}, "namespace": {"/room"}}); code != http.StatusAccepted {
		t.Fatalf("retire: %d", code)
	}
	for _, s := range nodes { // every node has heard of it
		untilStatus(t, s, "", "retired", func(r *status.Report) bool {
			return len(r.Retired) == 1 && r.Retired[0].FullName == "/room" && len(r.Expiring) == 0 && r.Totals.Empty == 0
		})
	}
	if code := act(t, nodes[0], url.Values{"action": {"retire"}, "namespace": {"/room"}}); code != http.StatusNotFound {
		t.Errorf("retire what is gone: %d, want 404", code)
	}
	trend, _ := untilStatus(t, nodes[0], "?trend=true", "the trends of all nodes", func(r *status.Report) bool {
		return !slices.ContainsFunc(r.Nodes, func(n status.Node) bool { return n.Trend == nil || len(n.Trend.Sockets) == 0 })
	})
	if trend.Lease.HeldMS <= 0 || trend.Lease.HeldMS > 60_000 {
		t.Errorf("lease %+v", trend.Lease)
	}
	redis.Kill()
	untilStatus(t, nodes[0], "", "Redis is away", func(r *status.Report) bool {
		return !r.Redis.OK && len(r.Problems) == 1 && strings.HasPrefix(r.Problems[0], "Redis has not answered for ") && len(r.Nodes) == 1
	})
}
