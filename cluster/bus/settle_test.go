package bus

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

var numSubCalls = regexp.MustCompile(`cmdstat_pubsub\|numsub:calls=(\d+)`)

// Once many channels have been subscribed, the bus does the look-ups that move Redis's table of channels,
// twice as many as there are channels, and is quiet again.
func TestBus_SettlesTheTableOfChannels(t *testing.T) {
	s := redistest.Start(t)
	a := start(t, s, "a")
	const namespaces, channels = 1000, 4*1000 + ownChannels
	for i := range namespaces {
		a.Enter(fmt.Sprint("/", i))
	}
	eventually(t, "all subscribed", func() bool { return a.Stats().Subscriptions == channels })
	c := s.Client()
	calls := func() int {
		info, err := c.Info(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		if m := numSubCalls.FindStringSubmatch(info); m != nil {
			n, _ := strconv.Atoi(m[1])
			return n
		}
		return 0
	}
	want := 2*channels/settleBatch + 1
	eventually(t, "looked up", func() bool { return calls() >= want })
	// A few more channels are no growth; and if the number stood still on the way, that was
	// settled, too.
	a.enter("/one-more")
	time.Sleep(3 * settleEvery)
	if got := calls(); got > 2*want {
		t.Errorf("%d commands, want %d once", got, want)
	}
}
