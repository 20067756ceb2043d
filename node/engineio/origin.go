package engineio

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rs/cors"
)

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

// origins decides which pages may connect.
type origins struct {
	all   bool
	named []string // as parseOrigin writes them
	cors  *cors.Cors
}

func newOrigins(allowed []string) *origins {
	o := &origins{all: slices.Contains(allowed, "*")}
	for _, a := range allowed {
		if u, ok := parseOrigin(a); ok {
			o.named = append(o.named, u.String())
		}
	}
	settings := cors.Options{
		AllowedMethods: []string{http.MethodGet, http.MethodPost},
		AllowedHeaders: []string{"*"},
		MaxAge:         600,
	}
	if o.all {
		settings.AllowedOrigins = []string{"*"}
	} else {
		settings.AllowCredentials = true
		settings.AllowOriginVaryRequestFunc = func(r *http.Request, _ string) (bool, []string) { return o.allows(r), nil }
	}
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
	u, ok := parseOrigin(values[0])
	if !ok || len(values) > 1 {
		return false
	}
	return u.Host == trimDefaultPort(strings.ToLower(r.Host), u.Scheme) || slices.Contains(o.named, u.String())
}

// hasControl reports whether a header value has a character that no header
// value may have. net/http refuses these itself; other servers that call the
// handler may not.
func hasControl(value string) bool {
	return strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}
