package node_test

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
	"github.com/dynamicio/dynamicio/status"
)

// hostile are names that a page must not take for anything but text.
var hostile = []string{
	`<script>alert(1)</script>`, `"onload="alert(1)`, `'onload='alert(1)`, `</section></html>`, `&lt;b&gt;`,
	"`${1}`", `javascript:alert(1)`, "a\x1b[31mred\x07", "line\nbreak\r\ttab", "\u202egnp.exe", "\u2028", "x\x00y", "{{.}}", "--><!--",
}

var (
	headings = regexp.MustCompile(`<a class="ns" href="[^"]*"><bdi>(.*?)</bdi>`)
	clients  = regexp.MustCompile(`<li data-key="[^"]*">(socket .*?)</li>`)
	tags     = regexp.MustCompile(`<[^<>]*>`)
	values   = regexp.MustCompile(`="[^"]*"`)
)

// found returns the text of what a pattern captures on a page.
func found(re *regexp.Regexp, page string) []string {
	var all []string
	for _, m := range re.FindAllStringSubmatch(page, -1) {
		all = append(all, html.UnescapeString(tags.ReplaceAllString(m[1], "")))
	}
	return all
}

// page asks for the status page as a host sees it.
func (s *testServer) page(host string) string {
	s.t.Helper()
	res, body := s.get("/socket.io/status", host)
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("status page: %d %s", res.StatusCode, body)
	}
	return body
}

// report asks for status.json.
func (s *testServer) report(query, host string) status.Report {
	s.t.Helper()
	res, body := s.get("/socket.io/status.json"+query, host)
	var r status.Report
	if err := json.Unmarshal([]byte(body), &r); err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatalf("status.json: %d %s: %v", res.StatusCode, body, err)
	}
	return r
}

func fullNames(r status.Report) []string {
	var all []string
	for _, ns := range r.Namespaces {
		all = append(all, ns.FullName)
	}
	return all
}

// 4.1: off by default. CONTRACT makes it 404, where the seed took it for an Engine.IO request.
func TestSemantics_4_1_OffByDefault(t *testing.T) {
	srv := start(t, node.Options{})
	for _, path := range []string{"/socket.io/status", "/socket.io/status.json", "/socket.io/status?token=x"} {
		if res, _ := srv.get(path, ""); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, res.StatusCode)
		}
	}
	srv = start(t, node.Options{StatusToken: "secret"})
	bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	for _, path := range []string{"/socket.io/status", "/socket.io/status.json"} {
		for _, tc := range []struct {
			query  string
			header http.Header
			want   int
		}{
			{"", nil, 401}, {"?token=", nil, 401}, {"?token=wrong", nil, 401}, {"?token=secret", nil, 200},
			{"", bearer("secret"), 200}, {"", bearer("secretx"), 401}, {"?token=secret", bearer("wrong"), 401},
		} {
			if res, body := srv.getWith(path+tc.query, "", tc.header); res.StatusCode != tc.want || strings.Contains(body, "secret") {
				t.Errorf("%s%s with %v: %d %s, want %d", path, tc.query, tc.header, res.StatusCode, body, tc.want)
			}
		}
	}
}

// 4.2 (decided): the exact path, whether or not the JavaScript client is served.
func TestSemantics_4_2_Where(t *testing.T) {
	for _, disable := range []bool{false, true} {
		srv := start(t, node.Options{PublicStatus: true, Path: "/io/", DisableClient: disable})
		res, _ := srv.get("/io/status?x", "")
		if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
			t.Errorf("status: %d %s", res.StatusCode, res.Header.Get("Content-Type"))
		}
		for _, path := range []string{"/io/statusfoo", "/io/status/", "/io/Status", "/status", "/socket.io/status"} {
			if res, _ := srv.get(path, ""); res.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %d, want 404", path, res.StatusCode)
			}
		}
	}
}

// 4.3 and 4.9 (decided): per namespace its name, each socket with its address and rooms but its own, or that there is
// none and when it expires.
func TestSemantics_4_3_and_4_9_Lines(t *testing.T) {
	srv := start(t, node.Options{PublicStatus: true, Retirement: time.Hour})
	srv.SetupNamespace("*", accept)
	if _, err := srv.Of("/permanent", ""); err != nil {
		t.Fatal(err)
	}
	main, a, b := srv.connect(how{}), srv.connect(how{}), srv.connect(how{polling: true})
	mainID, aID, bID := main.join("/"), a.join("/dyn/x"), b.join("/dyn/x")
	if err := srv.live("/dyn/x").Socket(aID).Join("room2", "room1"); err != nil {
		t.Fatal(err)
	}
	main.join("/old")
	main.leave("/old")
	waitFor(t, "/old is empty", func() bool { return !srv.live("/old").Info().Emptied.IsZero() })

	page := srv.page("")
	if got, want := found(headings, page), []string{"/", "/dyn/x", "/old", "/permanent"}; !slices.Equal(got, want) {
		t.Errorf("namespaces %q, want %q", got, want)
	}
	lines := found(clients, page)
	for _, want := range []string{
		"socket " + mainID + " from 127.0.0.1", "socket " + aID + " from 127.0.0.1 room1 room2", "socket " + bID + " from 127.0.0.1",
	} {
		if !slices.Contains(lines, want+" on "+srv.NodeID()) {
			t.Errorf("%q is not on the page: %q", want, lines)
		}
	}
	if len(lines) != 3 {
		t.Errorf("%d sockets on the page, want 3", len(lines))
	}
	text := strings.Join(strings.Fields(html.UnescapeString(tags.ReplaceAllString(page, " "))), " ")
	for _, want := range []string{" rooms room1 1 room2 1 ", ` /old none in 59 min 5\d s`, ` /permanent none permanent `} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("%q does not match the page", want)
		}
	}
}

// CONTRACT: what status.json says of the same.
func TestSemantics_4_3_JSON(t *testing.T) {
	const r = time.Minute
	inBubble(t, node.Options{PublicStatus: true, Retirement: r, NodeID: "node-a"}, func(t *testing.T, srv *testServer, _ *journal) {
		srv.SetupNamespace("*", accept)
		srv.SetupNamespace("/never", func(ns *namespace.Namespace, _ namespace.Match) error {
			ns.SetRetirement(namespace.Never)
			return nil
		})
		c := bubbleClient{srv}
		a := srv.connect(how{})
		id := a.join("/dyn")
		for _, name := range []string{"/old", "/never"} {
			a.join(name)
			a.leave(name)
		}
		if err := srv.live("/dyn").Socket(id).Join("room"); err != nil {
			t.Fatal(err)
		}
		pass(r / 4)
		rep := c.report(t, "")
		if rep.Node != "node-a" || rep.Totals != (status.Totals{Nodes: 1, Namespaces: 4, Sockets: 1, Empty: 1}) || len(rep.Nodes) != 1 || rep.Nodes[0].Namespaces != 1 {
			t.Errorf("report %+v", rep)
		}
		byName := map[string]status.Namespace{}
		for _, ns := range rep.Namespaces {
			byName[ns.FullName] = ns
			if ns.Rooms != nil || ns.Clients != nil {
				t.Errorf("%s has details that nobody asked for", ns.FullName)
			}
		}
		if dyn := byName["/dyn"]; dyn.Sockets != 1 || dyn.Nodes["node-a"] != 1 || dyn.Emptied != nil || dyn.ExpiresInMS != nil || *dyn.RetirementMS != r.Milliseconds() || dyn.Epoch == 0 {
			t.Errorf("/dyn: %+v", dyn)
		}
		if old := byName["/old"]; old.Emptied == nil || *old.ExpiresInMS != (r-r/4).Milliseconds() || old.Permanent {
			t.Errorf("/old: %+v", old)
		}
		for _, name := range []string{"/", "/never"} {
			if ns := byName[name]; !ns.Permanent || ns.RetirementMS != nil || ns.ExpiresInMS != nil {
				t.Errorf("%s: %+v", name, ns)
			}
		}
		rep = c.report(t, "?namespace=/dyn")
		if len(rep.Namespaces) != 1 || !slices.Equal(rep.Namespaces[0].Rooms, []status.Room{{Name: "room", Sockets: 1}}) ||
			len(rep.Namespaces[0].Clients) != 1 || rep.Namespaces[0].Clients[0].ID != id {
			t.Errorf("detail of /dyn: %+v", rep.Namespaces)
		}
		if body := c.get(t, "/socket.io/status.json?namespace=/old"); !strings.Contains(body, `"rooms":[]`) || !strings.Contains(body, `"clients":[]`) {
			t.Errorf("detail of an empty namespace lacks rooms and clients: %s", body)
		}
		if body := c.get(t, "/socket.io/status.json?namespace=/none"); !strings.Contains(body, `"namespaces":[]`) {
			t.Errorf("detail of no namespace: %s", body)
		}
	})
}

// 4.4: by full name, "/" after every other character.
func TestSemantics_4_4_Order(t *testing.T) {
	srv := start(t, node.Options{PublicStatus: true})
	want := []string{"/", "/ab", "/a/b", "/zz", "//other.com/", "//other.com/q"}
	for _, full := range []string{"/zz", "//other.com/q", "/a/b", "/ab", "//other.com/"} {
		host, name := namespace.SplitFullName(full)
		if _, err := srv.Of(name, host); err != nil {
			t.Fatal(err)
		}
	}
	if got := found(headings, srv.page("")); !slices.Equal(got, want) {
		t.Errorf("page: %q, want %q", got, want)
	}
	// For programs the order is that of the bytes, in which Redis pages; page by
	// page, nothing is left out or twice.
	var got []string
	for after, pages := "", 0; pages < 10; pages++ {
		rep := srv.report("?limit=2&after="+after, "")
		got = append(got, fullNames(rep)...)
		if after = rep.Next; after == "" {
			break
		}
	}
	if inBytes := slices.Sorted(slices.Values(want)); !slices.Equal(got, inBytes) {
		t.Errorf("pages: %q, want %q", got, inBytes)
	}
	for _, limit := range []string{"0", "-1", "x", "10001", "99999999999999999999"} {
		if res, _ := srv.get("/socket.io/status.json?limit="+limit, ""); res.StatusCode != http.StatusBadRequest {
			t.Errorf("limit %s: %d, want 400", limit, res.StatusCode)
		}
	}
}

// twoHosts is a node with namespaces on three hosts.
func twoHosts(t *testing.T, opts node.Options) *testServer {
	t.Helper()
	opts.PublicStatus, opts.Host = true, namespace.Exact("main.com")
	srv := start(t, opts)
	srv.SetupNamespace("*", accept)
	srv.connect(how{host: "main.com"}).join("/m")
	srv.connect(how{host: "a.com"}).join("/x")
	srv.connect(how{host: "b.com"}).join("/y")
	return srv
}

// 4.5: from the main host, the namespaces of all hosts, by full name.
func TestSemantics_4_5_SeenFromTheMainHost(t *testing.T) {
	srv := twoHosts(t, node.Options{})
	page := srv.page("main.com")
	if !strings.Contains(page, "active namespaces on <bdi>*</bdi>") {
		t.Error("the headline is not: on *")
	}
	want := []string{"/", "/m", "//a.com/x", "//b.com/y"}
	if got := found(headings, page); !slices.Equal(got, want) {
		t.Errorf("namespaces %q, want %q", got, want)
	}
	inBytes := slices.Sorted(slices.Values(want))
	if got := fullNames(srv.report("", "main.com")); !slices.Equal(got, inBytes) {
		t.Errorf("status.json: %q, want %q", got, inBytes)
	}
}

// 4.6: from another host, its own alone, by short name; where there is none, the headline stands alone.
func TestSemantics_4_6_SeenFromAnotherHost(t *testing.T) {
	srv := twoHosts(t, node.Options{})
	page := srv.page("A.com")
	if !strings.Contains(page, "active namespaces on <bdi>a.com</bdi>") {
		t.Error("the headline is not: on a.com")
	}
	if got := found(headings, page); !slices.Equal(got, []string{"/x"}) {
		t.Errorf("namespaces %q, want /x", got)
	}
	if page := srv.page("none.com"); found(headings, page) != nil || !strings.Contains(page, "active namespaces on <bdi>none.com</bdi>") {
		t.Errorf("page of a host without namespaces: %s", page)
	}
	rep := srv.report("", "a.com")
	if got := fullNames(rep); !slices.Equal(got, []string{"//a.com/x"}) || rep.Totals.Namespaces != 1 || rep.Totals.Sockets != 1 {
		t.Errorf("status.json: %q, totals %+v", got, rep.Totals)
	}
	for _, query := range []string{"?namespace=//b.com/y", "?namespace=/m", "?after=//a.com/x"} {
		if got := fullNames(srv.report(query, "a.com")); len(got) > 0 {
			t.Errorf("%s from a.com shows %q", query, got)
		}
	}
}

// 4.7 (decided): GetHost says who asks, as for connections.
func TestSemantics_4_7_GetHostIsAsked(t *testing.T) {
	srv := twoHosts(t, node.Options{GetHost: func(r *http.Request) string { return strings.TrimPrefix(r.Host, "www.") }})
	if got := found(headings, srv.page("www.a.com")); !slices.Equal(got, []string{"/x"}) {
		t.Errorf("www.a.com sees %q, want /x", got)
	}
	if got := found(headings, srv.page("www.main.com")); len(got) != 4 {
		t.Errorf("www.main.com sees %q, want all four", got)
	}
}

// 4.8 (decided): everything is escaped: names of namespaces, rooms, hosts, on the page and in status.json.
func TestSemantics_4_8_Escaping(t *testing.T) {
	host := ""
	srv := start(t, node.Options{
		PublicStatus: true, Host: namespace.Exact("main"), NodeID: `<b onload="1">`, Address: `"><i>`,
		GetHost: func(r *http.Request) string {
			if r.Header.Get("X-Evil") != "" {
				return host
			}
			return "main"
		},
	})
	srv.SetupNamespace("*", accept)
	clean := srv.page("")
	for _, evil := range hostile {
		c := srv.connect(how{})
		name := "/" + evil
		c.send("0" + name + ",")
		id, _ := strings.CutPrefix(c.next(), "0"+name+`,{"sid":"`)
		id = strings.TrimSuffix(id, `"}`)
		if err := srv.live(name).Socket(id).Join(evil); err != nil {
			t.Fatal(err)
		}
		// A host is not a client's to choose, but a GetHost may return anything.
		host = strings.ReplaceAll(evil, "/", "")
		if _, err := srv.Of("/x", host); err != nil {
			t.Fatal(err)
		}
		_, page := srv.getWith("/socket.io/status", "", http.Header{"X-Evil": {"1"}})
		wantNoMarkup(t, "page of host "+host, clean, page)
		if rep := srv.report("?namespace="+url.QueryEscape(name), ""); len(rep.Namespaces) != 1 || rep.Namespaces[0].FullName != name ||
			len(rep.Namespaces[0].Rooms) != 1 || rep.Namespaces[0].Rooms[0].Name != evil {
			t.Errorf("status.json of %q: %+v", name, rep.Namespaces)
		}
	}
	page := srv.page("")
	wantNoMarkup(t, "page", clean, page)
	text := page
	for _, evil := range hostile {
		if strings.ContainsAny(evil, "\x00\r\n") {
			continue // HTML has no way to write these
		}
		if !strings.Contains(html.UnescapeString(text), "/"+evil) {
			t.Errorf("%q is not on the page as text", evil)
		}
	}
	res, _ := srv.get("/socket.io/status", "")
	if policy := res.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("Content-Security-Policy is %q", policy)
	}
	res, body := srv.get("/socket.io/status.json", "")
	if ct := res.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") || res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("status.json is served as %q, X-Content-Type-Options %q", ct, res.Header.Get("X-Content-Type-Options"))
	}
	if i := strings.IndexFunc(strings.TrimSuffix(body, "\n"), func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
		t.Errorf("status.json has a control character: %q", body[i:])
	}
}

// wantNoMarkup fails if a page has a tag, or an attribute, that neither the page
// without hostile names has nor what it shows of namespaces.
func wantNoMarkup(t *testing.T, what, clean, page string) {
	t.Helper()
	shape := func(tag string) string { return values.ReplaceAllString(tag, "") }
	known := map[string]bool{"<tbody id>": true, "<li data-key>": true, "<span class title>": true, "<ol id class>": true, "</ol>": true}
	for _, tag := range tags.FindAllString(clean, -1) {
		known[shape(tag)] = true
	}
	if n := strings.Count(page, "<script"); n != 1 {
		t.Errorf("%s has %d scripts, want the one of its own", what, n)
	}
	for _, tag := range tags.FindAllString(page, -1) {
		if !known[shape(tag)] {
			t.Errorf("%s has markup of a client's: %q", what, tag)
		}
	}
}

// bubbleClient makes requests to a node in a synctest bubble.
type bubbleClient struct{ srv *testServer }

func (c bubbleClient) get(t *testing.T, path string) string {
	t.Helper()
	defer synctest.Wait()
	body := c.srv.raw("GET " + path + " HTTP/1.0\r\nHost: x\r\n\r\n")
	head, body, _ := strings.Cut(body, "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.0 200 ") {
		t.Fatalf("%s: %s", path, head)
	}
	return body
}

func (c bubbleClient) report(t *testing.T, query string) (r status.Report) {
	t.Helper()
	if err := json.Unmarshal([]byte(c.get(t, "/socket.io/status.json"+query)), &r); err != nil {
		t.Fatal(err)
	}
	return r
}
