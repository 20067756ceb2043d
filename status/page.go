package status

import (
	"embed"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
)

//go:embed page.html
var pageSource embed.FS

var page = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"seconds": func(ms int64) string { return fmt.Sprintf("%.3fs", float64(ms)/1000) },
	"since":   func(now, t time.Time) string { return now.Sub(t).Round(time.Second).String() },
}).ParseFS(pageSource, "page.html"))

// View is what the page shows: a report as one host may see it.
type View struct {
	*Report
	// Host is the host that asks; empty for the main host, which sees the
	// namespaces of all.
	Host string
	// Query holds the parameters of the request, which links keep.
	Query url.Values
}

// More is the link to the next part of the page.
func (v View) More() string {
	q := maps.Clone(v.Query)
	if q == nil {
		q = url.Values{}
	}
	q.Set("after", v.Next)
	return "?" + q.Encode()
}

// Label is what a namespace is called on this page: a host knows its own by
// their short names.
func (v View) Label(n Namespace) string {
	if v.Host != "" {
		return n.Name
	}
	return n.FullName
}

// contentPolicy lets the page load nothing at all but its own style.
const contentPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Write answers with the page. All names in it are escaped: those of
// namespaces, rooms and hosts are what clients chose.
func (v View) Write(w http.ResponseWriter) error {
	r := *v.Report
	r.Namespaces = slices.SortedStableFunc(slices.Values(r.Namespaces), func(a, b Namespace) int {
		return namespace.CompareFullNames(a.FullName, b.FullName)
	})
	v.Report = &r
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	return page.Execute(w, v)
}
