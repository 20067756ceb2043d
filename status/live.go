package status

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

const (
	// beatEvery is how long a stream is silent at most: proxies close what is
	// silent, and the page knows from it that the node is there.
	beatEvery = 15 * time.Second
	// writeTimeout is how long a viewer may take to receive an update. One that
	// takes longer is left; it comes back by itself.
	writeTimeout = 5 * time.Second
	// streamLife bounds a stream: who comes back is asked again who it is.
	streamLife = time.Hour
)

// serveEvents keeps one page up to date, with server-sent events: first all of
// it, then what changes. It goes on until the viewer goes or h is closed.
func (h *Handler) serveEvents(w http.ResponseWriter, r *http.Request, v viewer) {
	from := h.opts.Address(r)
	if v.Visitor {
		if !h.feeds.visitors.enter(from) {
			tooBusy(w, "10", errFullOfYou.Error())
			return
		}
		defer h.feeds.visitors.leave(from)
	}
	f, err := h.feeds.join(v)
	if err != nil {
		tooBusy(w, "10", err.Error())
		return
	}
	defer h.feeds.leave(f)
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("X-Accel-Buffering", "no") // nginx would keep it
	if r.Method == http.MethodHead {
		return // the connection is not to wait for a body that never comes
	}
	ctx, cancel := context.WithTimeout(r.Context(), streamLife)
	defer cancel()
	defer context.AfterFunc(h.feeds.ctx, cancel)()
	out := newStream(w, r)
	err = h.keepUp(ctx, f, out)
	out.end()
	if err != nil && !errors.Is(err, errClosed) && ctx.Err() == nil {
		h.log.Debug("status: a page is left", "address", r.RemoteAddr, "error", err)
	}
}

// keepUp writes updates until ctx ends or one cannot be written.
func (h *Handler) keepUp(ctx context.Context, f *feed, out *stream) error {
	var (
		seen  uint64
		spoke time.Time
		timer = time.NewTimer(0)
	)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		got, next, err := h.feeds.look(ctx, f)
		if err != nil {
			return err
		}
		now := got.now.Add(time.Since(got.taken))
		switch {
		case got.number == seen:
			if time.Since(spoke) < beatEvery-freshDetailedFor {
				timer.Reset(time.Until(next))
				continue
			}
			err = out.send("beat", now, nil)
		case got.number == seen+1 && got.change != nil:
			err = out.send("update", now, got.change)
		default:
			var all []byte
			if all, err = got.all(); err == nil {
				err = out.send("update", now, all)
			}
		}
		if err != nil {
			return err
		}
		seen, spoke = got.number, time.Now()
		timer.Reset(time.Until(next))
	}
}

// stream writes server-sent events.
type stream struct {
	body *body
	rc   *http.ResponseController
}

func newStream(w http.ResponseWriter, r *http.Request) *stream {
	return &stream{body: newBody(w, r), rc: http.NewResponseController(w)}
}

// send writes one event: a line with the time now, and one of JSON.
func (s *stream) send(event string, now time.Time, data []byte) error {
	b := append(make([]byte, 0, len(data)+64), "event: "...)
	b = append(b, event...)
	b = append(b, "\ndata: "...)
	b = strconv.AppendInt(b, now.UnixMilli(), 10)
	if data != nil {
		b = append(b, "\ndata: "...)
		b = append(b, data...)
	}
	b = append(b, "\n\n"...)
	// A server that knows no deadlines has its own way to leave the slow.
	if err := s.rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.body.Write(b); err != nil {
		return err
	}
	return s.rc.Flush()
}

// end completes the body, so far as it still can be written.
func (s *stream) end() {
	_ = s.body.Close() // the viewer may be gone
	_ = s.rc.SetWriteDeadline(time.Time{})
}
