package status

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageStyle string
	//go:embed page.js
	pageScript string

	page = template.Must(template.New("").Funcs(template.FuncMap{"revealed": revealed}).Parse(pageHTML))
)

// contentPolicy lets the page run its own script and wear its own style, talk to
// where it came from, and nothing else.
var contentPolicy = "default-src 'none'; script-src " + hashOf(pageScript) + "; style-src " + hashOf(pageStyle) +
	"; img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'" +
	"; require-trusted-types-for 'script'; trusted-types dynamicio"

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// setHeaders are those of every page of ours for people.
func setHeaders(h http.Header) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
}

// A fragment is an element of the page that is replaced as a whole.
type fragment struct {
	id   string
	html string // with the marks of expand
}

// A region is an element of the page, "r-" and its name, that holds fragments in an order.
type region struct {
	name  string
	items []fragment
}

// scene is all of a page that may change.
type scene struct {
	title   string
	time    time.Time // of the report
	regions []region
}

// newScene renders a report. It is all that renders: the page and what keeps
// it up to date are made of the same fragments.
func newScene(r *Report, v viewer) (*scene, error) {
	s := &scene{time: r.Time, title: title(r, v)}
	b := builder{scene: s}
	b.one("state", "state", newState(r))
	b.one("problems", "problems", newProblems(r))
	b.one("totals", "totals", newTotals(r))
	b.region("nodes")
	for _, n := range r.Nodes {
		view := newNode(r, n)
		b.add(view.Key, "node", view)
	}
	b.one("lease", "lease", newLease(r))
	if v.Namespace != "" {
		b.opened(r, v)
	} else {
		b.list(r, v)
	}
	return s, b.err
}

func title(r *Report, v viewer) string {
	what := plural(r.Totals.Namespaces, "namespace") + ", " + plural(r.Totals.Sockets, "socket")
	if v.Namespace != "" {
		what = v.label(v.Namespace)
	}
	return newState(r).Sign + " " + what + " · dynamicio"
}

// builder adds to a scene until something fails.
type builder struct {
	scene *scene
	buf   bytes.Buffer
	err   error
}

func (b *builder) region(name string) {
	b.scene.regions = append(b.scene.regions, region{name: name})
}

// add renders a template into the latest region, as the element with this id.
func (b *builder) add(id, name string, data any) {
	if b.err != nil {
		return
	}
	b.buf.Reset()
	b.err = page.ExecuteTemplate(&b.buf, name, data)
	r := &b.scene.regions[len(b.scene.regions)-1]
	r.items = append(r.items, fragment{id, b.buf.String()})
}

// one is a region of one fragment.
func (b *builder) one(id, name string, data any) {
	b.region(id)
	b.add(id, name, data)
}

// list is what the page of all namespaces has.
func (b *builder) list(r *Report, v viewer) {
	b.one("expiring", "expiring", newExpiring(r, v))
	b.one("retired", "retired", newRetired(r, v))
	b.region("namespaces")
	inline := v.inline(r)
	inOrder := slices.SortedStableFunc(slices.Values(r.Namespaces), func(a, b Namespace) int {
		return namespace.CompareFullNames(a.FullName, b.FullName)
	})
	for i := range inOrder {
		n := &inOrder[i]
		view := newNamespace(v, r, n)
		if inline {
			view.fill(v, n)
		}
		b.add(view.Key, "namespace", view)
	}
	if len(inOrder) == 0 {
		b.add("none", "none", v)
	}
	b.one("pager", "pager", newPager(r, v))
}

type pagerView struct{ First, Next, Text string }

func newPager(r *Report, v viewer) pagerView {
	p := pagerView{Text: plural(len(r.Namespaces), "namespace")}
	if v.After != "" {
		p.First = v.link(func(q url.Values) { q.Del("after") })
	}
	if r.Next != "" {
		p.Next = v.link(func(q url.Values) { q.Set("after", r.Next) })
	}
	if p.First != "" || p.Next != "" {
		p.Text += " on this page; from page to page names go by the order of their bytes"
	}
	return p
}

type openedView struct {
	Label, Back string
	It          *namespaceView // nil: it is not live
}

// opened is what the page of one namespace has.
func (b *builder) opened(r *Report, v viewer) {
	view := openedView{Label: v.label(v.Namespace), Back: v.link(func(q url.Values) { q.Del("namespace") })}
	more := ""
	if len(r.Namespaces) > 0 {
		n := &r.Namespaces[0]
		it := newNamespace(v, r, n)
		it.fill(v, n)
		view.It = &it
		if hidden := len(n.Clients) - len(it.Clients); hidden > 0 {
			more = "and " + count(int64(hidden)) + " more, which status.json shows"
		} else if len(n.Clients) == 0 {
			more = "None."
		}
	}
	b.one("one", "one", view)
	b.region("sockets")
	if view.It != nil {
		for _, s := range view.It.Clients {
			b.add(s.Key, "socket", s)
		}
	}
	if more != "" {
		b.add("more", "more", more)
	}
}

// pageView is what the frame of the page is made of.
type pageView struct {
	Title, Host, Cluster, Node, Base, Notice string
	Style                                    template.CSS
	Script                                   template.JS
	Now                                      int64
	Regions                                  map[string][]template.HTML
	Opened, MayAct, SignIn, SignOut, Alone   bool
	Query                                    Query
	Limit                                    string // as the form for finding passes it on
}

// write renders the whole page.
func (s *scene) write(buf *bytes.Buffer, r *Report, v viewer, p pageView) error {
	p.Title, p.Host, p.Cluster, p.Node, p.Base, p.Alone = s.title, v.Host, r.Cluster, r.Node, v.base, r.Redis.Alone
	p.Style, p.Script = template.CSS(pageStyle), template.JS(pageScript)
	p.Now, p.Opened, p.MayAct, p.Query = s.time.UnixMilli(), v.Namespace != "", v.mayAct, v.Query
	if v.Limit != pageLimit {
		p.Limit = strconv.Itoa(v.Limit)
	}
	p.Regions = make(map[string][]template.HTML, len(s.regions))
	for _, region := range s.regions {
		items := make([]template.HTML, len(region.items))
		for i, f := range region.items {
			items[i] = template.HTML(expand(f.html, s.time))
		}
		p.Regions[region.name] = items
	}
	return page.ExecuteTemplate(buf, "page", p)
}

// plainView is a page that only says or asks something.
type plainView struct {
	Title, Text, Back, BackLink string
	Style                       template.CSS
	SignIn                      *signInView
	Confirm                     *confirmView
}

type signInView struct{ Action, Wrong, Back string }

type confirmView struct{ Action, Ask, Name, What, FullName, ID, Do string }

// writePlain answers with a plain page.
func writePlain(w http.ResponseWriter, code int, p plainView) error {
	p.Style = template.CSS(pageStyle)
	p.Title = cmp.Or(p.Title, "dynamicio status")
	var buf bytes.Buffer
	if err := page.ExecuteTemplate(&buf, "plain", p); err != nil {
		return err
	}
	setHeaders(w.Header())
	w.WriteHeader(code)
	_, err := w.Write(buf.Bytes())
	return err
}
