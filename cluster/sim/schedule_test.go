package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// step is one thing that is done at one moment.
type step struct {
	at   time.Duration
	what string
	// Its operands: indices, taken modulo what there is when it is done, and a duration.
	a, b int
	d    time.Duration
}

func (s step) String() string {
	return fmt.Sprintf("%v %s %d %d %v", s.at, s.what, s.a, s.b, s.d)
}

// schedule is everything that is done to a world, in order of time.
type schedule []step

// String is how a schedule is kept as a test; parseSchedule reads it.
func (s schedule) String() string {
	lines := make([]string, len(s))
	for i, st := range s {
		lines[i] = st.String()
	}
	return strings.Join(lines, "\n")
}

func parseSchedule(text string) (s schedule, err error) {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		var st step
		var at, d string
		if _, err := fmt.Sscan(line, &at, &st.what, &st.a, &st.b, &d); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		if st.at, err = time.ParseDuration(at); err != nil {
			return nil, err
		}
		if st.d, err = time.ParseDuration(d); err != nil {
			return nil, err
		}
		if do[st.what] == nil {
			return nil, fmt.Errorf("%q is no step", st.what)
		}
		s = append(s, st)
	}
	return s, nil
}

// What there is in a world that a seed makes.
const (
	nodesAtStart = 3
	mostNodes    = 4
	clientCount  = 12
	spaceCount   = 5
	roomCount    = 2
)

// clientSteps are what clients do, and how often.
var clientSteps = []weighted{
	{"connect", 3}, {"leave", 2}, {"say", 12}, {"say-room", 4}, {"room", 2},
}

// faults are what breaks, and how often.
var faults = []weighted{
	{"cut", 3}, {"cut-late", 3}, {"cut-one", 3}, {"stall-up", 3}, {"stall-down", 3}, {"stall-node", 3}, {"slow", 2},
	{"stall-redis", 2}, {"flush", 2}, {"script-flush", 1}, {"restart-empty", 2}, {"save", 3}, {"restart-old", 2},
	{"failover", 3}, {"promote", 2}, {"kill-pubsub", 2}, {"kill", 3}, {"stop", 3}, {"start", 6},
}

type weighted struct {
	what   string
	weight int
}

func pick(r *rand.Rand, from []weighted) string {
	sum := 0
	for _, w := range from {
		sum += w.weight
	}
	n := r.IntN(sum)
	for _, w := range from {
		if n -= w.weight; n < 0 {
			return w.what
		}
	}
	return ""
}

// plan makes the schedule of a seed.
func plan(seed uint64, length time.Duration) schedule {
	r := rand.New(rand.NewPCG(seed, 0))
	var s schedule
	// The first nodes start at about the same time, and have half a minute of calm.
	for i := range nodesAtStart {
		s = append(s, step{at: time.Duration(r.IntN(2000)) * time.Millisecond, what: "start", a: i})
	}
	every := time.Duration(50+r.IntN(400)) * time.Millisecond
	for at := 3 * time.Second; at < length; at += time.Duration(r.Int64N(2 * int64(every))) {
		s = append(s, step{at: at.Round(time.Millisecond), what: pick(r, clientSteps), a: r.IntN(1 << 16), b: r.IntN(1 << 16)})
	}
	pause := time.Duration(1+r.IntN(20)) * time.Second
	for at := 20 * time.Second; at < length; at += time.Duration(r.Int64N(2 * int64(pause))) {
		s = append(s, step{
			at: at.Round(time.Millisecond), what: pick(r, faults), a: r.IntN(1 << 16), b: r.IntN(1 << 16), d: faultLength(r).Round(time.Millisecond),
		})
	}
	slices.SortStableFunc(s, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	return s
}

// faultLength is mostly short, and now and then longer than every time-out.
func faultLength(r *rand.Rand) time.Duration {
	switch r.IntN(3) {
	case 0:
		return time.Duration(r.IntN(500)) * time.Millisecond
	case 1:
		return time.Duration(r.IntN(int(nodeTTL)))
	}
	return time.Duration(r.IntN(int(4 * nodeTTL)))
}
