package status

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestParseQuery(t *testing.T) {
	q, err := ParseQuery(httptest.NewRequest("GET", "/status.json?limit=5&after=%2Fa&namespace=%2F%2Fh%2Fb", nil))
	if err != nil || q != (Query{Limit: 5, After: "/a", Namespace: "//h/b"}) {
		t.Errorf("%+v, %v", q, err)
	}
	if q.Page("/a") || !q.Page("/aa") || q.Page("/") {
		t.Error("the page does not begin right after its cursor")
	}
	for _, limit := range []string{"0", "-1", "x", "10001", "1e3"} {
		if _, err := ParseQuery(httptest.NewRequest("GET", "/?limit="+limit, nil)); err == nil || !strings.Contains(err.Error(), "limit") {
			t.Errorf("limit %s: %v", limit, err)
		}
	}
}

func TestNamespace_SetLife(t *testing.T) {
	now := time.Now()
	var n Namespace
	n.SetLife(10*time.Second, now.Add(-4*time.Second), now)
	if *n.RetirementMS != 10_000 || *n.ExpiresInMS != 6000 || n.Emptied == nil {
		t.Errorf("empty: %+v", n)
	}
	n = Namespace{Sockets: 1}
	n.SetLife(10*time.Second, time.Time{}, now)
	if n.Emptied != nil || n.ExpiresInMS != nil {
		t.Errorf("occupied: %+v", n)
	}
	n = Namespace{Permanent: true}
	n.SetLife(0, now, now)
	if n.RetirementMS != nil || n.ExpiresInMS != nil {
		t.Errorf("permanent: %+v", n)
	}
}

func TestNode_State(t *testing.T) {
	for want, n := range map[string]Node{
		"up": {HeartbeatAgeMS: 2900}, "draining": {Draining: true}, "silent": {HeartbeatAgeMS: 3100, Draining: true},
	} {
		if got := n.State(); got != want {
			t.Errorf("%+v: %s, want %s", n, got, want)
		}
	}
}

// render returns the page of a view.
func render(t *testing.T, v View) string {
	t.Helper()
	w := httptest.NewRecorder()
	if err := v.Write(w); err != nil {
		t.Fatal(err)
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy %q", csp)
	}
	return w.Body.String()
}

// What is not known is said, not left out.
func TestView_SaysWhatIsMissing(t *testing.T) {
	got := render(t, View{Report: &Report{
		Node: "a", Missing: []string{"c<"}, Nodes: []Node{{ID: "b", HeartbeatAgeMS: 4000}},
	}})
	for _, want := range []string{"Redis does not answer", "node a alone", "Node c&lt; did not answer", "silent</span> for 4.000s"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(render(t, View{Report: &Report{Redis: Redis{OK: true}}}), "role=\"alert\"") {
		t.Error("an alert while all is well")
	}
}

// The link to the next part keeps what the page was asked with, the token included.
func TestView_MoreKeepsTheQuery(t *testing.T) {
	q := url.Values{"token": {"t"}, "limit": {"2"}, "after": {"/a"}}
	got := render(t, View{Report: &Report{Next: "/b&c"}, Query: q})
	if want := `href="?after=%2Fb%26c&amp;limit=2&amp;token=t"`; !strings.Contains(got, want) {
		t.Errorf("no %s in the page", want)
	}
	if q.Get("after") != "/a" {
		t.Error("the request's own query was changed")
	}
}
