//go:build !race

package status

import (
	"runtime"
	"testing"
)

// The first page of 10,000 namespaces takes less than 5 MB of allocations, as bytes of JSON, and so does
// any other with the default limit. The time is the benchmark's to tell.
func TestMemory_CollectorAllocatesLittle(t *testing.T) {
	c := busy(t, 10_000)
	for name, q := range firstPages {
		if name == "all" {
			continue // ten times the default limit
		}
		if err := writeFirstPage(c, q); err != nil { // connections are made once
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		const times = 5
		for range times {
			if err := writeFirstPage(c, q); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / times; got > 5<<20 {
			t.Errorf("%s: %d bytes allocated", name, got)
		}
	}
}
