package node

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node/engineio"
	"github.com/dynamicio/dynamicio/status"
)

// Options configures a [Server]. The zero value is a complete single node,
// fit for production. In all limits and times zero means the default.
type Options struct {
	// Redis is the URL of the Redis that makes this node part of a cluster
	// ("redis://host:6379"; see [cluster.Connect] for TLS, Sentinel and Redis
	// Cluster). Default none: the node is alone and keeps everything in memory.
	// The Redis library writes to standard error when it cannot connect, beside
	// what Logger gets; its logging.Disable ends that, for the whole process.
	Redis string
	// NodeTTL is how long a node may be silent before the others count it out.
	// Default 10 seconds.
	NodeTTL time.Duration
	// LeaseTTL is how long the cluster goes without decisions after the node
	// that makes them has died. Default 5 seconds.
	LeaseTTL time.Duration
	// RefuseWhenAway keeps clients out of namespaces while Redis is away. By
	// default they are let in, and the cluster is told when it is back.
	RefuseWhenAway bool
	// BusPrefix begins the names of the Redis channels. Default "socket.io",
	// where Node's Redis adapter and emitter are heard and spoken to, if Cluster
	// is "default"; "socket.io-NAME" in the cluster NAME, where only its own nodes
	// and emitters are.
	BusPrefix string
	// GoDialect writes what stock Go servers (zishang520/socket.io) understand.
	// It needs a BusPrefix of its own: Node servers do not survive it.
	GoDialect bool

	// Cluster is the name of the cluster. Default "default". Several can share a
	// Redis: each has a BusPrefix of its own unless it is given another's.
	Cluster string
	// NodeID names this node in the cluster. Default the host name and a random suffix.
	// A process whose id another one has waits until that one is gone: it deregisters
	// when it stops, and otherwise is gone after NodeTTL.
	NodeID string
	// Address is where others reach this node, for the status page. Default
	// the address that Serve listens on.
	Address string

	// Path is where Engine.IO answers. Default "/socket.io".
	Path string
	// Host says which hosts are the main one, whose namespaces have their
	// short name for a full name. Default all. On any other host the client's
	// /chat is the namespace //that.host/chat. An exact one is compared in the
	// form that the default GetHost gives hosts.
	Host namespace.Pattern
	// GetHost returns the virtual host of a request; empty means the main one.
	// Default: the Host header in lower case, without a trailing dot; a
	// malformed one gets 400.
	GetHost func(*http.Request) string
	// DropHostPort makes the default GetHost leave the port out.
	DropHostPort bool
	// MapHost returns the host that stands for another, for virtual hosts of
	// several names. What the default GetHost has found goes through it, for
	// every request: it must be quick, and safe for concurrent use. Default none.
	MapHost func(host string) string
	// Retirement is how long a namespace made on demand stays empty before it
	// is retired. Default 10 seconds.
	Retirement time.Duration

	// PublicStatus shows the status page to everybody.
	PublicStatus bool
	// StatusToken, if not empty, shows it to those who present the token, as
	// "Authorization: Bearer" or as the parameter "token".
	StatusToken string
	// StatusActions lets those who present the token disconnect sockets and
	// retire namespaces from the status page. It needs a StatusToken.
	StatusActions bool
	// StatusViewers bounds the status pages that are kept up to date for visitors at a
	// time, and as many for those with the token. Default 100.
	StatusViewers int
	// StatusViewersPerAddress bounds the visitors of one address among them.
	// Default 20.
	StatusViewersPerAddress int
	// StatusWrongTokens bounds the wrong tokens of one address in a minute; beyond
	// it none of its tokens is looked at before the minute is over. Default 10.
	StatusWrongTokens int

	// Origins are the origins ("https://example.com") whose pages may connect
	// from another host, and read status.json and the client's files. In
	// "https://*.example.com" the star stands for one label; "null" and "file://"
	// are pages without an origin, such as files; "*" is all. Default none.
	Origins []string
	// Cookie is the template of a cookie that carries the session id, for
	// sticky load balancing. Default none.
	Cookie *http.Cookie
	// TrustProxy says which proxies are believed on a client's address, in
	// X-Forwarded-For, and on its TLS, in X-Forwarded-Proto. From all others the
	// headers are ignored: clients could choose the address that the limits and the
	// status page know them by. Default none; see [ParseProxies] and [DirectPeer].
	TrustProxy Proxies
	// DisableClient stops serving the JavaScript client under Path.
	DisableClient bool
	// DisableMetrics stops serving /metrics; [Server.MetricsHandler] and
	// [Server.Collector] are there all the same.
	DisableMetrics bool
	// Collectors are further metrics that /metrics shows, those of the program
	// that the node is part of. Default none.
	Collectors []prometheus.Collector

	// PingInterval is the time between heartbeats. Default 25 seconds.
	PingInterval time.Duration
	// PingTimeout is how long a client has to answer one. Default 20 seconds.
	PingTimeout time.Duration
	// UpgradeTimeout bounds an upgrade from polling. Default 10 seconds.
	UpgradeTimeout time.Duration
	// ConnectTimeout is how long a connection may stay without joining a
	// namespace. Default 45 seconds.
	ConnectTimeout time.Duration
	// DrainDelay is how long a stop only fails the readiness check, so that load
	// balancers notice: until then clients are served as ever, new ones too.
	// Default none.
	DrainDelay time.Duration
	// DrainSpread is the time over which a stop then ends connections, one after the
	// other, so that the clients do not all come to the other nodes at once. A few
	// clients are ended sooner: 20 a second, or more. It must be shorter than
	// DrainTimeout. Default 5 seconds, or half of DrainTimeout if that is less;
	// negative: all at once.
	DrainSpread time.Duration
	// DrainTimeout is how long all of a stop after DrainDelay may take: the spread,
	// and the wait for handlers to return. What is left then is cut off. Default
	// 10 seconds.
	DrainTimeout time.Duration

	// AllowEIO3 lets clients of Socket.IO v2 (Engine.IO 3) in.
	AllowEIO3 bool
	// Compression offers permessage-deflate on WebSocket.
	Compression bool

	// MaxPayload bounds one message of a client, in bytes. Default 1,000,000.
	MaxPayload int
	// MaxQueue bounds what waits to be sent to one client, in bytes; beyond
	// it the client is closed as too slow. Default 4 MiB.
	MaxQueue int
	// MaxConnectionBytes bounds what the node holds for one client, in bytes:
	// what waits to be sent, the headers of its request, the data of its
	// CONNECTs, the events that wait for their handlers and the packet whose
	// attachments are not all there. Default 16 MiB, or twice MaxQueue or
	// MaxPayload if that is more.
	MaxConnectionBytes int
	// MaxSessions bounds the connections of the node. Default no bound.
	MaxSessions int
	// HandshakesPerSecond bounds the new connections of one address. Default
	// 10,000; negative: no bound.
	HandshakesPerSecond float64
	// MaxSessionsPerAddress bounds the connections of one address (of one /64
	// network with IPv6). Behind a proxy that is the proxy's address, unless
	// TrustProxy is set. Default 32,768; negative: no bound.
	MaxSessionsPerAddress int
	// ControlsPerSecond bounds the control packets of one client, pings and
	// pongs, and fragments that are nearly empty; a client that sends more is
	// closed. Default 10,000; negative: no bound.
	ControlsPerSecond int
	// MaxHeaderBytes bounds the request line and the header of a request that
	// Serve takes. Default 16 KiB, as in Node; net/http adds 4 KiB.
	MaxHeaderBytes int
	// Limits holds the bounds that package namespace enforces. Its other fields
	// (Host, Retirement, Cluster, NodeID, ConnectTimeout, Logger) must be zero:
	// they are set by those of the same name here.
	Limits namespace.Options

	// OnConnectionError, if not nil, is told of every request to Engine.IO that
	// is refused, as Node's connection_error event is; see
	// [engineio.ConnectionError]. It must be quick, and safe for concurrent use.
	OnConnectionError func(*engineio.ConnectionError)

	// Logger receives what an operator should know. Default slog.Default().
	Logger *slog.Logger
}

// Defaults that are this package's own.
const (
	defaultDrainTimeout = 10 * time.Second
	defaultDrainSpread  = 5 * time.Second
	defaultLeaseTTL     = 5 * time.Second
	defaultNodeTTL      = 10 * time.Second

	defaultMaxHeaderBytes = 16 << 10
)

// Defaults returns the limits and times that the zero value stands for, for
// programs that show them or derive their own from them. Zero stays what
// depends on other options, and what has no bound.
func Defaults() Options {
	engine, limits, pages := engineio.Defaults(), namespace.Defaults(), status.Defaults()
	o := Options{
		NodeTTL: defaultNodeTTL, LeaseTTL: defaultLeaseTTL, DrainTimeout: defaultDrainTimeout, DrainSpread: defaultDrainSpread,
		Retirement: limits.Retirement, ConnectTimeout: limits.ConnectTimeout,
		PingInterval: engine.PingInterval, PingTimeout: engine.PingTimeout, UpgradeTimeout: engine.UpgradeTimeout,
		MaxPayload: engine.MaxPayload, MaxQueue: engine.MaxQueue, MaxSessions: engine.MaxSessions,
		HandshakesPerSecond: engine.HandshakesPerSecond, MaxSessionsPerAddress: engine.MaxSessionsPerAddress,
		ControlsPerSecond: engine.ControlsPerSecond, MaxHeaderBytes: defaultMaxHeaderBytes,
		StatusViewers: pages.MaxViewers, StatusViewersPerAddress: pages.MaxViewersPerAddress, StatusWrongTokens: pages.WrongTokensPerMinute,
	}
	limits.Retirement, limits.ConnectTimeout = 0, 0 // they are above
	o.Limits = limits
	return o
}

func (o Options) withDefaults() (Options, error) {
	if o.MaxHeaderBytes < 0 {
		return o, fmt.Errorf("node: Options.MaxHeaderBytes is %d, must not be negative", o.MaxHeaderBytes)
	}
	if err := o.completeDrain(); err != nil {
		return o, err
	}
	if o.StatusViewers < 0 || o.StatusViewersPerAddress < 0 || o.StatusWrongTokens < 0 {
		return o, errors.New("node: Options.StatusViewers, StatusViewersPerAddress and StatusWrongTokens must not be negative")
	}
	if o.StatusActions && o.StatusToken == "" {
		return o, errors.New("node: Options.StatusActions needs a StatusToken: who may act must be told from who may look")
	}
	o.Cluster = cmp.Or(o.Cluster, "default")
	o.Path = cmp.Or(o.Path, "/socket.io")
	if l := o.Limits; l.Host != namespace.All || l.Retirement != 0 || l.Cluster != nil || l.NodeID != "" || l.ConnectTimeout != 0 || l.Logger != nil {
		return o, errors.New("node: Options.Limits sets what is not a limit; the field of the same name in Options is meant")
	}
	if o.Path[0] != '/' {
		return o, fmt.Errorf("node: Options.Path is %q, must begin with a slash", o.Path)
	}
	if o.GetHost == nil {
		var err error
		if o.Host, err = o.Host.NormalizeHost(o.DropHostPort); err != nil {
			return o, fmt.Errorf("node: Options.Host: %w", err)
		}
	}
	switch strings.TrimSuffix(o.Path, "/") {
	case "/healthz", "/readyz", "/metrics":
		return o, fmt.Errorf("node: Options.Path is %q, which is taken by the node itself", o.Path)
	}
	o.LeaseTTL = cmp.Or(o.LeaseTTL, defaultLeaseTTL)
	o.NodeTTL = cmp.Or(o.NodeTTL, defaultNodeTTL)
	o.MaxHeaderBytes = cmp.Or(o.MaxHeaderBytes, defaultMaxHeaderBytes)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if o.NodeID == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "node"
		}
		o.NodeID = host + "-" + randomSuffix()
	}
	return o, nil
}

// completeDrain sets the defaults of how the node stops.
func (o *Options) completeDrain() error {
	for _, d := range [...]struct {
		option string
		value  time.Duration
	}{{"DrainTimeout", o.DrainTimeout}, {"DrainDelay", o.DrainDelay}} {
		if d.value < 0 {
			return fmt.Errorf("node: Options.%s is %v, must not be negative", d.option, d.value)
		}
	}
	o.DrainTimeout = cmp.Or(o.DrainTimeout, defaultDrainTimeout)
	if o.DrainSpread >= o.DrainTimeout {
		return fmt.Errorf("node: Options.DrainSpread is %v, must be shorter than Options.DrainTimeout, which is %v: not all connections would have their turn",
			o.DrainSpread, o.DrainTimeout)
	}
	o.DrainSpread = max(0, cmp.Or(o.DrainSpread, min(defaultDrainSpread, o.DrainTimeout/2)))
	return nil
}
