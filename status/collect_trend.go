package status

import (
	"math"
	"strconv"
	"strings"
)

const (
	// trendSamples is how many samples a trend has at most: five minutes.
	trendSamples = 60
	// maxTrendStep and maxTrendValue bound what is read from others; such
	// numbers are exact in JavaScript, too.
	maxTrendStep  = 3_600_000
	maxTrendValue = 1 << 53
)

// Text is the trend in the form in which nodes hand it around: its step, then
// sockets, events and deliveries of each sample.
//
//	5000 12,3,40 12,0,0
func (t *Trend) Text() string {
	b := make([]byte, 0, 8+12*len(t.Sockets))
	b = strconv.AppendInt(b, t.StepMS, 10)
	for i := range t.Sockets {
		b = append(b, ' ')
		b = strconv.AppendInt(b, t.Sockets[i], 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, t.Events[i], 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, t.Deliveries[i], 10)
	}
	return string(b)
}

// ParseTrend reads what [Trend.Text] wrote; nil if it is anything else. The
// text comes from Redis, where others can write.
func ParseTrend(text string) *Trend {
	step, rest, _ := strings.Cut(text, " ")
	t := new(Trend)
	var ok bool
	if t.StepMS, ok = trendNumber(step, maxTrendStep); !ok || t.StepMS == 0 {
		return nil
	}
	for rest != "" {
		if len(t.Sockets) == trendSamples {
			return nil
		}
		var sample string
		sample, rest, _ = strings.Cut(rest, " ")
		var v [3]int64
		for i := range v {
			var field string
			var more bool
			field, sample, more = strings.Cut(sample, ",")
			if v[i], ok = trendNumber(field, maxTrendValue); !ok || more != (i < 2) {
				return nil
			}
		}
		t.Sockets, t.Events, t.Deliveries = append(t.Sockets, v[0]), append(t.Events, v[1]), append(t.Deliveries, v[2])
	}
	return t
}

// trendNumber reads a number from 0 to most.
func trendNumber(s string, most int64) (int64, bool) {
	if len(s) > 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err == nil && int64(n) <= most
}

// add puts a sample at the end, and drops the first one of a full trend.
func (t *Trend) add(sockets int64, eventsPerSecond, deliveriesPerSecond float64) {
	push := func(values *[]int64, v int64) {
		*values = append(*values, min(max(v, 0), maxTrendValue))
		if n := len(*values); n > trendSamples {
			*values = append((*values)[:0], (*values)[n-trendSamples:]...)
		}
	}
	push(&t.Sockets, sockets)
	push(&t.Events, int64(math.Round(eventsPerSecond)))
	push(&t.Deliveries, int64(math.Round(deliveriesPerSecond)))
}
