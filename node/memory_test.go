//go:build !race

package node_test

import (
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// Namespaces that have come and gone leave no goroutine, no timer and no
// memory behind: not even a twentieth of what 10,000 of them take while they live.
func TestMemory_TenThousandNamespacesLeaveNothing(t *testing.T) {
	const clients, each = 10, 1000
	limits := namespace.Options{MaxConnectionNamespaces: each, MaxNamespacesPerAddress: clients * each}
	inBubble(t, node.Options{Retirement: time.Minute, Limits: limits, Logger: slog.New(slog.DiscardHandler)}, func(t *testing.T, srv *testServer, _ *journal) {
		var setups, expiries atomic.Int64
		srv.SetupNamespace("*", func(ns *namespace.Namespace, _ namespace.Match) error {
			setups.Add(1)
			ns.OnConnect(func(s *namespace.Socket) { _ = s.Join("room") })
			ns.OnExpire(func() { expiries.Add(1) })
			return nil
		})
		round := func(round int) (peak uint64) {
			cs := make([]*client, clients)
			for k := range cs {
				cs[k] = srv.connect(how{})
			}
			var all sync.WaitGroup
			for k, c := range cs {
				all.Go(func() {
					for i := range each {
						c.join(fmt.Sprintf("/%d/%d/%d", round, k, i))
					}
				})
			}
			all.Wait()
			synctest.Wait()
			if n := len(srv.Registry().Namespaces()); n != 1+clients*each {
				t.Fatalf("%d namespaces are live", n)
			}
			peak, _ = live()
			for k, c := range cs {
				if k%2 == 0 {
					for i := range each {
						c.leave(fmt.Sprintf("/%d/%d/%d", round, k, i))
					}
				}
				c.rest()
				c.close()
			}
			pass(2 * time.Minute)
			if n := len(srv.Registry().Namespaces()); n != 1 {
				t.Fatalf("%d namespaces are left", n)
			}
			return peak
		}
		round(0) // maps and pools have their size afterwards
		before, goroutines := live()
		rounds := int64(1)
		// What pools keep varies, and may once have been little before. What leaks
		// grows again and again.
		for grown, took := int64(1), int64(0); grown > took/20; {
			round(int(rounds))
			peak := round(int(rounds + 1))
			rounds += 2
			after, now := live()
			t.Logf("heap: %d KiB before, %d with %d namespaces, %d after", before>>10, peak>>10, clients*each, after>>10)
			if now > goroutines {
				t.Fatalf("%d goroutines, before %d", now, goroutines)
			}
			grown, took = int64(after)-int64(before), int64(peak)-int64(before)
			if grown > took/20 && rounds >= 7 {
				t.Fatalf("the heap has grown by %d KiB of the %d KiB that they took, and so it did before", grown>>10, took>>10)
			}
			before = after
		}
		if s, e := setups.Load(), expiries.Load(); s != rounds*clients*each+1 || e != rounds*clients*each {
			t.Errorf("%d setups, %d expiries", s, e)
		}
	})
}

// live returns the heap that is in use, and the number of goroutines.
func live() (heap uint64, goroutines int) {
	synctest.Wait()
	for range 3 { // what pools hold takes two collections to go
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, runtime.NumGoroutine()
}
