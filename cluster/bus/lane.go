package bus

import (
	"fmt"
	"runtime/debug"
	"sync"
)

// lane handles items one after the other, in a goroutine that lives as long as there are
// any. It never makes the one who pushes wait: the reader of the subscriber connection must go on, or a
// handler that waits for a subscription or an answer would wait for ever.
type lane[T any] struct {
	b      *Bus
	handle func(T)

	mu    sync.Mutex // guards the rest; a leaf
	queue []laneItem[T]
	busy  bool
}

type laneItem[T any] struct {
	item T
	size int // what it counts in the backlog
}

func (l *lane[T]) init(b *Bus, handle func(T)) { l.b, l.handle = b, handle }

// push adds an item, unless the backlog of the whole bus is full. It is called by
// goroutines of the bus only, so that Close waits for what it starts.
func (l *lane[T]) push(item T, size int) {
	size += itemCost
	if l.b.backlog.Add(int64(size)) > int64(l.b.opts.MaxBacklog) {
		l.b.backlog.Add(-int64(size))
		l.b.stats.overflow.Add(1)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, laneItem[T]{item, size})
	if !l.busy {
		l.busy = true
		l.b.wg.Go(l.run)
	}
}

// itemCost is what an item takes beside its payload, in bytes.
const itemCost = 64

func (l *lane[T]) run() {
	var spare []laneItem[T]
	for {
		l.mu.Lock()
		items := l.queue
		if len(items) == 0 {
			l.busy = false
			l.mu.Unlock()
			return
		}
		l.queue = spare
		l.mu.Unlock()
		for i := range items {
			if l.b.ctx.Err() == nil {
				l.one(items[i].item)
			}
			l.b.backlog.Add(-int64(items[i].size))
			items[i] = laneItem[T]{}
		}
		spare = items[:0]
		if cap(spare) > 1024 {
			spare = nil
		}
	}
}

// one handles an item. A panic costs that item only.
func (l *lane[T]) one(item T) {
	defer l.b.survive()
	l.handle(item)
}

// survive, deferred, counts and logs a panic.
func (b *Bus) survive() {
	if p := recover(); p != nil {
		b.stats.panics.Add(1)
		b.log.Error("bus: panic while a message was handled", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}
