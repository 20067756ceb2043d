package status

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/dynamicio/dynamicio/cluster"
	"github.com/dynamicio/dynamicio/namespace"
)

// 30 kB of address once made a page of 904 MB: its rows repeat the parameters in their links.
func TestPage_LongParametersMakeNoLargePage(t *testing.T) {
	src := &fakeSource{report: well()}
	for i := range 2000 {
		src.report.Namespaces = append(src.report.Namespaces, space(fmt.Sprintf("/!/%05d", i), 0))
	}
	h := newTestHandler(t, src, nil)
	const most = 4 << 20
	for _, name := range []string{"after", "q", "namespace"} {
		for _, length := range []int{MaxParameter, MaxParameter + 1} {
			query := url.Values{"limit": {"10000"}, name: {strings.Repeat("!", length)}}.Encode()
			want := http.StatusOK
			if length > MaxParameter {
				want = http.StatusBadRequest
			}
			for _, path := range []string{"/status?", "/status.json?"} {
				w := serve(h, request("GET", "/socket.io"+path+query, ""))
				if w.Code != want || w.Body.Len() > most {
					t.Errorf("%s%s of %d bytes: %d with %d bytes, want %d with %d at most", path, name, length, w.Code, w.Body.Len(), want, most)
				}
			}
		}
	}
	if w := serve(h, request("GET", "/socket.io/status/events?after="+strings.Repeat("!", MaxParameter+1), "")); w.Code != http.StatusBadRequest {
		t.Errorf("a stream of a page with a long parameter: %d", w.Code)
	}
	if n := strings.Count(get(t, h, "/socket.io/status?limit=10000"), `class="ns"`); n != maxPageLimit {
		t.Errorf("a page with %d rows, want %d at most", n, maxPageLimit)
	}
}

// Nodes answer with the session ids of clients of Socket.IO v2; only who has presented the token sees them.
func TestCollector_HidesSessionIDsFromVisitors(t *testing.T) {
	node := wellNode()
	node.states = []cluster.NamespaceState{{FullName: "/a", Nodes: map[string]int{"a": 1, "b": 2}}}
	node.clients = map[string][]Client{"/a": {{ID: "local-v2", Session: true}, {ID: "local-v4"}}}
	node.asked = func(_ *namespace.Message, each func(namespace.Answer)) error {
		each(namespace.Answer{Node: "b", Sockets: []namespace.SocketInfo{
			{ID: "/a#remote-v2", Handshake: namespace.HandshakeInfo{URL: "/socket.io/?EIO=3&transport=polling"}},
			{ID: "remote-v4", Handshake: namespace.HandshakeInfo{URL: "/socket.io/?EIO=4&transport=polling"}},
		}})
		return nil
	}
	for _, q := range []Query{{Namespace: "/a"}, {Namespace: "/a", Visitor: true}, {Detailed: true, Visitor: true}} {
		ids := map[string]bool{}
		for _, c := range node.collector(false).Collect(t.Context(), q).Namespaces[0].Clients {
			ids[c.ID] = true
		}
		if len(ids) != 4 || !ids["local-v4"] || !ids["remote-v4"] || ids["local-v2"] == q.Visitor || ids["/a#remote-v2"] == q.Visitor {
			t.Errorf("%+v sees %v", q, ids)
		}
	}
}

// Whatever shows sockets knows who asks.
func TestHandler_TellsVisitorsApart(t *testing.T) {
	src := &fakeSource{report: well()}
	h := guardedBy(t, src, true)
	cookie := signedIn(t, h)
	for _, path := range []string{"/socket.io/status", "/socket.io/status.json"} {
		serve(h, request("GET", path, ""))
		serve(h, request("GET", path, "", cookie))
		serve(h, request("GET", path, "", "Authorization: Bearer "+token))
	}
	for i, q := range src.queries {
		if q.Visitor != (i%3 == 0) {
			t.Errorf("request %d: visitor %v", i, q.Visitor)
		}
	}
	if len(src.queries) != 6 {
		t.Errorf("%d reports, want 6", len(src.queries))
	}
}

// Two names that look the same are told apart.
func TestRevealed_NamesThatLookAlike(t *testing.T) {
	for name, want := range map[string]string{
		"/chat": "", "/chät 中 b": "", `/"quoted"\`: "",
		"/chat ": `"/chat "`, "/a  b": `"/a  b"`, " /": `" /"`,
		"/chat\u00a0": `"/chat\u00a0"`, "/chat\u3164": `"/chat\u3164"`, "/chat\u2800": `"/chat\u2800"`,
		"/chat\ufe0f": `"/chat\ufe0f"`, "/chat\u034f": `"/chat\u034f"`, "/chat\U000e0100": `"/chat\U000e0100"`,
		"/\u202e\"ä\\": `"/\u202e\"ä\\"`,
	} {
		if got := revealed(name); got != want {
			t.Errorf("%q shows as %s, want %s", name, got, want)
		}
	}
}
