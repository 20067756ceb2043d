package status

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"strings"
)

// Options says who may see the status, and who may act.
type Options struct {
	// Path is what the status page stands under, such as "/socket.io".
	Path string
	// Public shows the status to everybody.
	Public bool
	// Token, if not empty, shows it to those who present it. Without Public and
	// Token there is nothing to see: 404.
	Token string
	// Actions lets those who present the token disconnect sockets and retire namespaces.
	Actions bool
	// Host says which virtual host a request is from; empty is the main one.
	Host func(*http.Request) string
	// Logger receives who did what. Required.
	Logger *slog.Logger
}

// Handler serves the page, status.json, and what the page needs. It is safe
// for concurrent use.
type Handler struct {
	src  Source
	opts Options
	log  *slog.Logger
	mux  *http.ServeMux
}

// NewHandler returns the handler of everything that begins with o.Path + "/status".
func NewHandler(src Source, o Options) *Handler {
	h := &Handler{src: src, opts: o, log: o.Logger, mux: http.NewServeMux()}
	base := strings.TrimSuffix(o.Path, "/")
	h.mux.HandleFunc(base+"/status", h.guarded(h.servePage))
	h.mux.HandleFunc(base+"/status.json", h.guarded(h.serveJSON))
	return h
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// Close ends what would otherwise go on for ever: the pages that are kept up to date.
func (h *Handler) Close() {}

// guarded lets those in who may see the status. Where nobody may, there is
// nothing to see.
func (h *Handler) guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if h.opts.Public {
			next(w, r)
			return
		}
		if h.opts.Token == "" {
			http.NotFound(w, r)
			return
		}
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			token = r.URL.Query().Get("token")
		}
		// Digests, so that the time does not tell the length either.
		want, got := sha256.Sum256([]byte(h.opts.Token)), sha256.Sum256([]byte(token))
		if subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="status"`)
			http.Error(w, "status needs its token, as \"Authorization: Bearer TOKEN\" or as ?token=TOKEN", http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

func (h *Handler) serveJSON(w http.ResponseWriter, r *http.Request) {
	q, ok := h.query(w, r)
	if !ok {
		return
	}
	if err := h.src.Collect(r.Context(), q).WriteJSON(w); err != nil {
		h.log.Debug("status.json", "error", err)
	}
}

func (h *Handler) servePage(w http.ResponseWriter, r *http.Request) {
	q, ok := h.query(w, r)
	if !ok {
		return
	}
	q.Detailed = true
	if err := (View{Report: h.src.Collect(r.Context(), q), Host: q.Host, Query: r.URL.Query()}).Write(w); err != nil {
		h.log.Debug("status page", "error", err)
	}
}

// query reads what a request asks for, or answers it itself if that makes no sense.
func (h *Handler) query(w http.ResponseWriter, r *http.Request) (Query, bool) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "status: only GET", http.StatusMethodNotAllowed)
		return Query{}, false
	}
	q, err := ParseQuery(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return Query{}, false
	}
	q.Host = h.opts.Host(r)
	return q, true
}
