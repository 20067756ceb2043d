package status

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	cookieName = "dynamicio_status"
	// cookieLife is how long a browser stays signed in.
	cookieLife = 12 * time.Hour
	// maxForm bounds the body of a form, in bytes, and formTimeout how long it may take to come.
	maxForm     = 64 << 10
	formTimeout = 10 * time.Second
)

// access is what a request may do.
type access int

const (
	mayNothing access = iota
	maySee
	maySeeAsked // has presented the token
	mayNotTry   // has presented too many wrong ones, so that this one was not looked at
)

// access judges a request by what it presents: a bearer's token counts before
// the parameter, and that before the cookie. A wrong token is refused even where
// everybody may look.
func (h *Handler) access(r *http.Request) access {
	visitor := mayNothing
	if h.opts.Public {
		visitor = maySee
	}
	if h.opts.Token == "" {
		return visitor
	}
	if token, ok := presented(r); ok {
		switch right, throttled := h.isRight(r, token); {
		case throttled:
			return mayNotTry
		case right:
			return maySeeAsked
		}
		return mayNothing
	}
	if c, err := r.Cookie(cookieName); err == nil && h.isCookie(c.Value, time.Now()) {
		return maySeeAsked
	}
	return visitor
}

// presented returns the token that a request names outright.
func presented(r *http.Request) (string, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return token, true
	}
	q := r.URL.Query()
	return q.Get("token"), q.Has("token")
}

// isToken compares digests, so that the time does not tell the length either.
func (h *Handler) isToken(token string) bool {
	want, got := sha256.Sum256([]byte(h.opts.Token)), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// cookie is what a browser that has presented the token keeps: until when it
// is good, and a proof that we said so. It is of no use elsewhere, and every node with
// the same token and path knows it.
func (h *Handler) cookie(until time.Time) string {
	at := strconv.FormatInt(until.Unix(), 10)
	return at + "." + hex.EncodeToString(h.proof(at))
}

func (h *Handler) proof(at string) []byte {
	secret := sha256.Sum256([]byte(h.opts.Token))
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte("dynamicio status cookie\n" + h.base + "\n" + at))
	return mac.Sum(nil)
}

func (h *Handler) isCookie(value string, now time.Time) bool {
	at, proof, _ := strings.Cut(value, ".")
	got, err := hex.DecodeString(proof)
	if err != nil || subtle.ConstantTimeCompare(got, h.proof(at)) != 1 {
		return false
	}
	until, err := strconv.ParseInt(at, 10, 64)
	return err == nil && now.Unix() < until
}

// signIn gives the browser a cookie; a life of zero takes it away.
func (h *Handler) signIn(w http.ResponseWriter, r *http.Request, life time.Duration) {
	c := &http.Cookie{
		Name: cookieName, Path: h.base + "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		// A proxy that ends TLS says so. Who pretends it harms nobody but himself.
		Secure: r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https"),
	}
	if life > 0 {
		c.Value, c.MaxAge = h.cookie(time.Now().Add(life)), int(life/time.Second)
	}
	http.SetCookie(w, c)
}

// enter takes the token out of the address with which a browser came, where it
// would stay in the history and in logs.
func (h *Handler) enter(w http.ResponseWriter, r *http.Request, back string) {
	if h.opts.Token != "" {
		h.signIn(w, r, cookieLife)
	}
	if r.Header.Get("Sec-Fetch-Site") != "cross-site" {
		h.back(w, back, "")
		return
	}
	// From a link on another site, a browser would follow a redirect without the
	// new cookie. A page of ours that leads on is a start of its own.
	w.Header().Set("Refresh", "0; url="+pageAt(h.base, back))
	h.said(writePlain(w, http.StatusOK, plainView{Title: "Signed in", BackLink: pageAt(h.base, back)}))
}

// guarded lets those in who may see the status. Where nobody may, there is
// nothing to see.
func (h *Handler) guarded(next func(http.ResponseWriter, *http.Request, access)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !h.opts.Public && h.opts.Token == "" {
			http.NotFound(w, r)
			return
		}
		a := h.access(r)
		switch a {
		case mayNotTry:
			tooManyGuesses(w)
		case mayNothing:
			h.refuse(w, r)
		default:
			next(w, r, a)
		}
	}
}

// refuse asks for the token.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="status"`)
	if !isBrowser(r) {
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "status needs its token, as \"Authorization: Bearer TOKEN\" or as ?token=TOKEN", http.StatusUnauthorized)
		return
	}
	wrong := ""
	if _, ok := presented(r); ok {
		wrong = "This is not the token."
	}
	h.askToken(w, http.StatusUnauthorized, wrong, backOf(r.URL.Query()))
}

func (h *Handler) askToken(w http.ResponseWriter, code int, wrong, back string) {
	h.said(writePlain(w, code, plainView{
		Title: "Sign in to see the status", SignIn: &signInView{Action: h.base + "/status/signin", Wrong: wrong, Back: back},
	}))
}

// isBrowser reports whether a person asks.
func isBrowser(r *http.Request) bool {
	return strings.Contains(strings.Join(r.Header.Values("Accept"), ","), "text/html")
}

// backOf returns the parameters of the page to come back to, without what is a
// secret or not the page's.
func backOf(q url.Values) string {
	keep := url.Values{}
	for _, name := range []string{"after", "limit", "namespace", "q"} {
		if v := q.Get(name); v != "" {
			keep.Set(name, v)
		}
	}
	return keep.Encode()
}

// cleanBack is backOf for parameters that a form or a link has carried along.
func cleanBack(query string) string {
	q, _ := url.ParseQuery(query) // what it could read counts
	return backOf(q)
}

// back sends the browser to the page, with parameters as backOf gives them.
func (h *Handler) back(w http.ResponseWriter, query, notice string) {
	if notice != "" {
		query = strings.TrimPrefix(query+"&notice="+notice, "&")
	}
	w.Header().Set("Location", pageAt(h.base, query))
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

// serveSignIn shows the form for the token, and takes it.
func (h *Handler) serveSignIn(w http.ResponseWriter, r *http.Request) {
	if h.opts.Token == "" {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodPost {
		if isRead(w, r) {
			h.askToken(w, http.StatusOK, "", backOf(r.URL.Query()))
		}
		return
	}
	form, ok := h.form(w, r)
	if !ok {
		return
	}
	right, throttled := h.isRight(r, form.Get("token"))
	if throttled {
		tooManyGuesses(w)
		return
	}
	if !right {
		h.askToken(w, http.StatusUnauthorized, "This is not the token.", cleanBack(form.Get("back")))
		return
	}
	h.signIn(w, r, cookieLife)
	h.back(w, cleanBack(form.Get("back")), "")
}

func (h *Handler) serveSignOut(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		http.Error(w, "status: only POST", http.StatusMethodNotAllowed)
		return
	}
	if _, ok := h.form(w, r); ok {
		h.signIn(w, r, 0)
		h.back(w, "", "")
	}
}

// form reads the form of a request that changes something, which must not
// come from a page of somebody else's.
func (h *Handler) form(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	if err := h.crossOrigin.Check(r); err != nil {
		h.log.Warn("status: a form from another origin", "address", r.RemoteAddr, "origin", fmt.Sprintf("%.200s", r.Header.Get("Origin")))
		http.Error(w, "status: this form comes from another origin", http.StatusForbidden)
		return nil, false
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(formTimeout)) // a server that knows no deadlines has its own
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "status: the form cannot be read", http.StatusBadRequest)
		return nil, false
	}
	return r.PostForm, true
}

// isRead answers requests that are neither GET nor HEAD, and reports whether this is one of these.
func isRead(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "status: only GET", http.StatusMethodNotAllowed)
	return false
}
