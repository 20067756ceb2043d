package engineio

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
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
}

// The refusals that the server itself decides on. Their labels are all that
// Stats.Refused can hold, apart from "not accepted".
var (
	refuseTransport = refusal{http.StatusBadRequest, CodeUnknownTransport, "Transport unknown", "unknown transport"}
	refuseSID       = refusal{http.StatusBadRequest, CodeUnknownSID, "Session ID unknown", "unknown sid"}
	refuseMethod    = refusal{http.StatusBadRequest, CodeBadHandshakeMethod, "Bad handshake method", "bad method"}
	refuseRequest   = refusal{http.StatusBadRequest, CodeBadRequest, "Bad request", "bad request"}
	refuseOrigin    = refusal{http.StatusForbidden, CodeForbidden, "Forbidden", "forbidden origin"}
	refuseProtocol  = refusal{http.StatusBadRequest, CodeUnsupportedProtocol, "Unsupported protocol version", "unsupported protocol"}
	refuseTooLarge  = refusal{http.StatusRequestEntityTooLarge, CodeBadRequest, "Payload too large", "payload too large"}
	refuseRate      = refusal{http.StatusTooManyRequests, CodeForbidden, "Too many handshakes", "rate limit"}
	refuseFull      = refusal{http.StatusServiceUnavailable, CodeForbidden, "Too many sessions", "too many sessions"}
	refuseDraining  = refusal{http.StatusServiceUnavailable, CodeForbidden, "Server is draining", "draining"}
)

const labelNotAccepted = "not accepted"

var refuseLabels = [...]string{
	refuseTransport.label, refuseSID.label, refuseMethod.label, refuseRequest.label, refuseOrigin.label, refuseProtocol.label,
	refuseTooLarge.label, refuseRate.label, refuseFull.label, refuseDraining.label, labelNotAccepted,
}

// notAccepted is the refusal for an error of the Accept function. Only the text
// of a RefuseError reaches the client: other errors may tell too much.
func notAccepted(err error) refusal {
	ref := refusal{http.StatusForbidden, CodeForbidden, "Forbidden", labelNotAccepted}
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

// refuse answers a request that is not served.
func (s *Server) refuse(w http.ResponseWriter, ref refusal) {
	s.stats.refused[ref.label].Add(1)
	message, _ := json.Marshal(ref.message) // a string always encodes
	body := `{"code":` + strconv.Itoa(ref.code) + `,"message":` + string(message) + `}`
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
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
	w.WriteHeader(ref.status)
	_, _ = w.Write([]byte(body)) // a client that is gone misses nothing
}
