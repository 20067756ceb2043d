package status

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
)

// What one may do, as forms and links name it.
const (
	actionDisconnect = "disconnect"
	actionRetire     = "retire"
)

// notices are what the page says after an action, by the parameter that has it say so.
var notices = map[string]string{
	actionDisconnect: "The socket is being disconnected.",
	actionRetire:     "The namespace is being retired, unless a client comes first.",
}

// order is an action that somebody asks for.
type order struct{ action, namespace, id string }

func newOrder(v url.Values) (order, bool) {
	o := order{v.Get("action"), v.Get("namespace"), v.Get("id")}
	return o, o.namespace != "" && (o.action == actionRetire && o.id == "" || o.action == actionDisconnect && o.id != "")
}

// serveActions carries out what a form asks for. A GET of the same asks whether it is meant.
func (h *Handler) serveActions(w http.ResponseWriter, r *http.Request, a access) {
	if !h.opts.Actions || h.opts.Token == "" {
		http.NotFound(w, r)
		return
	}
	if a != maySeeAsked {
		h.refuse(w, r)
		return
	}
	form, post := r.URL.Query(), r.Method == http.MethodPost
	if post {
		var ok bool
		if form, ok = h.form(w, r); !ok {
			return
		}
	} else if !isRead(w, r) {
		return
	}
	o, ok := newOrder(form)
	if !ok {
		h.answer(w, r, http.StatusBadRequest, "status: action must be disconnect, with namespace and id, or retire, with namespace", form)
		return
	}
	host := h.opts.Host(r)
	// Whose namespaces the others are, and whether they exist, is not told.
	if !(Query{Host: host}).Sees(o.namespace) {
		h.log.Warn("status: an action on another host's namespace", "address", r.RemoteAddr, "host", host, "action", o.action, "namespace", o.namespace)
		h.answer(w, r, http.StatusNotFound, reason(ErrNotFound), form)
		return
	}
	if !post {
		h.confirm(w, viewer{Query: Query{Host: host}, base: h.base}, o, cleanBack(form.Get("back")))
		return
	}
	err := h.carryOut(r, o)
	level, outcome := slog.LevelInfo, "done"
	if err != nil {
		level, outcome = slog.LevelWarn, err.Error()
	}
	h.log.Log(r.Context(), level, "status: an action", "address", r.RemoteAddr, "host", host,
		"action", o.action, "namespace", o.namespace, "id", o.id, "outcome", outcome)
	switch {
	case err == nil:
		h.answer(w, r, http.StatusAccepted, notices[o.action], form)
	case errors.Is(err, ErrNotFound):
		h.answer(w, r, http.StatusNotFound, reason(err), form)
	case errors.Is(err, ErrOccupied), errors.Is(err, ErrPermanent):
		h.answer(w, r, http.StatusConflict, reason(err), form)
	default:
		h.answer(w, r, http.StatusServiceUnavailable, "The cluster could not be told. Try again.", form)
	}
}

func (h *Handler) carryOut(r *http.Request, o order) error {
	if o.action == actionDisconnect {
		return h.src.Disconnect(r.Context(), o.namespace, o.id)
	}
	return h.src.Retire(r.Context(), o.namespace)
}

// reason says to a person why an action was not carried out.
func reason(err error) string {
	switch {
	case errors.Is(err, ErrOccupied):
		return "The namespace has sockets, and so does not retire."
	case errors.Is(err, ErrPermanent):
		return "The namespace is permanent."
	default:
		return "There is no such namespace."
	}
}

// confirm asks whether an order is meant.
func (h *Handler) confirm(w http.ResponseWriter, v viewer, o order, back string) {
	view := confirmView{
		Action: h.base + "/status/actions", What: o.action, FullName: o.namespace, ID: o.id, Name: v.label(o.namespace),
		Ask: "Retire now, instead of when its time is over,", Do: "Retire now",
	}
	if o.action == actionDisconnect {
		view.Ask, view.Do = "Disconnect a socket of", "Disconnect"
	}
	h.said(writePlain(w, http.StatusOK, plainView{Title: "Are you sure?", Confirm: &view, Back: back, BackLink: pageAt(h.base, back)}))
}

// answer says what became of an order: to the page's script and to programs in
// JSON, to a browser with the page or with one that says why not.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, code int, text string, form url.Values) {
	back := cleanBack(form.Get("back"))
	switch {
	case isBrowser(r) && code == http.StatusAccepted:
		h.back(w, back, form.Get("action"))
	case isBrowser(r):
		h.said(writePlain(w, code, plainView{Title: "Not done", Text: text, BackLink: pageAt(h.base, back)}))
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(code)
		h.said(json.NewEncoder(w).Encode(map[string]any{"ok": code == http.StatusAccepted, "text": text}))
	}
}
