package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Real clients of every kind that the recipe is for.
func TestProxy_ServesClients(t *testing.T) {
	t.Parallel()
	eachRecipe(t, func(t *testing.T, r recipe) {
		f := r.startBehind(t)
		for _, transport := range transports {
			if r.sticky == "websocket-only" && transport != "websocket" {
				continue
			}
			t.Run(transport, func(t *testing.T) {
				runScript(t, "proxy-clients.mjs", f.proxyAsks(t), "--url", f.proxy.url, "--transport", transport, "--client", r.sticky)
			})
		}
	})
}

// A node ends, in order and without: its clients go on at the others, whose own
// clients notice nothing.
func TestProxy_SurvivesTheEndOfANode(t *testing.T) {
	t.Parallel()
	eachRecipe(t, func(t *testing.T, r recipe) {
		f := r.startBehind(t)
		runScript(t, "proxy-nodes.mjs", f.proxyAsks(t), "--url", f.proxy.url, "--client", r.sticky)
	})
}

// proxyAsks is what the scripts find out about, and do to, the nodes. Names are full.
func (f *fleet) proxyAsks(t *testing.T) asks {
	var before map[string]*replica // namespace -> node, when a node was told to end
	var ended *replica             // that node
	end := func(sig syscall.Signal) func([]json.RawMessage) {
		return func(args []json.RawMessage) {
			all := names(t, args[0])
			before = map[string]*replica{}
			for _, ns := range all {
				before[ns] = f.holder(ns)
			}
			ended = before[all[0]]
			ended.srv.signal(sig)
		}
	}
	return asks{
		// The namespaces are on several nodes.
		"several": func(args []json.RawMessage) {
			used := map[string]int{}
			for _, ns := range names(t, args[0]) {
				used[f.holder(ns).id]++
			}
			if len(used) < 2 {
				t.Errorf("all sockets are on one node: %v", used)
			}
		},
		// The namespaces have exactly these names.
		"names": func(args []json.RawMessage) {
			for _, ns := range names(t, args[0]) {
				f.holder(ns)
			}
		},
		"term": end(syscall.SIGTERM),
		"kill": end(syscall.SIGKILL),
		// Only the clients of the node that ended were disconnected.
		"ended": func([]json.RawMessage) { ended.srv.wait() },
		"moved": func(args []json.RawMessage) {
			var disconnects map[string]int
			if err := json.Unmarshal(args[0], &disconnects); err != nil {
				t.Error(err)
			}
			for ns, n := range disconnects {
				if left := before[ns] == ended; left != (n > 0) {
					t.Errorf("%s was on %s, %s ended: %d disconnects", ns, before[ns].id, ended.id, n)
				}
			}
		},
	}
}

// What the recipes are for: a polling client whose load balancer does not know it
// again is told that its session is unknown. Here it keeps no cookie.
func TestProxy_WithoutStickinessSessionsAreUnknown(t *testing.T) {
	t.Parallel()
	for _, proxy := range []string{"nginx", "haproxy"} {
		t.Run(proxy, func(t *testing.T) {
			t.Parallel()
			f := recipe{proxy, "cookie"}.startBehind(t)
			unknown := 0
			for range 20 {
				sid, cookie := f.proxy.handshake(t, nil)
				for _, cookie := range []*http.Cookie{nil, cookie} {
					status, body, _, err := do(http.MethodPost, f.proxy.url+engine+"&sid="+sid, "40", cookie)
					switch {
					case err == nil && status == http.StatusOK:
					case err == nil && status == http.StatusBadRequest && strings.Contains(body, `"code":1`) && cookie == nil:
						unknown++
					default:
						t.Errorf("cookie %v: %d %s %v", cookie, status, body, err)
					}
				}
			}
			if unknown == 0 {
				t.Error("no session was unknown: the cookie is not what the clients are known by")
			}
		})
	}
}

// WebSocket-only says so to a client that polls, and passes on the client's JavaScript.
func TestProxy_WebSocketOnlyRefusesPolling(t *testing.T) {
	t.Parallel()
	for _, proxy := range []string{"nginx", "haproxy"} {
		t.Run(proxy, func(t *testing.T) {
			t.Parallel()
			f := recipe{proxy, "websocket-only"}.startBehind(t)
			resp, err := cookieless.Get(f.proxy.url + engine)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var refusal struct{ Code *int }
			if err := json.NewDecoder(resp.Body).Decode(&refusal); err != nil || resp.StatusCode != http.StatusBadRequest || refusal.Code == nil || *refusal.Code != 0 {
				t.Errorf("polling is answered %s, code %v, %v", resp.Status, refusal.Code, err)
			}
			if got := resp.Header.Values("Content-Type"); !slices.Equal(got, []string{"application/json"}) {
				t.Errorf("Content-Type: %q", got)
			}
			if err := wantStatus(f.proxy.url+"/socket.io/socket.io.js", http.StatusOK); err != nil {
				t.Error(fmt.Errorf("the client: %w", err))
			}
		})
	}
}
