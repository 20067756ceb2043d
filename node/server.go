package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dynamicio/dynamicio/cluster"
	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node/engineio"
	"github.com/dynamicio/dynamicio/status"
	"github.com/dynamicio/dynamicio/status/metrics"
)

// Server is one node. It is an [http.Handler]; its methods are safe for
// concurrent use.
type Server struct {
	opts      Options
	log       *slog.Logger
	registry  *namespace.Registry
	cluster   *cluster.Cluster  // nil: the node is alone
	recorder  *metrics.Recorder // nil: the node is alone
	engine    *engineio.Server
	main      *namespace.Namespace
	status    *status.Handler
	counts    *counts
	recent    status.Recent
	metrics   http.Handler
	collector prometheus.Collector
	mux       *http.ServeMux
	started   time.Time
	accepting accepting
	leaving   atomic.Bool // it is about to drain, and not ready any more
	draining  atomic.Bool
	address   atomic.Pointer[string]
}

// New returns a node that is ready to serve. Close it after use, unless
// ListenAndServe or Serve does.
func New(opts Options) (*Server, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{opts: opts, log: opts.Logger, started: time.Now(), counts: newCounts()}
	s.address.Store(&opts.Address)

	limits := opts.Limits
	limits.Host, limits.Retirement, limits.NodeID = opts.Host, opts.Retirement, opts.NodeID
	limits.ConnectTimeout, limits.Logger, limits.Cluster = opts.ConnectTimeout, opts.Logger, nil
	if opts.Redis != "" {
		if s.cluster, err = s.join(); err != nil {
			return nil, fmt.Errorf("node: %w", err)
		}
		limits.Cluster = s.cluster
	}
	if s.registry, err = namespace.New(limits); err != nil {
		return nil, s.abandon(err)
	}
	s.counts.registry.Store(s.registry)
	if s.cluster == nil { // otherwise all nodes are told of all retirements
		s.registry.OnRetire(s.recent.Add)
	}
	if s.main, err = s.registry.Of("/", ""); err != nil {
		return nil, s.abandon(err)
	}
	s.collector = metrics.Collector(s.snapshot, s.recorder)
	if s.metrics, err = metrics.Handler(s.collector, opts.Logger, opts.Collectors...); err != nil {
		return nil, s.abandon(fmt.Errorf("Options.Collectors: %w", err))
	}
	s.engine, err = engineio.New(engineio.Options{
		Path:                  opts.Path,
		PingInterval:          opts.PingInterval,
		PingTimeout:           opts.PingTimeout,
		UpgradeTimeout:        opts.UpgradeTimeout,
		MaxPayload:            opts.MaxPayload,
		MaxQueue:              opts.MaxQueue,
		MaxConnectionBytes:    opts.MaxConnectionBytes,
		AllowEIO3:             opts.AllowEIO3,
		Compression:           opts.Compression,
		Cookie:                opts.Cookie,
		Origins:               opts.Origins,
		HandshakesPerSecond:   opts.HandshakesPerSecond,
		MaxSessions:           opts.MaxSessions,
		MaxSessionsPerAddress: opts.MaxSessionsPerAddress,
		ControlsPerSecond:     opts.ControlsPerSecond,
		OnConnectionError:     opts.OnConnectionError,
		Logger:                opts.Logger,
	}, s.accept)
	if err != nil {
		return nil, s.abandon(err)
	}
	s.counts.engine.Store(s.engine)
	s.counts.sampler.Start()
	s.mux = s.routes()
	s.warnOfToken()
	return s, nil
}

// abandonTimeout bounds how long a New that fails waits for Redis.
const abandonTimeout = 3 * time.Second

// abandon frees what New has begun when it cannot go on, and returns why it cannot.
func (s *Server) abandon(why error) error {
	ctx, cancel := context.WithTimeout(context.Background(), abandonTimeout)
	defer cancel()
	return errors.Join(fmt.Errorf("node: %w", why), s.closeRest(ctx))
}

// randomSuffix tells nodes on one host apart.
func randomSuffix() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// accept puts a new connection's handshake into the form that namespaces know.
func (s *Server) accept(c *engineio.Conn, r *http.Request) (engineio.Handler, error) {
	host, _ := s.hostOf(r) // ServeHTTP has refused a malformed one
	// Nothing of r but its header and URL outlives this call: the request
	// would keep the HTTP server's buffers alive as long as the connection.
	client, err := s.registry.Accept(c, &namespace.Handshake{
		Header:  r.Header,
		URL:     r.URL,
		Host:    host,
		Address: clientAddress(r),
		Time:    time.Now(),
		Secure:  secure(r),
		XDomain: r.Header.Get("Origin") != "",
	})
	switch {
	case errors.Is(err, namespace.ErrLimit):
		return nil, &engineio.RefuseError{
			Status: http.StatusRequestHeaderFieldsTooLarge, Code: engineio.CodeBadRequest, Message: "Request header too large",
		}
	case err != nil:
		return nil, err
	}
	return client, nil
}

func clientAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// hostOf returns the virtual host of a request, false if it is malformed.
func (s *Server) hostOf(r *http.Request) (string, bool) {
	if s.opts.GetHost != nil {
		return s.opts.GetHost(r), true
	}
	host, ok := namespace.NormalizeHost(r.Host, s.opts.DropHostPort)
	if ok && s.opts.MapHost != nil {
		host = s.opts.MapHost(host)
	}
	return host, ok
}

// SetupNamespace registers how the namespace of an exact full name ("/chat",
// "//myhost.com/chat"), or with "*" any namespace, is set up when a client asks
// for it; see [namespace.Registry.Setup] for which registration counts.
func (s *Server) SetupNamespace(name string, setup namespace.SetupFunc) {
	s.registry.Setup(name, setup)
}

// SetupNamespaceRegexp is [Server.SetupNamespace] for all full names that
// contain a match of re.
func (s *Server) SetupNamespaceRegexp(re *regexp.Regexp, setup namespace.SetupFunc) {
	s.registry.SetupRegexp(re, setup)
}

// Of returns the namespace with that short name on that host (empty: the main
// one), made if need be, and permanent from then on; see [namespace.Registry.Of].
func (s *Server) Of(name, host string) (*namespace.Namespace, error) {
	return s.registry.Of(name, host)
}

// Main is the namespace "/" of the main host, which always exists.
func (s *Server) Main() *namespace.Namespace { return s.main }

// Registry holds what is live on this node.
func (s *Server) Registry() *namespace.Registry { return s.registry }

// OnRetire registers a hook that runs when a namespace has been retired
// everywhere, on one node of the cluster.
func (s *Server) OnRetire(hook func(fullName string, epoch uint64)) { s.registry.OnRetire(hook) }

// NodeID is the name of the node in its cluster.
func (s *Server) NodeID() string { return s.opts.NodeID }

// Handle serves another path beside the node's own, with a pattern of
// [http.ServeMux]. It is called before the node serves.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }
