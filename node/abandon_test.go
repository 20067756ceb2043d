package node_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// A New that fails keeps no connection to Redis, whatever it fails at.
func TestNew_ThatFailsLeavesNothingBehind(t *testing.T) {
	redis := redistest.Start(t)
	for name, o := range map[string]node.Options{
		"namespace":  {Limits: namespace.Options{MaxRooms: -1}},
		"transports": {PingTimeout: -1},
		"cluster":    {LeaseTTL: -1},
	} {
		o.Redis, o.Logger = redis.URL(), slog.New(slog.DiscardHandler)
		for range 3 {
			if _, err := node.New(o); err == nil {
				t.Fatalf("%s: there is no error", name)
			} else if strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: the error has more to say than what is wrong: %v", name, err)
			}
		}
	}
	client := redis.Client()
	waitFor(t, "all connections are closed", func() bool {
		list, err := client.ClientList(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(list, "\n") == 1 // the one that asks
	})
}
