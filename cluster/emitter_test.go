package cluster

import (
	"testing"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// An emitter publishes where the nodes of its cluster listen.
func TestEmitter_FollowsItsCluster(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t))
	for channel, o := range map[string]EmitterOptions{
		"socket.io#/x#":      {},
		"socket.io-prod#/x#": {Cluster: "prod"},
		"mine#/x#":           {Cluster: "prod", BusPrefix: "mine"},
		"socket.io-go#/x##":  {Cluster: "go", GoDialect: true},
	} {
		sub := w.admin.Subscribe(w.ctx, channel)
		defer sub.Close()
		if _, err := sub.Receive(w.ctx); err != nil {
			t.Fatal(err)
		}
		e, err := NewEmitter(w.admin, o)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := e.Emit(w.ctx, "/x", nil, "e"); err != nil || n != 1 {
			t.Errorf("%+v: %d servers, %v; want one that listens to %s", o, n, err, channel)
		}
	}
	if _, err := NewEmitter(w.admin, EmitterOptions{GoDialect: true}); err == nil {
		t.Error("the dialect go under the prefix of Node servers")
	}
}
