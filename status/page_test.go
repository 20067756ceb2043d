package status

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// parsePage returns the elements of a page, in order.
func parsePage(t testing.TB, page string) []*html.Node {
	t.Helper()
	page = strings.ReplaceAll(strings.ReplaceAll(page, pageScript, ""), pageStyle, "") // it takes long to read, and is ours
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var all []*html.Node
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			all = append(all, n)
		}
	}
	return all
}

func attribute(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

// text is what an element has of text in all.
func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

// shape is what a page is made of: the names of elements and attributes.
func shape(nodes []*html.Node) (all []string) {
	for _, n := range nodes {
		s := n.Data
		for _, a := range n.Attr {
			s += " " + a.Key
		}
		all = append(all, s)
	}
	return all
}

// difference says where two shapes part.
func difference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("element %d is %s, want %s", i, got[i], want[i])
		}
	}
	return fmt.Sprintf("%d elements, want %d", len(got), len(want))
}

// full is a report in which everything has a name of the test's choice.
func full(name string) Report {
	r := well()
	r.Cluster, r.Node, r.Lease.Holder = name, name, name
	n := space("/n"+name, 1)
	n.Nodes = map[string]int{name: 1}
	n.Rooms = []Room{{name, 1}}
	n.Clients = []Client{{ID: name, Node: name, Address: name, Transport: name, Connected: time.Now(), Rooms: []string{name}}}
	r.Namespaces = []Namespace{n, space("/empty"+name, 0)}
	trend := &Trend{StepMS: 5000, Sockets: []int64{1, 2, 3}, Events: []int64{0, 0, 0}, Deliveries: []int64{9, 9, 9}}
	r.Nodes = []Node{{ID: name, Address: name, Version: name, Started: time.Now(), Trend: trend}, {ID: "z" + name, HeartbeatAgeMS: 5000}}
	r.Problems, r.Missing = []string{name}, []string{name}
	r.Expiring, r.Retired = []Expiring{{"/n" + name, 5000}}, []Retired{{"/n" + name, 1, time.Now()}}
	return r
}

// pages are all pages on which names show.
func pages(t testing.TB, name string) map[string]string {
	t.Helper()
	h := guardedBy(t, &fakeSource{report: full(name)}, true)
	cookie := signedIn(t, h)
	all := map[string]string{}
	for _, path := range []string{
		"?q=", "?namespace=" + url.QueryEscape("/n"+name), "?after=%2Ff&q=" + url.QueryEscape(name), "?namespace=" + url.QueryEscape("?"+name), "?q=" + url.QueryEscape("none"+name),
		"/actions?action=retire&namespace=" + url.QueryEscape("/"+name), "/actions?action=disconnect&id=" + url.QueryEscape("i"+name) + "&namespace=" + url.QueryEscape("/"+name),
	} {
		for _, host := range []string{"main", ""} {
			if host == "" {
				host = name
			}
			r := request("GET", "/socket.io/status"+path, "", cookie)
			r.Host = host
			w := serve(h, r)
			all[strings.Split(path, "=")[0]+" "+fmt.Sprint(host == name)] += plainText(t, w.Result())
		}
	}
	return all
}

// FuzzPage_NamesAreText holds the pages with any name against those with a harmless one: they have
// the same elements and attributes.
func FuzzPage_NamesAreText(f *testing.F) {
	for _, name := range []string{
		`<script>alert(1)</script>`, `"onload="alert(1)`, `'><img src=x onerror=alert(1)>`, `</style><script>`, `</script>`, "javascript:alert(1)", "`${1}`",
		"{{.}}", "--><!--", "&lt;b&gt;", "\x00-1;", "\x00", "\u2028", "\u202egnp.exe", "a\nb", strings.Repeat("x", 300), "\xff<b", "]]>", "<!--", "a b", "", "%3Cb%3E",
	} {
		f.Add(name)
	}
	want := map[string][]string{}
	for path, page := range pages(f, "harmless") {
		want[path] = shape(parsePage(f, page))
	}
	f.Fuzz(func(t *testing.T, name string) {
		if !utf8.ValidString(name) || revealed(name) != "" || strings.Contains(name, "\r") {
			name = strings.Map(func(r rune) rune {
				if revealed(string(r)) != "" {
					return '<'
				}
				return r
			}, name)
		}
		if name == "" || name == "main" {
			return
		}
		got := pages(t, name)
		for path, want := range want {
			g := parsePage(t, got[path])
			if !slices.Equal(shape(g), want) {
				t.Errorf("with %q, %s is another page: %s", name, path, difference(shape(g), want))
			}
			if path == "/actions?action true" {
				continue // that host is told nothing
			}
			if found := slices.ContainsFunc(g, func(n *html.Node) bool { return strings.Contains(text(n), name) }); !found {
				t.Errorf("with %q, %s does not show it", name, path)
			}
		}
	})
}

// Names with signs that do not show are shown as they would be written, too, and no mark of ours can be forged.
func TestPage_HiddenSignsAreShown(t *testing.T) {
	for name, want := range map[string]string{
		"\u202egnp.exe": `\u202egnp.exe`, "a\x1bb": `a\x1bb`, "\u200b": `\u200b`, "x\x00-1;": `x\x00-1;`, "\ufeff": `\ufeff`,
	} {
		page := pages(t, name)["?q false"]
		if !strings.Contains(page, want) {
			t.Errorf("%q does not show as %s", name, want)
		}
		if strings.Contains(page, "\x00") {
			t.Errorf("%q: a NUL is on the page", name)
		}
	}
	if got := pages(t, "Grüße/日本 €")["?q false"]; strings.Contains(got, "odd") && strings.Contains(got, `class="soft odd"`) {
		t.Error("an ordinary name is taken for one with hidden signs")
	}
}

func TestPage_PolicyAllowsItsOwnPartsOnly(t *testing.T) {
	h := guardedBy(t, &fakeSource{report: full("x")}, true)
	cookie := signedIn(t, h)
	for _, path := range []string{"/socket.io/status", "/socket.io/status?namespace=/nx", "/socket.io/status/signin", "/socket.io/status/actions?action=retire&namespace=/nx"} {
		w := serve(h, request("GET", path, "", cookie))
		policy := w.Header().Get("Content-Security-Policy")
		for _, want := range []string{
			"default-src 'none';", "connect-src 'self';", "form-action 'self';", "base-uri 'none';", "frame-ancestors 'none';", "require-trusted-types-for 'script'",
		} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy lacks %s", path, want)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
			t.Errorf("%s: the policy is %s", path, policy)
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		for tag := range strings.SplitSeq("script style", " ") {
			_, body, found := strings.Cut(w.Body.String(), "<"+tag+">")
			if body, _, _ = strings.Cut(body, "</"+tag+">"); found {
				sum := sha256.Sum256([]byte(body))
				if want := tag + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
					t.Errorf("%s: the policy does not let its %s run", path, tag)
				}
			}
		}
		for _, n := range parsePage(t, w.Body.String()) {
			for _, a := range n.Attr {
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") || a.Key == "src" {
					t.Errorf("%s: %s has the attribute %s", path, n.Data, a.Key)
				}
			}
		}
	}
}

// The script finds fragments by id: each has its own, and stands in its region.
func TestPage_FragmentsHaveTheirIDs(t *testing.T) {
	src := &fakeSource{report: full("x")}
	h := guardedBy(t, src, true)
	for _, q := range []Query{{Limit: 100}, {Limit: 100, Namespace: "/nx"}, {Limit: 100, Namespace: "/none"}, {Limit: 100, Search: "none"}} {
		v := viewer{Query: q, base: "/socket.io", mayAct: true}
		r, _ := collectPage(t.Context(), src, v, false)
		s, err := newScene(r, v)
		if err != nil {
			t.Fatal(err)
		}
		page := get(t, h, v.link(func(url.Values) {}), signedIn(t, h))
		parents, seen := map[string]string{}, map[string]int{}
		for _, n := range parsePage(t, page) {
			id, ok := attribute(n, "id")
			if !ok {
				continue
			}
			if seen[id]++; seen[id] > 1 {
				t.Errorf("%+v: the id %s is there twice", q, id)
			}
			parents[id], _ = attribute(n.Parent, "id")
		}
		for _, region := range s.regions {
			for _, f := range region.items {
				if parents[f.id] != "r-"+region.name {
					t.Errorf("%+v: fragment %s is in %q, not in the region %s", q, f.id, parents[f.id], region.name)
				}
			}
		}
	}
}

// What stands in the page's name and in its first line tells how the cluster is.
func TestPage_SaysHowTheClusterIs(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Report)
		want   []string
	}{
		"well":       {func(*Report) {}, []string{"All is well.", "2 up", "a holds the lease", `class="state good"`, "<title>✓"}},
		"Redis away": {func(r *Report) { r.Redis.OK = false }, []string{"Not well.", "Redis does not answer: this is what node a alone knows", `class="state bad"`, "<title>✕"}},
		"headline":   {func(r *Report) { r.Cluster = "c<" }, []string{"<h1>Status of cluster <bdi>c&lt;</bdi></h1>", "active namespaces on <bdi>*</bdi>, seen from node <bdi>a</bdi>"}},
		"alone":      {func(r *Report) { r.Redis.Alone = true }, []string{"<h1>Status of node <bdi>a</bdi></h1>", "All is well.", "This node is alone, without Redis.", "decided by this node itself"}},
		"new":        {func(r *Report) { r.Lease, r.Notes = Lease{}, []string{"It is < new."} }, []string{"All is well.", `<li class="soft">It is &lt; new.</li>`, `class="state good"`}},
		"silent sockets": {func(r *Report) {
			r.Nodes[1].HeartbeatAgeMS, r.Nodes[1].Sockets, r.Totals.Sockets, r.Totals.SilentSockets = 4000, 33, 100, 33
			r.Namespaces = []Namespace{{FullName: "/x", Sockets: 100, Silent: 33, Nodes: map[string]int{"a": 100, "b": 33}}, {FullName: "/y", Silent: 5, Nodes: map[string]int{"b": 5}}}
		}, []string{
			`<dd>100</dd><dd class="bad">and 33 on silent nodes</dd>`, `33 <span class="soft sub">not counted</span>`,
			`<bdi>a</bdi>: 100, <bdi>b</bdi>: 33 <span class="soft">(silent, not counted)</span>`, `<td data-l="Sockets" class="n">0</td>`,
		}},
		"no lease":     {func(r *Report) { r.Lease = Lease{} }, []string{"Not well.", "Nobody holds the lease", `class="state bad"`}},
		"silent node":  {func(r *Report) { r.Nodes[1].HeartbeatAgeMS = 4000 }, []string{"Needs a look.", "1 up, 1 silent", `class="dot silent"`, "> silent for ", `class="state warn"`}},
		"draining":     {func(r *Report) { r.Nodes[1].Draining = true }, []string{"All is well.", "1 up, 1 draining", `class="dot draining"`}},
		"a problem":    {func(r *Report) { r.Problems = []string{"It < leaks."} }, []string{"Needs a look.", "<li>It &lt; leaks.</li>", `class="state warn"`}},
		"node missing": {func(r *Report) { r.Missing = []string{"c<"} }, []string{"Needs a look.", "Node c&lt; did not answer in time"}},
	} {
		src := &fakeSource{report: well()}
		change := tc.change
		src.set(change)
		page := get(t, newTestHandler(t, src, nil), "/socket.io/status")
		for _, want := range tc.want {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page does not say %q", name, want)
			}
		}
	}
}

func TestPage_ShowsWhatIsInsideWhereItIsLittle(t *testing.T) {
	src := &fakeSource{report: well()}
	fill := func(namespaces, sockets int) {
		src.report.Namespaces = nil
		for i := range namespaces {
			n := space(fmt.Sprintf("/n%03d", i), 0)
			if i == 0 {
				n = space("/n000", sockets)
				for j := range sockets {
					n.Clients = append(n.Clients, Client{ID: fmt.Sprintf("id%04d", j)})
				}
			}
			src.report.Namespaces = append(src.report.Namespaces, n)
		}
	}
	h := newTestHandler(t, src, nil)
	for _, tc := range []struct{ namespaces, sockets, shown int }{{20, 200, 200}, {21, 1, 0}, {1, 201, 0}, {100, 1, 0}} {
		fill(tc.namespaces, tc.sockets)
		page := get(t, h, "/socket.io/status")
		if n := strings.Count(page, ">socket id"); n != tc.shown {
			t.Errorf("%d namespaces, %d sockets: %d sockets show, want %d", tc.namespaces, tc.sockets, n, tc.shown)
		}
	}
	fill(250, maxRows+7)
	page := get(t, h, "/socket.io/status")
	if n := strings.Count(page, `class="ns"`); n != pageLimit || !strings.Contains(page, `href="/socket.io/status?after=%2Fn099"`) {
		t.Errorf("%d namespaces on the first page", n)
	}
	page = get(t, h, "/socket.io/status?after=%2Fn099&limit=120&q=n")
	if n := strings.Count(page, `class="ns"`); n != 120 || !strings.Contains(page, `?after=%2Fn219&amp;limit=120&amp;q=n"`) || !strings.Contains(page, `href="/socket.io/status?limit=120&amp;q=n"`) {
		t.Errorf("%d namespaces on a page in the middle, or its links are wrong", n)
	}
	page = get(t, h, "/socket.io/status?namespace=%2Fn000")
	if n := strings.Count(page, `scope="row">id`); n != maxRows || !strings.Contains(page, "and 7 more") {
		t.Errorf("%d of %d sockets of a namespace show", n, maxRows+7)
	}
	if page := get(t, h, "/socket.io/status?namespace=/none"); !strings.Contains(page, "not live now") {
		t.Error("the page of a namespace that is not live does not say so")
	}
}

func TestText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 999 * time.Millisecond: "0 s", 59 * time.Second: "59 s", time.Minute: "1 min 0 s", time.Hour - 1: "59 min 59 s",
		time.Hour: "1 h 0 min", 47*time.Hour + 59*time.Minute: "47 h 59 min", 48 * time.Hour: "2 d 0 h", 100*24*time.Hour + 5*time.Hour: "100 d 5 h",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) is %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) is %s, want %s", n, got, want)
		}
	}
	for r, want := range map[float64]string{0: "0", .04: "0.0", 1.25: "1.2", 9.94: "9.9", 9.96: "10", 12345.6: "12,346", -1: "0", 1e300: "1,000,000,000,000,000"} {
		if got := rate(r); got != want {
			t.Errorf("rate(%v) is %s, want %s", r, got, want)
		}
	}
	for header, want := range map[string]bool{"": false, "gzip": true, "br, GZIP;q=0.5": true, "gzip;q=0": false, "gzip; q=0.00, br": false, "x-gzip": false, "deflate": false} {
		if got := acceptsGzip([]string{header}); got != want {
			t.Errorf("acceptsGzip(%q) is %v", header, got)
		}
	}
}

func TestChart(t *testing.T) {
	if newChart("x", 5000, []int64{1}) != nil || newChart("x", 0, []int64{1, 2}) != nil {
		t.Error("a chart of nothing")
	}
	c := newChart("sockets", 5000, []int64{0, 10, 5})
	if c.Line != "M57 23.0L58 1.0L59 12.0" || c.Label != "sockets in the last 10 s: now 5, at least 0, at most 10" {
		t.Errorf("%+v", c)
	}
	if flat := newChart("x", 5000, make([]int64, 100)); !strings.HasPrefix(flat.Line, "M0 23.0L1 23.0") || strings.Count(flat.Line, "L") != 59 {
		t.Errorf("100 times nothing: %s", flat.Line)
	}
	step, total := sum([]Node{{Trend: &Trend{StepMS: 5, Sockets: []int64{1, 2}}}, {}, {Trend: &Trend{StepMS: 5, Sockets: []int64{10, 20, 30}}}}, func(t *Trend) []int64 { return t.Sockets })
	if step != 5 || !slices.Equal(total, []int64{10, 21, 32}) {
		t.Errorf("the sum is %v", total)
	}
}

// A page of 100 namespaces, without collecting: what one look costs, and what a second of a stream does.
func BenchmarkPage(b *testing.B) {
	src := &fakeSource{report: full("x")}
	src.report.Namespaces = nil
	for i := range 100 {
		src.report.Namespaces = append(src.report.Namespaces, space(fmt.Sprintf("/n%03d", i), i%3))
	}
	v := viewer{Query: Query{Limit: pageLimit}, base: "/socket.io"}
	r := src.Collect(b.Context(), v.Query)
	b.Run("whole", func(b *testing.B) {
		b.ReportAllocs()
		var buf bytes.Buffer
		for b.Loop() {
			s, err := newScene(r, v)
			if err != nil {
				b.Fatal(err)
			}
			buf.Reset()
			if err := s.write(&buf, r, v, pageView{}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(buf.Len()), "bytes/page")
	})
	b.Run("second", func(b *testing.B) {
		b.ReportAllocs()
		f := &feed{}
		for b.Loop() {
			r.Namespaces[7].Sockets++
			s, err := newScene(r, v)
			if err == nil {
				err = f.show(s)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(f.frame.change)), "bytes/update")
	})
}
