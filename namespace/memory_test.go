//go:build !race

package namespace

import (
	"regexp"
	"testing"
)

// The tests in a memory_test.go count allocations, or the memory of the whole process. The race detector
// allocates, and makes pools drop what they hold, so they are built without it and run on their own: make memory.

func TestMemory_PatternMatchesAtNoCost(t *testing.T) {
	for _, p := range []Pattern{All, Exact("/chat"), Regexp(regexp.MustCompile(`^/(chat|b)$`)), Regexp(regexp.MustCompile("a"))} {
		if n := testing.AllocsPerRun(1000, func() { p.Matches("/chat") }); n != 0 {
			t.Errorf("%v: %v allocations", p, n)
		}
	}
}
