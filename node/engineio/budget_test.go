package engineio

import (
	"strings"
	"testing"
)

// What is reserved and what waits to be sent share one bound.
func TestConn_Budget(t *testing.T) {
	h := listen(t, Options{MaxPayload: 1000, MaxQueue: 10_000, MaxConnectionBytes: 12_000})
	p := h.polling()
	check(t, "reserved", p.Reserve(9000), true)
	check(t, "more than is left", p.Reserve(3001), false)
	check(t, "refusals", h.Stats().BudgetRefused, 1)
	check(t, "held", p.Held(), 9000)
	check(t, "sent", p.text("x"), true)
	check(t, "what the queue took", p.Reserve(3000), false)
	check(t, "sent beside it", p.text(strings.Repeat("x", 3000)), false)
	check(t, "reason", receive(t, p.closed), ReasonTransportError)
	check(t, "too slow", h.Stats().SlowClosed, 1)
	check(t, "after the end", p.Reserve(1), false)
	check(t, "refusals", h.Stats().BudgetRefused, 2)

	p = h.polling()
	check(t, "reserved", p.Reserve(12_000), true)
	p.Release(12_000)
	check(t, "given back", p.Reserve(12_000), true)
}

func TestOptions_Budget(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want int
	}{
		{Options{}, 16 << 20},
		{Options{MaxQueue: 10 << 20}, 20 << 20},
		{Options{MaxPayload: 10 << 20}, 20 << 20},
		{Options{MaxConnectionBytes: 5 << 20}, 5 << 20},
	} {
		o, err := c.o.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		check(t, "budget", o.MaxConnectionBytes, c.want)
	}
	_, err := Options{MaxConnectionBytes: 1 << 20}.withDefaults()
	if err == nil || !strings.Contains(err.Error(), "MaxConnectionBytes is 1048576, must be at least 4194304") {
		t.Errorf("a budget smaller than the queue: %v", err)
	}
}
