package namespace

import (
	"sync"
	"time"
)

// refusedInterval is how often refusals of one kind are logged at most.
const refusedInterval = time.Second

// refusedLog tells an operator of CONNECTs that were refused for want of something:
// of one kind at most a line a second, with how many there were. Clients ask again
// every few seconds, each of them.
type refusedLog struct {
	log func(namespace string, err error, refused int)

	mu    sync.Mutex // guards what follows
	timer *time.Timer
	open  bool // a line was logged less than an interval ago
	held  int  // refusals since
	full  string
	err   error // of the last of these
}

// note takes one refusal.
func (l *refusedLog) note(full string, err error) {
	l.mu.Lock()
	if l.open {
		l.held++
		l.full, l.err = full, err
		l.mu.Unlock()
		return
	}
	l.open = true
	if l.timer == nil {
		l.timer = time.AfterFunc(refusedInterval, l.flush)
	} else {
		l.timer.Reset(refusedInterval)
	}
	l.mu.Unlock()
	l.log(full, err, 1)
}

// flush logs what came within the interval, which then begins anew.
func (l *refusedLog) flush() {
	l.mu.Lock()
	held, full, err := l.held, l.full, l.err
	l.held, l.full, l.err = 0, "", nil
	if l.open = held > 0; l.open {
		l.timer.Reset(refusedInterval)
	}
	l.mu.Unlock()
	if held > 0 {
		l.log(full, err, held)
	}
}

// stop ends the timer; what it would have logged is logged now.
func (l *refusedLog) stop() {
	l.mu.Lock()
	timer := l.timer
	l.mu.Unlock()
	if timer != nil {
		timer.Stop()
		l.flush()
		timer.Stop() // flush has set it again
	}
}
