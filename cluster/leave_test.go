package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// A node stops cleanly whatever Redis does: it is the others that count on hearing of it, and they evict it.
func TestMember_ClosesWithoutRedis(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*redistest.Server){
		"dead": (*redistest.Server).Kill, "hanging": (*redistest.Server).Pause,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t)
			w := newWorld(t, srv)
			m := w.member("a", MemberOptions{})
			w.ready(m)
			m.join("/x")
			lose(srv)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := m.Close(ctx); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}
