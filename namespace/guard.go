package namespace

import (
	"context"
	"errors"
	"runtime/debug"
)

// User code may panic, and it may end its goroutine: runtime.Goexit is what a
// failed t.FailNow does. Neither may cost more than what it was called for.

// errPanic stands for the error of user code that panicked or ended its
// goroutine, which guard has logged.
var errPanic = errors.New("namespace: user code panicked")

// guard runs user code; a panic in it is logged with its stack and goes no
// further. A runtime.Goexit is logged and does end the goroutine: what must happen
// afterwards is deferred by the caller, or contain is used.
func (r *Registry) guard(what, full string, f func()) {
	returned := false
	defer func() {
		if returned {
			return
		}
		r.stats.panics.Add(1)
		if p := recover(); p != nil {
			r.log.Error(what+" panicked", "namespace", full, "panic", p, "stack", string(debug.Stack()))
			return
		}
		r.log.Error(what+" ended its goroutine: runtime.Goexit, perhaps of a t.FailNow", "namespace", full, "stack", string(debug.Stack()))
	}()
	f()
	returned = true
}

// contain is guard in a goroutine of its own, which it waits for: not even a
// runtime.Goexit concerns the caller. It is for what runs once for each socket or
// namespace; for each event it would cost too much.
func (r *Registry) contain(what, full string, f func()) {
	aside(func() { r.guard(what, full, f) })
}

// aside runs f in a goroutine of its own and waits until that has ended.
func aside(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// handle runs one handler and reports whether it went well. Its failure costs
// this event and nothing else.
func (r *Registry) handle(ctx context.Context, e *Event, h Handler) bool {
	err := errPanic
	full := ""
	if e.socket != nil {
		full = e.socket.ns.fullName
	}
	// Deferred, as a runtime.Goexit ends the goroutine: the client is answered all the same.
	defer func() {
		if err != nil {
			r.failed(e, full, err)
		}
	}()
	r.guard("handler of an event", full, func() { err = h(ctx, e) })
	return err == nil
}

// failed logs why a handler failed, and tells the client if it waits for an
// acknowledgement and has none.
func (r *Registry) failed(e *Event, full string, err error) {
	_, meant := errors.AsType[*ClientError](err)
	switch {
	case meant || err == errPanic: // the client is told; a panic has been logged
	case errors.Is(err, ErrDisconnected) || e.socket != nil && e.socket.gone.Load() && errors.Is(err, context.Canceled):
		r.log.Debug("event failed: a socket has gone", "namespace", full, "event", e.Name, "error", err)
	default:
		r.log.Warn("event failed", "namespace", full, "event", e.Name, "error", err)
	}
	if !e.wants || e.acked.Load() {
		return
	}
	ce := forClient(err, messageHandlerFailure)
	reply := map[string]any{"error": ce.Message}
	if ce.Data != nil {
		reply["data"] = ce.Data
	}
	if err := e.Ack(reply); err != nil && !errors.Is(err, ErrDisconnected) {
		r.log.Error("acknowledgement of a failure", "namespace", full, "event", e.Name, "error", err)
	}
}
