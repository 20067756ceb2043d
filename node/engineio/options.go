package engineio

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Names of the transports, as they stand in the query of a request.
const (
	TransportPolling   = "polling"
	TransportWebSocket = "websocket"
)

// Options tunes a Server. The zero value is fit for production.
type Options struct {
	// Path is where the server answers, with and without a trailing slash;
	// requests for any other path get 404. Default "/socket.io". "/" suits a
	// handler that is mounted behind http.StripPrefix.
	Path string

	// PingInterval is the time between two heartbeats. Default 25 s. It is
	// announced to clients in whole milliseconds, as PingTimeout is.
	PingInterval time.Duration
	// PingTimeout is how long a heartbeat may stay unanswered. Default 20 s.
	PingTimeout time.Duration
	// UpgradeTimeout bounds the change from polling to WebSocket, from the
	// WebSocket handshake to the upgrade packet. Default 10 s.
	UpgradeTimeout time.Duration

	// MaxPayload bounds one incoming message over WebSocket, and one body over
	// polling, in bytes. Default 1,000,000.
	MaxPayload int
	// MaxQueue bounds what waits to be sent to one client, in bytes, of which
	// even an empty message takes 240; a client that falls behind further is
	// closed. A single message larger than this
	// is let through when nothing else waits. Default 4 MiB.
	MaxQueue int
	// MaxConnectionBytes bounds what is held for one client: what waits to be
	// sent, and what Conn.Reserve reserved. Default 16 MiB, or twice MaxQueue or
	// MaxPayload if that is more. It must not be less than either.
	MaxConnectionBytes int

	// AllowEIO3 also accepts clients of protocol revision 3, those that say
	// EIO=3 or, as some old ones do, nothing. Default false.
	AllowEIO3 bool
	// Transports that are offered. Default both, "polling" and "websocket".
	Transports []string
	// DisableUpgrades keeps a polling client on polling. Default false.
	DisableUpgrades bool
	// Compression offers permessage-deflate, without context takeover, for
	// WebSocket messages of 1024 bytes or more. Default false, as in Node.
	Compression bool

	// Cookie, if not nil, is the template of a cookie set by the handshake
	// answer; its value becomes the session id. An empty Name becomes "io", an
	// empty Path "/". Default none.
	Cookie *http.Cookie
	// Origins are the origins ("https://example.com") whose pages may connect,
	// besides the pages of the request's own host. In "https://*.example.com" the
	// star stands for one label; "null" and "file://" are pages without an origin,
	// such as files. "*" allows every origin, but then polling takes no credentials
	// (the Fetch standard wants a named origin for those). Requests without an
	// Origin header do not come from a page and are allowed. Default none.
	Origins []string

	// HandshakesPerSecond bounds the new sessions of one remote address (of
	// one /64 network with IPv6); a second's worth may come at once. Default
	// 10,000; negative: no bound.
	HandshakesPerSecond float64
	// MaxSessions bounds the sessions of the server. Default 0: no bound.
	MaxSessions int
	// MaxSessionsPerAddress bounds the sessions of one remote address (of one
	// /64 network with IPv6). Default 32,768, which is more than a proxy of one
	// address can open with the usual range of ports; negative: no bound.
	MaxSessionsPerAddress int
	// ControlsPerSecond bounds what one client sends that carries no message:
	// pings, pongs and other control packets of either protocol, and fragments
	// of WebSocket messages that are nearly empty. A client that sends more is
	// closed. Default 10,000; negative: no bound.
	ControlsPerSecond int

	// OnConnectionError, if not nil, is told of every request that is refused,
	// before the answer goes out. It must be safe for concurrent use.
	OnConnectionError func(*ConnectionError)

	// Logger receives what an operator should know. Default slog.Default().
	Logger *slog.Logger
}

// Defaults returns the limits and times that the zero value stands for.
func Defaults() Options {
	o, err := Options{}.withDefaults()
	if err != nil {
		panic(err) // the zero value is valid
	}
	o.Logger = nil
	return o
}

// withDefaults returns a completed copy, or what is wrong.
func (o Options) withDefaults() (Options, error) {
	for name, d := range map[string]time.Duration{
		"PingInterval": o.PingInterval, "PingTimeout": o.PingTimeout, "UpgradeTimeout": o.UpgradeTimeout,
	} {
		if d < 0 || d > 0 && d < time.Millisecond {
			return o, fmt.Errorf("engineio: Options.%s is %v, must be a millisecond or more", name, d)
		}
	}
	for _, limit := range []struct {
		name  string
		value int
	}{
		{"MaxPayload", o.MaxPayload}, {"MaxQueue", o.MaxQueue}, {"MaxConnectionBytes", o.MaxConnectionBytes}, {"MaxSessions", o.MaxSessions},
	} {
		if limit.value < 0 {
			return o, fmt.Errorf("engineio: Options.%s is %d, must not be negative", limit.name, limit.value)
		}
	}
	o.Path = "/" + strings.Trim(cmp.Or(o.Path, "/socket.io"), "/")
	o.PingInterval = cmp.Or(o.PingInterval, 25*time.Second)
	o.PingTimeout = cmp.Or(o.PingTimeout, 20*time.Second)
	o.UpgradeTimeout = cmp.Or(o.UpgradeTimeout, 10*time.Second)
	o.MaxPayload = cmp.Or(o.MaxPayload, 1_000_000)
	o.MaxQueue = cmp.Or(o.MaxQueue, 4<<20)
	o.MaxConnectionBytes = cmp.Or(o.MaxConnectionBytes, max(16<<20, 2*o.MaxQueue, 2*o.MaxPayload))
	if least := max(o.MaxQueue, o.MaxPayload); o.MaxConnectionBytes < least {
		return o, fmt.Errorf("engineio: Options.MaxConnectionBytes is %d, must be at least %d, the larger of Options.MaxQueue and Options.MaxPayload", o.MaxConnectionBytes, least)
	}
	o.HandshakesPerSecond = cmp.Or(o.HandshakesPerSecond, 10_000)
	o.MaxSessionsPerAddress = cmp.Or(o.MaxSessionsPerAddress, 32_768)
	o.ControlsPerSecond = cmp.Or(o.ControlsPerSecond, 10_000)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if len(o.Transports) == 0 {
		o.Transports = []string{TransportPolling, TransportWebSocket}
	}
	for _, t := range o.Transports {
		if t != TransportPolling && t != TransportWebSocket {
			return o, fmt.Errorf("engineio: Options.Transports has %q, which is no transport", t)
		}
	}
	for _, origin := range o.Origins {
		if err := checkOrigin(origin); err != nil {
			return o, fmt.Errorf("engineio: Options.Origins has %q: %w", origin, err)
		}
	}
	if o.Cookie != nil {
		cookie := *o.Cookie
		cookie.Name, cookie.Path = cmp.Or(cookie.Name, "io"), cmp.Or(cookie.Path, "/")
		cookie.Value = ""
		if err := cookie.Valid(); err != nil {
			return o, fmt.Errorf("engineio: Options.Cookie: %w", err)
		}
		o.Cookie = &cookie
	}
	o.Transports = slices.Clone(o.Transports)
	o.Origins = slices.Clone(o.Origins)
	return o, nil
}

// writeTimeout is how long a client may take to read one answer: as long as it may
// be silent.
func (o *Options) writeTimeout() time.Duration { return o.PingInterval + o.PingTimeout }

// upgrades says what the open packet offers to a client on the transport.
func (o *Options) upgrades(transport string) string {
	if transport == TransportPolling && !o.DisableUpgrades && slices.Contains(o.Transports, TransportWebSocket) {
		return `["websocket"]`
	}
	return `[]`
}
