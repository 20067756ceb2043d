package engineio

import (
	"errors"
	"time"
)

// errFlood is a client that sends more control packets than it may.
var errFlood = errors.New("engineio: too many control packets")

// smallFragment is the size below which a fragment of a WebSocket message counts
// as a control frame: it costs as much, and brings as little.
const smallFragment = 64

// meter counts what one client sends within a second.
type meter struct {
	second int64 // in which n was counted
	n      int
}

// allow counts one more, and reports whether that is at most limit in this
// second; a limit that is not positive is none.
func (m *meter) allow(limit int) bool {
	if limit <= 0 {
		return true
	}
	if second := time.Now().Unix(); second != m.second {
		m.second, m.n = second, 0
	}
	m.n++
	return m.n <= limit
}
