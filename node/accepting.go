package node

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The node's HTTP servers, as logs and metrics name them.
const (
	mainListener  = "main"
	adminListener = "admin"
)

// notAccepting is how long after an error of Accept the node counts as one that
// cannot accept. net/http tries again every second.
const notAccepting = 3 * time.Second

// accepting watches whether connections can be accepted, on all listeners.
type accepting struct {
	main, admin atomic.Int64 // errors
	failed      atomic.Pointer[acceptFailure]
}

type acceptFailure struct {
	err error
	at  time.Time
}

// errors counts by listener.
func (a *accepting) errors() map[string]int64 {
	return map[string]int64{mainListener: a.main.Load(), adminListener: a.admin.Load()}
}

// check says why the node cannot accept connections now, nil if it can.
func (a *accepting) check() error {
	if f := a.failed.Load(); f != nil && time.Since(f.at) < notAccepting {
		return fmt.Errorf("cannot accept connections: %w", f.err)
	}
	return nil
}

// watch returns the listener whose errors are counted.
func (a *accepting) watch(l net.Listener, count *atomic.Int64) net.Listener {
	return &watchedListener{l, a, count}
}

type watchedListener struct {
	net.Listener
	accepting *accepting
	count     *atomic.Int64
}

// Accept implements [net.Listener].
func (l *watchedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		l.count.Add(1)
		l.accepting.failed.Store(&acceptFailure{err, time.Now()})
	}
	return conn, err
}

// httpLogEvery is how often an HTTP server logs one kind of error at most.
const httpLogEvery = 10 * time.Second

// httpLog takes what an HTTP server logs.
type httpLog struct {
	log      *slog.Logger
	listener string

	mu    sync.Mutex // guards kinds; a leaf
	kinds map[string]*httpLogKind
}

type httpLogKind struct {
	spoke      time.Time
	suppressed int
}

func newHTTPLog(to *slog.Logger, listener string) *log.Logger {
	return log.New(&httpLog{log: to, listener: listener, kinds: make(map[string]*httpLogKind)}, "", 0)
}

// httpKinds are the beginnings of what net/http logs, and how bad each is. A
// failed TLS handshake is the client's affair.
var httpKinds = [...]struct {
	prefix string
	level  slog.Level
}{
	{"http: Accept error", slog.LevelWarn},
	{"http: panic serving", slog.LevelError},
	{"http: TLS handshake error", slog.LevelDebug},
	{"", slog.LevelWarn},
}

// Write implements [io.Writer] for one line, or a panic with its stack.
func (l *httpLog) Write(p []byte) (int, error) {
	text := strings.TrimSpace(string(p))
	for _, kind := range httpKinds {
		if !strings.HasPrefix(text, kind.prefix) {
			continue
		}
		if suppressed, ok := l.mayLog(kind.prefix); ok {
			l.log.Log(context.Background(), kind.level, strings.TrimPrefix(text, "http: "), "listener", l.listener, "suppressed", suppressed)
		}
		break
	}
	return len(p), nil
}

// mayLog reports whether it is time for another line of a kind, and how many
// were left out since the last.
func (l *httpLog) mayLog(prefix string) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kind := l.kinds[prefix]
	if kind == nil {
		kind = &httpLogKind{}
		l.kinds[prefix] = kind
	}
	if !kind.spoke.IsZero() && time.Since(kind.spoke) < httpLogEvery {
		kind.suppressed++
		return 0, false
	}
	suppressed, kind.suppressed, kind.spoke = kind.suppressed, 0, time.Now()
	return suppressed, true
}
