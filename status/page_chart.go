package status

import (
	"fmt"
	"strconv"
	"strings"
)

// chart is a small picture of one value over the last minutes.
type chart struct {
	Line  string // an SVG path through all values
	Area  string // the same, closed along the bottom
	Label string // what the picture shows, in words
}

// The coordinates of a chart: one unit to the right for each step, the latest
// at the right edge.
const (
	chartSteps  = 60
	chartHeight = 24
)

// newChart draws values, the latest last; nil if there are too few for a line.
// what names them: "sockets".
func newChart(what string, stepMS int64, values []int64) *chart {
	if len(values) > chartSteps {
		values = values[len(values)-chartSteps:]
	}
	if len(values) < 2 || stepMS <= 0 {
		return nil
	}
	low, high := values[0], values[0]
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	var line strings.Builder
	left := chartSteps - len(values)
	for i, v := range values {
		// From the bottom at zero up to the highest value, a unit of air above it.
		y := float64(chartHeight - 1)
		if high > 0 {
			y -= float64(max(v, 0)) / float64(high) * (chartHeight - 2)
		}
		sign := byte('L')
		if i == 0 {
			sign = 'M'
		}
		line.WriteByte(sign)
		line.WriteString(strconv.Itoa(left + i))
		line.WriteByte(' ')
		line.WriteString(strconv.FormatFloat(y, 'f', 1, 64))
	}
	c := &chart{Line: line.String()}
	c.Area = fmt.Sprintf("%sL%d %dL%d %dZ", c.Line, chartSteps-1, chartHeight, left, chartHeight)
	c.Label = fmt.Sprintf("%s in the last %s: now %s, at least %s, at most %s",
		what, milliseconds(int64(len(values)-1)*stepMS), count(values[len(values)-1]), count(low), count(high))
	return c
}

// sum adds the values that pick takes from the nodes' trends, latest to latest.
func sum(nodes []Node, pick func(*Trend) []int64) (stepMS int64, total []int64) {
	for i := range nodes {
		t := nodes[i].Trend
		if t == nil {
			continue
		}
		stepMS = max(stepMS, t.StepMS)
		values := pick(t)
		if more := len(values) - len(total); more > 0 {
			total = append(make([]int64, more), total...)
		}
		for j, v := range values {
			total[len(total)-len(values)+j] += v
		}
	}
	return stepMS, total
}
