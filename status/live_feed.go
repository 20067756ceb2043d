package status

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// maxPages is how many different pages may be among those kept up to date for visitors, and as many
	// among those for others: only these cost Redis something, and memory.
	maxPages = 25
	// A page is brought up to date this often; where nodes have to be asked for what is
	// inside namespaces, less often.
	freshFor         = time.Second
	freshDetailedFor = 2 * time.Second
	// feedTimeout bounds one report for open pages.
	feedTimeout = 3 * time.Second
)

var (
	errFull      = errors.New("status: too many pages are open")
	errFullOfYou = errors.New("status: too many pages are open from your address")
	errBusy      = errors.New("status: the node is too busy to look")
	errClosed    = errors.New("status: the node is stopping")
)

// feeds are the pages that are kept up to date, one feed for all viewers that
// see the same. Nothing is collected while nobody looks.
type feeds struct {
	src      Source
	ctx      context.Context // ends with Close
	most     int             // viewers of each of the two kinds
	visitors perAddress

	mu   sync.Mutex // guards the rest; a leaf
	open map[viewer]*feed
	// Whether they are visitors, and how many: viewers and the pages that they look at.
	viewers, pages map[bool]int
}

// feed is what viewers of one page share.
type feed struct {
	viewer viewer
	users  int // guarded by feeds.mu

	// turn holds the right to use the fields below: who has put something in
	// collects, and the others wait for what it has found.
	turn   chan struct{}
	scene  *scene
	until  time.Time // until when the scene is fresh
	frame  frame
	inline bool // the namespaces were few the last time: ask what is inside at once
}

// frame is a scene as it is sent. It is never changed.
type frame struct {
	number uint64                 // counts the changes; the first is 1
	now    time.Time              // the time of the latest report
	taken  time.Time              // when that was, by this node's clock
	all    func() ([]byte, error) // encodes the whole scene, once
	change []byte                 // what is different from the frame before; nil for the first
}

// join returns the feed for a viewer, who leaves it again.
func (s *feeds) join(v viewer) (*feed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil, errClosed
	}
	f := s.open[v]
	if s.viewers[v.Visitor] >= s.most || f == nil && s.pages[v.Visitor] >= maxPages {
		return nil, errFull
	}
	s.viewers[v.Visitor]++
	if f == nil {
		f = &feed{viewer: v, turn: make(chan struct{}, 1)}
		s.open[v] = f
		s.pages[v.Visitor]++
	}
	f.users++
	return f, nil
}

func (s *feeds) leave(f *feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.viewers[f.viewer.Visitor]--
	if f.users--; f.users == 0 {
		delete(s.open, f.viewer)
		s.pages[f.viewer.Visitor]--
	}
}

// look returns the latest frame, collected anew if it is not fresh, and when
// the next will be worth a look. ctx bounds the wait for other viewers, who
// may be collecting for this one.
func (s *feeds) look(ctx context.Context, f *feed) (frame, time.Time, error) {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return frame{}, time.Time{}, ctx.Err()
	}
	defer func() { <-f.turn }()
	if f.scene != nil && time.Now().Before(f.until) {
		return f.frame, f.until, nil
	}
	// Not the viewer's own context: the others wait for this, too.
	collecting, cancel := context.WithTimeout(s.ctx, feedTimeout)
	defer cancel()
	r, detailed := collectPage(collecting, s.src, f.viewer, f.inline)
	if s.ctx.Err() != nil {
		return frame{}, time.Time{}, errClosed
	}
	if collecting.Err() != nil {
		// It did not get as far as asking. What was seen last stays; who has seen
		// nothing comes again.
		if f.scene == nil {
			return frame{}, time.Time{}, errBusy
		}
		f.until = time.Now().Add(freshFor)
		return f.frame, f.until, nil
	}
	f.inline = detailed
	next, err := newScene(r, f.viewer)
	if err == nil {
		err = f.show(next)
	}
	f.until = time.Now().Add(freshFor)
	if detailed || f.viewer.Namespace != "" {
		f.until = time.Now().Add(freshDetailedFor)
	}
	return f.frame, f.until, err
}

// show makes next the scene. f.turn must be held.
func (f *feed) show(next *scene) error {
	change := next.diff(f.scene)
	if f.scene != nil && change.empty() {
		f.frame.now, f.frame.taken = next.time, time.Now()
		return nil
	}
	made := frame{number: f.frame.number + 1, now: next.time, taken: time.Now()}
	// Few want it: who has just come, and who missed a change.
	made.all = sync.OnceValues(func() ([]byte, error) { return next.diff(nil).encode() })
	if f.scene != nil {
		var err error
		if made.change, err = change.encode(); err != nil {
			return err
		}
	}
	f.scene, f.frame = next, made
	return nil
}

// collectPage has a page's report made. Where little is live, it has what is inside
// the namespaces as well; likely says that it was so the last time. It
// reports whether nodes were asked.
func collectPage(ctx context.Context, src Source, v viewer, likely bool) (*Report, bool) {
	q := v.Query
	q.Trend = true
	q.Detailed = likely && q.Namespace == ""
	r := src.Collect(ctx, q)
	if q.Namespace != "" || !v.inline(r) || q.Detailed {
		return r, q.Detailed && v.inline(r)
	}
	for i := range r.Namespaces {
		if r.Namespaces[i].Occupied() {
			q.Detailed = true
			return src.Collect(ctx, q), true
		}
	}
	return r, false
}
