package node

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	// writeTimeout is how long an answer may take to be received once it has begun,
	// and bodyTimeout how long the body of a request may take to come. Handlers
	// that need another time set deadlines of their own.
	writeTimeout = time.Minute
	bodyTimeout  = time.Minute
	// restTimeout is for what is left of a body when its request has been answered.
	restTimeout = 5 * time.Second
)

// newHTTP makes an HTTP server on which nobody can hold a connection for ever:
// every read and every write has a deadline. WebSockets, which are taken over
// from it, have heartbeats instead.
func (s *Server) newHTTP(h http.Handler, listener string) *http.Server {
	return &http.Server{
		Handler:           patient{h, max(bodyTimeout, s.opts.PingInterval+s.opts.PingTimeout)},
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      writeTimeout, // of what the server answers by itself
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    s.opts.MaxHeaderBytes,
		ErrorLog:          newHTTPLog(s.log, listener),
	}
}

// patient gives answers a deadline from when they begin: a server's WriteTimeout
// counts from the request, and would end every long poll.
type patient struct {
	next http.Handler
	body time.Duration
}

// ServeHTTP implements [http.Handler].
func (p patient) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &deadlineWriter{ResponseWriter: w, ctl: http.NewResponseController(w)}
	if r.Body != nil && r.Body != http.NoBody {
		_ = out.ctl.SetReadDeadline(time.Now().Add(p.body))
		out.body = &deadlineBody{ReadCloser: r.Body, ctl: out.ctl}
		r.Body = out.body
	}
	p.next.ServeHTTP(out, r)
	if out.hijacked.Load() {
		return
	}
	// Whatever deadlines the handler has set or lifted: the end of the answer is
	// still to be written, and the rest of the body to be read.
	_ = out.ctl.SetWriteDeadline(time.Now().Add(writeTimeout))
	if out.body != nil && !out.body.read.Load() {
		_ = out.ctl.SetReadDeadline(time.Now().Add(restTimeout))
	}
}

// deadlineWriter sets a deadline when the first is written, unless the handler
// has set one.
type deadlineWriter struct {
	http.ResponseWriter
	ctl      *http.ResponseController
	body     *deadlineBody // nil: the request has none
	begin    sync.Once
	hijacked atomic.Bool
}

func (w *deadlineWriter) begins() {
	w.begin.Do(func() { _ = w.ctl.SetWriteDeadline(time.Now().Add(writeTimeout)) })
}

// Write implements [http.ResponseWriter].
func (w *deadlineWriter) Write(p []byte) (int, error) {
	w.begins()
	return w.ResponseWriter.Write(p)
}

// WriteString implements [io.StringWriter].
func (w *deadlineWriter) WriteString(s string) (int, error) {
	w.begins()
	return io.WriteString(w.ResponseWriter, s)
}

// FlushError is Flush for [http.ResponseController].
func (w *deadlineWriter) FlushError() error {
	w.begins()
	return w.ctl.Flush()
}

// Flush implements [http.Flusher].
func (w *deadlineWriter) Flush() { _ = w.FlushError() }

// SetWriteDeadline is for [http.ResponseController]. The handler's deadline wins.
func (w *deadlineWriter) SetWriteDeadline(t time.Time) error {
	w.begin.Do(func() {})
	return w.ctl.SetWriteDeadline(t)
}

// Unwrap is for [http.ResponseController].
func (w *deadlineWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack implements [http.Hijacker].
func (w *deadlineWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := w.ctl.Hijack()
	if err == nil {
		w.hijacked.Store(true)
	}
	return conn, rw, err
}

// deadlineBody lifts the deadline when all has come: what is read behind the body
// is how the server finds that a client has gone, which takes as long as it takes.
type deadlineBody struct {
	io.ReadCloser
	ctl  *http.ResponseController
	read atomic.Bool
}

// Read implements [io.Reader].
func (b *deadlineBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) && !b.read.Swap(true) {
		_ = b.ctl.SetReadDeadline(time.Time{})
	}
	return n, err
}
