package main

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"

	"github.com/dynamicio/dynamicio/node"
)

// serveAdmin serves the metrics, the health checks and, if wanted, profiles on an
// address of their own, until stop is called.
func serveAdmin(addr string, profiles bool, srv *node.Server, log *slog.Logger) (stop func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", srv.MetricsHandler())
	mux.Handle("/healthz", srv)
	mux.Handle("/readyz", srv)
	if profiles {
		addProfiles(mux)
	}
	stop = srv.ServeAdmin(l, mux)
	log.Info("admin listening", "address", l.Addr().String())
	return stop, nil
}

// addProfiles adds Go's profiles. The command line is not among them: it may
// have a secret in it.
func addProfiles(mux *http.ServeMux) {
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", http.NotFound)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
}
