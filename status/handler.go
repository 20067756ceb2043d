package status

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

const (
	// answerTimeout is how long one may take to receive a page or a report.
	answerTimeout = 30 * time.Second
	// answersAtOnce is how many of them are made and sent at a time for visitors: who
	// asks for large ones and does not read them would fill the node's memory.
	answersAtOnce = 50
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
	// MaxViewers bounds the pages that are kept up to date for visitors; as many may be for
	// those who have presented the token, whom visitors do not keep out. Default 100.
	MaxViewers int
	// MaxViewersPerAddress bounds the visitors of one address among them; of the answers
	// that are being made, one address may have half as many. Default 20.
	MaxViewersPerAddress int
	// WrongTokensPerMinute bounds the wrong tokens of one address; beyond it none of its tokens
	// is looked at before the minute is over. Default 10.
	WrongTokensPerMinute int
	// Address returns what stands for the address of a visitor, in the bounds for
	// each. Default that of the connection.
	Address func(*http.Request) netip.Addr
	// Logger receives who did what. Required.
	Logger *slog.Logger
}

// Defaults returns the bounds that the zero value stands for.
func Defaults() Options {
	return Options{MaxViewers: 100, MaxViewersPerAddress: 20, WrongTokensPerMinute: 10}
}

// Handler serves the page, status.json, and what the page needs. It is safe
// for concurrent use. It starts no goroutine: a page is kept up to date by
// the one that serves its stream.
type Handler struct {
	src         Source
	opts        Options
	base        string // Path without a slash at its end
	log         *slog.Logger
	mux         *http.ServeMux
	crossOrigin *http.CrossOriginProtection
	answers     chan struct{} // holds one for each answer that a visitor is being given
	answering   perAddress
	guesses     guesses
	feeds       feeds
	stop        context.CancelFunc
}

// NewHandler returns the handler of everything that begins with o.Path + "/status".
func NewHandler(src Source, o Options) *Handler {
	defaults := Defaults()
	o.MaxViewers = cmp.Or(o.MaxViewers, defaults.MaxViewers)
	o.MaxViewersPerAddress = cmp.Or(o.MaxViewersPerAddress, defaults.MaxViewersPerAddress)
	o.WrongTokensPerMinute = cmp.Or(o.WrongTokensPerMinute, defaults.WrongTokensPerMinute)
	if o.Address == nil {
		o.Address = func(r *http.Request) netip.Addr {
			a, _ := netip.ParseAddrPort(r.RemoteAddr)
			return a.Addr()
		}
	}
	h := &Handler{
		src: src, opts: o, base: strings.TrimSuffix(o.Path, "/"), log: o.Logger,
		mux: http.NewServeMux(), crossOrigin: http.NewCrossOriginProtection(), answers: make(chan struct{}, answersAtOnce),
	}
	h.answering.most = max(1, o.MaxViewersPerAddress/2)
	h.guesses.most = o.WrongTokensPerMinute
	h.feeds = feeds{src: src, most: o.MaxViewers, open: make(map[viewer]*feed), viewers: make(map[bool]int), pages: make(map[bool]int), visitors: perAddress{most: o.MaxViewersPerAddress}}
	h.feeds.ctx, h.stop = context.WithCancel(context.Background())
	h.mux.HandleFunc(h.base+"/status", h.guarded(h.bounded(h.asked(h.servePage))))
	h.mux.HandleFunc(h.base+"/status.json", h.guarded(h.bounded(h.serveJSON)))
	h.mux.HandleFunc(h.base+"/status/events", h.guarded(h.asked(h.serveEvents)))
	h.mux.HandleFunc(h.base+"/status/actions", h.guarded(h.serveActions))
	h.mux.HandleFunc(h.base+"/status/signin", h.serveSignIn)
	h.mux.HandleFunc(h.base+"/status/signout", h.serveSignOut)
	return h
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// Close ends what would otherwise go on for ever: the pages that are kept up
// to date. It does not wait for their streams to end, and all else is still served.
func (h *Handler) Close() { h.stop() }

// said notes that an answer could not be written: mostly, the asker has gone.
func (h *Handler) said(err error) {
	if err != nil {
		h.log.Debug("status: an answer", "error", err)
	}
}

func (h *Handler) serveJSON(w http.ResponseWriter, r *http.Request, a access) {
	if q, ok := h.query(w, r); ok {
		q.Visitor = a != maySeeAsked
		h.said(h.src.Collect(r.Context(), q).WriteJSON(w))
	}
}

// bounded is for answers that may be large: they are given up when they are not
// received, and visitors get so many at a time.
func (h *Handler) bounded(next func(http.ResponseWriter, *http.Request, access)) func(http.ResponseWriter, *http.Request, access) {
	return func(w http.ResponseWriter, r *http.Request, a access) {
		if a != maySeeAsked {
			from := h.opts.Address(r)
			if !h.answering.enter(from) {
				tooBusy(w, "1", "status: too many are asking from your address")
				return
			}
			defer h.answering.leave(from)
			select {
			case h.answers <- struct{}{}:
				defer func() { <-h.answers }()
			default:
				tooBusy(w, "1", "status: too many are asking")
				return
			}
		}
		rc := http.NewResponseController(w)
		// A server that knows no deadlines has its own way to leave the slow.
		_ = rc.SetWriteDeadline(time.Now().Add(answerTimeout))
		defer func() { _ = rc.SetWriteDeadline(time.Time{}) }() // the connection may serve other things next
		next(w, r, a)
	}
}

// tooBusy asks to come again, after so many seconds.
func tooBusy(w http.ResponseWriter, after, why string) {
	w.Header().Set("Retry-After", after)
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, why, http.StatusServiceUnavailable)
}

// asked reads what a page is asked for.
func (h *Handler) asked(next func(http.ResponseWriter, *http.Request, viewer)) func(http.ResponseWriter, *http.Request, access) {
	return func(w http.ResponseWriter, r *http.Request, a access) {
		q, ok := h.query(w, r)
		if !ok {
			return
		}
		if r.URL.Query().Get("limit") == "" {
			q.Limit = pageLimit
		}
		q.Limit = min(q.Limit, maxPageLimit)
		q.Trend, q.Visitor = true, a != maySeeAsked
		next(w, r, viewer{Query: q, base: h.base, asked: a == maySeeAsked, mayAct: a == maySeeAsked && h.opts.Actions})
	}
}

func (h *Handler) servePage(w http.ResponseWriter, r *http.Request, v viewer) {
	params := r.URL.Query()
	if params.Has("token") && isBrowser(r) {
		h.enter(w, r, backOf(params))
		return
	}
	report, _ := collectPage(r.Context(), h.src, v, false)
	s, err := newScene(report, v)
	var buf bytes.Buffer
	if err == nil {
		_, noCookie := r.Cookie(cookieName)
		err = s.write(&buf, report, v, pageView{
			Notice: notices[params.Get("notice")], SignOut: noCookie == nil && v.asked, SignIn: h.opts.Actions && !v.asked,
		})
	}
	if err != nil {
		h.log.Error("status: the page cannot be rendered", "error", err)
		http.Error(w, "status: the page cannot be rendered; the node's log says why", http.StatusInternalServerError)
		return
	}
	setHeaders(w.Header())
	out := newBody(w, r)
	_, err = out.Write(buf.Bytes())
	h.said(err)
	h.said(out.Close())
}

// query reads what a request asks for, or answers it itself if that makes no sense.
func (h *Handler) query(w http.ResponseWriter, r *http.Request) (Query, bool) {
	if !isRead(w, r) {
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
