package node

import (
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"net/http"
	"net/netip"
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
		bundle := client.Handler(s.opts.Path)
		for _, name := range client.Names() {
			mux.Handle(base+"/"+name, bundle)
		}
	}
	mux.HandleFunc(base+"/status", s.guarded(s.serveStatusPage))
	mux.HandleFunc(base+"/status.json", s.guarded(s.serveStatusJSON))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { answerCheck(w, http.StatusOK, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.ready(); err != nil {
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
	if s.opts.TrustProxy {
		r = behindProxy(r)
	}
	s.mux.ServeHTTP(w, r)
}

// behindProxy returns the request as it came to the proxy: from the address
// that the proxy has added last to X-Forwarded-For.
func behindProxy(r *http.Request) *http.Request {
	hops := r.Header.Values("X-Forwarded-For")
	if len(hops) == 0 {
		return r
	}
	last := hops[len(hops)-1]
	last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	addr, err := netip.ParseAddr(last)
	if err != nil {
		return r
	}
	forwarded := *r
	forwarded.RemoteAddr = netip.AddrPortFrom(addr, 0).String()
	return &forwarded
}

// guarded lets those in who may see the status. Where nobody may, there is
// nothing to see.
func (s *Server) guarded(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.opts.PublicStatus {
			h(w, r)
			return
		}
		if s.opts.StatusToken == "" {
			http.NotFound(w, r)
			return
		}
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			token = r.URL.Query().Get("token")
		}
		// Digests, so that the time does not tell the length either.
		want, got := sha256.Sum256([]byte(s.opts.StatusToken)), sha256.Sum256([]byte(token))
		if subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="status"`)
			http.Error(w, "status needs its token, as \"Authorization: Bearer TOKEN\" or as ?token=TOKEN", http.StatusUnauthorized)
			return
		}
		h(w, r)
	}
}
