package engineio

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rs/cors"
)

// opaqueOrigins are what pages without an origin of their own send: "null" those
// of a sandbox, of a data: URL and of a file, "file://" some web views.
var opaqueOrigins = []string{"null", "file://"}

// parseOrigin returns an Origin header value in lower case and without the
// scheme's own port, so that equal origins are equal strings. "null" and
// everything else that is no scheme://host[:port] is not ok.
func parseOrigin(value string) (origin *url.URL, ok bool) {
	u, err := url.Parse(strings.ToLower(value))
	if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, false
	}
	u.Host = trimDefaultPort(u.Host, u.Scheme)
	return u, true
}

func trimDefaultPort(host, scheme string) string {
	switch scheme {
	case "http", "ws":
		return strings.TrimSuffix(host, ":80")
	case "https", "wss":
		return strings.TrimSuffix(host, ":443")
	}
	return host
}

// originPattern is an origin some of whose labels are "*".
type originPattern struct {
	scheme string
	labels []string // of the host, the last with the port
}

var (
	errOrigin     = errors.New(`want scheme://host[:port], where labels of the host may be "*", or "null", "file://", "*"`)
	errOriginStar = errors.New(`"*" must be a whole label of the host, and not its last: https://*.example.com`)
	errOriginName = errors.New("a browser sends the host in ASCII: write its xn-- form")
)

// checkOrigin says what is wrong with one of Options.Origins: whatever could
// never match.
func checkOrigin(allowed string) error {
	if allowed == "*" || slices.Contains(opaqueOrigins, strings.ToLower(allowed)) {
		return nil
	}
	u, ok := parseOrigin(allowed)
	if !ok || strings.HasSuffix(u.Host, ":") {
		return errOrigin
	}
	labels := strings.Split(u.Hostname(), ".")
	for i, label := range labels {
		if strings.Contains(label, "*") && (label != "*" || i == len(labels)-1) {
			return errOriginStar
		}
	}
	if strings.ContainsFunc(u.Host, func(r rune) bool { return r >= 0x80 }) {
		return errOriginName
	}
	return nil
}

// matches compares label by label: "*" stands for one.
func (p *originPattern) matches(u *url.URL) bool {
	labels := strings.Split(u.Host, ".")
	return p.scheme == u.Scheme && slices.EqualFunc(p.labels, labels, func(want, got string) bool {
		return want == got || want == "*" && got != ""
	})
}

// origins decides which pages may connect.
type origins struct {
	all      bool
	named    []string // as parseOrigin writes them, or opaque
	patterns []originPattern
	cors     *cors.Cors // for Engine.IO
	files    *cors.Cors // for what else pages read
}

// newOrigins takes what checkOrigin has found right.
func newOrigins(allowed []string) *origins {
	o := &origins{all: slices.Contains(allowed, "*")}
	for _, a := range allowed {
		u, ok := parseOrigin(a)
		switch {
		case !ok:
			o.named = append(o.named, strings.ToLower(a))
		case strings.Contains(u.Host, "*"):
			o.patterns = append(o.patterns, originPattern{u.Scheme, strings.Split(u.Host, ".")})
		default:
			o.named = append(o.named, u.String())
		}
	}
	settings := cors.Options{
		AllowedMethods:      []string{http.MethodGet, http.MethodPost},
		AllowedHeaders:      []string{"*"},
		MaxAge:              600,
		AllowPrivateNetwork: true, // of the allowed, who else is not answered
	}
	if o.all {
		settings.AllowedOrigins = []string{"*"}
	} else {
		settings.AllowOriginVaryRequestFunc = func(r *http.Request, _ string) (bool, []string) { return o.allows(r), nil }
	}
	o.files = cors.New(settings)
	settings.AllowCredentials = !o.all
	o.cors = cors.New(settings)
	return o
}

// allows reports whether the request comes from an allowed page, or from no
// page at all. Only the host is compared with the request's own: behind a proxy
// that ends TLS, the request does not know its scheme.
func (o *origins) allows(r *http.Request) bool {
	values := r.Header["Origin"]
	if len(values) == 0 || o.all {
		return true
	}
	if len(values) > 1 {
		return false
	}
	u, ok := parseOrigin(values[0])
	if !ok {
		value := strings.ToLower(values[0])
		return slices.Contains(opaqueOrigins, value) && slices.Contains(o.named, value)
	}
	return u.Host == trimDefaultPort(strings.ToLower(r.Host), u.Scheme) || slices.Contains(o.named, u.String()) ||
		slices.ContainsFunc(o.patterns, func(p originPattern) bool { return p.matches(u) })
}

// isPreflight reports whether a browser asks before the request of a page.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// CORS lets the pages of Options.Origins read what next answers, without their
// credentials. The pages of other origins get the same answer, which their
// browser does not show them.
func (s *Server) CORS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.origins.allows(r) {
			s.noteOrigin(r)
			if isPreflight(r) {
				s.refuse(w, r, refuseOrigin)
				return
			}
		}
		s.origins.files.ServeHTTP(w, r, next.ServeHTTP)
	})
}

// hasControl reports whether a header value has a character that no header
// value may have. net/http refuses these itself; other servers that call the
// handler may not.
func hasControl(value string) bool {
	return strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}
