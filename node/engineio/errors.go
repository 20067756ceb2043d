package engineio

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// Reasons of a close, as socket.io documents them.
const (
	ReasonTransportClose = "transport close"      // the client went away, or said so
	ReasonTransportError = "transport error"      // the connection or the use of it is faulty; also a client that is too slow
	ReasonPingTimeout    = "ping timeout"         // a heartbeat was not answered
	ReasonForcedClose    = "forced close"         // for Conn.Close
	ReasonParseError     = "parse error"          // the client sent what is no packet
	ReasonServerShutdown = "server shutting down" // Server.Close
)

// Codes of refused requests, as Node's engine.io numbers them. A client that
// gets one gives up on the session; none is worth a retry of the same request.
const (
	CodeUnknownTransport    = 0
	CodeUnknownSID          = 1
	CodeBadHandshakeMethod  = 2
	CodeBadRequest          = 3
	CodeForbidden           = 4
	CodeUnsupportedProtocol = 5
)

// RefuseError is what an Accept function returns to choose how a handshake is
// refused. Zero fields take the values of the default refusal: 403, code 4 and
// "Forbidden".
type RefuseError struct {
	Status  int    // HTTP status
	Code    int    // one of the codes above
	Message string // shown to the client
}

func (e *RefuseError) Error() string { return "engineio: refused: " + e.Message }

// refusal is an answer to a request that is not served, and how it is counted.
type refusal struct {
	status  int
	code    int
	message string
	label   string // key in Stats.Refused
	err     error  // what led to it; not for the client
}

// The refusals that the server itself decides on. Their labels are all that
// Stats.Refused can hold, apart from "not accepted".
var (
	refuseTransport = refusal{status: http.StatusBadRequest, code: CodeUnknownTransport, message: "Transport unknown", label: "unknown transport"}
	refuseSID       = refusal{status: http.StatusBadRequest, code: CodeUnknownSID, message: "Session ID unknown", label: "unknown sid"}
	refuseMethod    = refusal{status: http.StatusBadRequest, code: CodeBadHandshakeMethod, message: "Bad handshake method", label: "bad method"}
	refuseRequest   = refusal{status: http.StatusBadRequest, code: CodeBadRequest, message: "Bad request", label: "bad request"}
	refuseOrigin    = refusal{status: http.StatusForbidden, code: CodeForbidden, message: "Forbidden", label: "forbidden origin"}
	refuseProtocol  = refusal{status: http.StatusBadRequest, code: CodeUnsupportedProtocol, message: "Unsupported protocol version", label: "unsupported protocol"}
	refuseJSONP     = refusal{status: http.StatusBadRequest, code: CodeBadRequest, message: "JSONP polling is not supported", label: "jsonp"}
	refuseTooLarge  = refusal{status: http.StatusRequestEntityTooLarge, code: CodeBadRequest, message: "Payload too large", label: "payload too large"}
	refuseRate      = refusal{status: http.StatusTooManyRequests, code: CodeForbidden, message: "Too many handshakes", label: "rate limit"}
	refuseFull      = refusal{status: http.StatusServiceUnavailable, code: CodeForbidden, message: "Too many sessions", label: "too many sessions"}
	refuseAddress   = refusal{status: http.StatusTooManyRequests, code: CodeForbidden, message: "Too many sessions from this address", label: "too many sessions of an address"}
	refuseDraining  = refusal{status: http.StatusServiceUnavailable, code: CodeForbidden, message: "Server is draining", label: "draining"}
)

const labelNotAccepted = "not accepted"

var refuseLabels = [...]string{
	refuseTransport.label, refuseSID.label, refuseMethod.label, refuseRequest.label, refuseOrigin.label, refuseProtocol.label,
	refuseJSONP.label, refuseTooLarge.label, refuseRate.label, refuseFull.label, refuseAddress.label, refuseDraining.label, labelNotAccepted,
}

// notAccepted is the refusal for an error of the Accept function. Only the text
// of a RefuseError reaches the client: other errors may tell too much.
func notAccepted(err error) refusal {
	ref := refusal{http.StatusForbidden, CodeForbidden, "Forbidden", labelNotAccepted, err}
	var e *RefuseError
	if !errors.As(err, &e) {
		return ref
	}
	if e.Status >= 400 && e.Status <= 599 {
		ref.status = e.Status
	}
	if e.Code != 0 {
		ref.code = e.Code
	}
	if e.Message != "" {
		ref.message = e.Message
	}
	return ref
}

// ConnectionError is what Options.OnConnectionError is told of a request that
// was refused, as Node's connection_error event tells it.
type ConnectionError struct {
	Code    int    // what the client is told: one of the codes above
	Message string // likewise
	Status  int    // of the HTTP answer
	Reason  string // one of RefuseReasons
	Err     error  // of the Accept function or of the WebSocket handshake, or nil

	// Request is what was refused; it is valid until the hook returns.
	Request *http.Request
}

func (e *ConnectionError) Error() string {
	if e.Err != nil {
		return "engineio: " + e.Reason + ": " + e.Err.Error()
	}
	return "engineio: " + e.Reason
}

// refuse answers a request that is not served.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, ref refusal) {
	s.refused(r, ref)
	var body []byte
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	switch ref.status {
	case http.StatusServiceUnavailable:
		// The client should come back over a new TCP connection, which a load
		// balancer can send elsewhere.
		h.Set("Retry-After", "1")
		h.Set("Connection", "close")
	case http.StatusTooManyRequests:
		h.Set("Retry-After", "1")
	case http.StatusRequestEntityTooLarge:
		h.Set("Connection", "close") // the rest of the body is not worth reading
	}
	if ref.status != http.StatusRequestEntityTooLarge { // Node's has no body
		h.Set("Content-Type", "application/json")
		message, _ := json.Marshal(ref.message) // a string always encodes
		body = []byte(`{"code":` + strconv.Itoa(ref.code) + `,"message":` + string(message) + `}`)
	}
	s.respond(w, ref.status, body)
}

// refused counts a request that is not served, and tells who wants to know.
func (s *Server) refused(r *http.Request, ref refusal) {
	s.stats.refused[ref.label].Add(1)
	if log := s.opts.Logger; log.Enabled(r.Context(), slog.LevelDebug) {
		attrs := []any{"reason", ref.label, "remote", r.RemoteAddr, "transport", shown(r.URL.Query().Get("transport")), "host", shown(r.Host)}
		if origin := r.Header.Get("Origin"); origin != "" {
			attrs = append(attrs, "origin", shown(origin))
		}
		if ref.err != nil {
			attrs = append(attrs, "error", ref.err)
		}
		log.Debug("engineio: request refused", attrs...)
	}
	if s.opts.OnConnectionError == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			s.logPanic("OnConnectionError", "", p)
		}
	}()
	s.opts.OnConnectionError(&ConnectionError{
		Code: ref.code, Message: ref.message, Status: ref.status, Reason: ref.label, Err: ref.err, Request: r,
	})
}

// shown is what a log shows of something that a client chose.
func shown(s string) string { return s[:min(len(s), 100)] }

// respond writes a whole answer. A client that does not read it is cut off
// after a while; one that is gone misses nothing.
func (s *Server) respond(w http.ResponseWriter, status int, body []byte) {
	ctl := http.NewResponseController(w)
	_ = ctl.SetWriteDeadline(time.Now().Add(s.opts.writeTimeout()))
	h := w.Header()
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, err := w.Write(body)
	if err == nil && ctl.Flush() == nil {
		_ = ctl.SetWriteDeadline(time.Time{}) // the connection may serve other requests
	}
}
