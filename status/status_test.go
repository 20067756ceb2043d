package status

import (
	"net/http/httptest"
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
	n.setLife(10*time.Second, now.Add(-4*time.Second), now.Add(6*time.Second), now)
	if *n.RetirementMS != 10_000 || *n.ExpiresInMS != 6000 || n.Emptied == nil {
		t.Errorf("empty: %+v", n)
	}
	n = Namespace{Sockets: 1}
	n.setLife(10*time.Second, time.Time{}, time.Time{}, now)
	if n.Emptied != nil || n.ExpiresInMS != nil {
		t.Errorf("occupied: %+v", n)
	}
	n = Namespace{Permanent: true}
	n.setLife(0, now, now, now)
	if n.RetirementMS != nil || n.ExpiresInMS != nil {
		t.Errorf("permanent: %+v", n)
	}
}

func TestNode_State(t *testing.T) {
	for want, n := range map[string]Node{
		"up": {HeartbeatAgeMS: 1900}, "draining": {Draining: true}, "silent": {HeartbeatAgeMS: 2100, Draining: true},
	} {
		if got := n.State(); got != want {
			t.Errorf("%+v: %s, want %s", n, got, want)
		}
	}
}

// A row counts down to when the namespace is due, which after a dismissal, or where Redis is new
// to the nodes, is not its retirement time after it was emptied.
func TestPage_CountsDownToWhatIsDue(t *testing.T) {
	now, hour := time.Now(), time.Hour.Milliseconds()
	row := func(left int64) namespaceView {
		return newNamespace(viewer{}, &Report{Time: now}, &Namespace{FullName: "/x", Emptied: &now, RetirementMS: &hour, ExpiresInMS: &left})
	}
	if view := row(-3); !view.Due {
		t.Errorf("a dismissed one shows %+v", view)
	}
	later := now.Add(2 * time.Hour)
	if view := row(2 * hour); view.Due || view.Ends != until(later.Truncate(100*time.Millisecond)) {
		t.Errorf("one of a new era shows %+v", view)
	}
}
