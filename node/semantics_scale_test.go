package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// A flood of CONNECTs to names that a setup refuses, or that a middleware
// refuses after the setup, leaves nothing behind either.
func TestScale_RefusedNamespacesLeaveNothing(t *testing.T) {
	const n = 900
	inBubble(t, node.Options{Retirement: time.Second, Limits: namespace.Options{MaxConnectionNamespaces: n + 1}}, func(t *testing.T, srv *testServer, _ *journal) {
		srv.SetupNamespace("*", func(ns *namespace.Namespace, _ namespace.Match) error {
			ns.SetRetirement(max(ns.Retirement(), time.Second))
			return map[bool]error{true: namespace.Errorf("odd")}[len(ns.Name())%2 == 1 && ns.Name() != "/"]
		})
		c := srv.connect(how{})
		joined, refused := 0, 0
		for i := range n {
			c.send(fmt.Sprintf("0/%d,", i))
			if p := c.next(); p[0] == '0' {
				joined++
			} else {
				refused++
			}
		}
		if refused != 90 || joined != n-90 { // the names of two digits
			t.Errorf("%d joined, %d refused", joined, refused)
		}
		if got := len(srv.Registry().Namespaces()); got != joined+1 {
			t.Errorf("%d namespaces are live, want %d", got, joined+1)
		}
		c.close()
		pass(2 * time.Second)
		if got := len(srv.Registry().Namespaces()); got != 1 {
			t.Errorf("%d namespaces are left", got)
		}
	})
}
