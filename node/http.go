package node

import (
	"io"
	"net/http"
	"strings"

	"github.com/dynamicio/dynamicio/node/client"
)

// routes lays out the paths of CONTRACT: Engine.IO and what stands beneath it,
// and the health checks.
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	base := strings.TrimSuffix(s.opts.Path, "/")
	mux.Handle(base+"/", s.engine)
	if base != "" {
		mux.Handle(base, s.engine)
	}
	if !s.opts.DisableClient {
		bundle := s.engine.CORS(client.Handler(s.opts.Path))
		for _, name := range client.Names() {
			mux.Handle(base+"/"+name, bundle)
		}
	}
	s.status = s.newStatus()
	status := s.knownHost(s.status)
	mux.Handle(base+"/status", status)
	mux.Handle(base+"/status.json", s.engine.CORS(status))
	mux.Handle(base+"/status/", status)
	if !s.opts.DisableMetrics {
		mux.Handle("/metrics", s.metrics)
	}
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { answerCheck(w, http.StatusOK, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		check := s.ready
		if r.URL.Query().Get("exclude") == "redis" {
			check = s.serving
		}
		if err := check(); err != nil {
			answerCheck(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		answerCheck(w, http.StatusOK, "ok")
	})
	return mux
}

func answerCheck(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text+"\n") // the asker may have gone
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.hostOf(r); !ok {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"code":3,"message":"Bad request"}`)
		return
	}
	s.mux.ServeHTTP(w, s.opts.TrustProxy.behind(r))
}
