package node_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dynamicio/dynamicio/node"
	"github.com/dynamicio/dynamicio/status"
)

// A node that is alone tells of what expires and has retired, of its rates and its trend, as a
// cluster does.
func TestStatus_OfANodeAlone(t *testing.T) {
	inBubble(t, node.Options{PublicStatus: true, Retirement: time.Minute}, func(t *testing.T, srv *testServer, _ *journal) {
		srv.SetupNamespace("*", accept)
		c := bubbleClient{srv}
		a := srv.connect(how{})
		a.join("/stays")
		a.join("/goes")
		a.leave("/goes")
		synctest.Wait()
		rep := c.report(t, "")
		if len(rep.Expiring) != 1 || rep.Expiring[0] != (status.Expiring{FullName: "/goes", ExpiresInMS: 60_000}) || len(rep.Retired) != 0 {
			t.Errorf("expiring %+v, retired %+v", rep.Expiring, rep.Retired)
		}
		if rep.Nodes[0].Trend != nil || len(rep.Problems) != 0 {
			t.Errorf("node %+v, problems %q", rep.Nodes[0], rep.Problems)
		}
		pass(time.Minute + time.Second)
		for range 10 {
			a.send(`2/stays,["x"]`)
		}
		pass(status.SampleEvery)
		rep = c.report(t, "?trend=true")
		if len(rep.Expiring) != 0 || len(rep.Retired) != 1 || rep.Retired[0].FullName != "/goes" || rep.Retired[0].Epoch == 0 {
			t.Errorf("expiring %+v, retired %+v", rep.Expiring, rep.Retired)
		}
		n := rep.Nodes[0]
		if n.EventsPerSecond != 2 || n.Trend == nil || len(n.Trend.Events) < 12 || n.Trend.Sockets[0] != 1 || rep.Totals.EventsPerSecond != 2 {
			t.Errorf("node %+v, trend %+v", n, n.Trend)
		}
		if rep.Lease.HeldMS < 60_000 {
			t.Errorf("lease %+v", rep.Lease)
		}
		if body := c.get(t, "/socket.io/status.json?q=STAY"); !strings.Contains(body, `"/stays"`) || strings.Contains(body, `"fullname":"/"`) {
			t.Errorf("search: %s", body)
		}
	})
}
