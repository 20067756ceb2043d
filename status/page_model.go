package status

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
)

const (
	// pageLimit is how many namespaces the page shows unless asked for another number.
	pageLimit = 100
	// maxPageLimit is the greatest such number: rows cost far more than in JSON.
	maxPageLimit = 500
	// Up to so many of them with so many sockets in all, the page shows what is inside.
	inlineNamespaces = 20
	inlineSockets    = 200
	// How many rooms and sockets the page of one namespace shows at most.
	maxRows = 500
)

// viewer is who looks at a page, so far as it changes what is on it.
type viewer struct {
	Query
	base   string // what the paths begin with: "/socket.io"
	asked  bool   // has presented the token
	mayAct bool
}

// params are the parameters of the viewer's own page.
func (v viewer) params() url.Values {
	p := url.Values{}
	for name, value := range map[string]string{"after": v.After, "q": v.Search, "namespace": v.Namespace} {
		if value != "" {
			p.Set(name, value)
		}
	}
	if v.Limit != pageLimit {
		p.Set("limit", strconv.Itoa(v.Limit))
	}
	return p
}

// link is the address of a page: the viewer's own, but for what change does to the parameters.
func (v viewer) link(change func(url.Values)) string {
	p := v.params()
	change(p)
	return pageAt(v.base, p.Encode())
}

// pageAt is the address of the page with these parameters.
func pageAt(base, query string) string {
	if query == "" {
		return base + "/status"
	}
	return base + "/status?" + query
}

func (v viewer) open(full string) string {
	return v.link(func(p url.Values) { p.Set("namespace", full) })
}

// act is the address of the page that asks whether to do it.
func (v viewer) act(action, full, id string) string {
	if !v.mayAct {
		return ""
	}
	p := url.Values{"action": {action}, "namespace": {full}}
	if id != "" {
		p.Set("id", id)
	}
	if back := v.params().Encode(); back != "" {
		p.Set("back", back)
	}
	return v.base + "/status/actions?" + p.Encode()
}

// label is what a namespace is called on the page: a host knows its own by
// their short names.
func (v viewer) label(full string) string {
	if v.Host == "" {
		return full
	}
	_, name := namespace.SplitFullName(full)
	return name
}

// inline reports whether all that is inside the namespaces of a report fits on its page.
func (v viewer) inline(r *Report) bool {
	sockets := 0
	for i := range r.Namespaces {
		sockets += r.Namespaces[i].Sockets
	}
	return v.Namespace == "" && len(r.Namespaces) <= inlineNamespaces && sockets <= inlineSockets
}

// key is the id of an element of the page that stands for what has this name.
// The name itself may be anything.
func key(kind, name string) string {
	sum := sha256.Sum256([]byte(name))
	return kind + "-" + base64.RawURLEncoding.EncodeToString(sum[:15])
}

type stateView struct{ Level, Sign, Word, Text string }

// newState says in a line how the cluster is. It must not change while nothing
// important does: it is read out to those who cannot see.
func newState(r *Report) stateView {
	states := nodeStates(r)
	switch silent := len(r.Nodes) - states["up"] - states["draining"]; {
	case !r.Redis.OK:
		return stateView{"bad", "✕", "Not well.", "Redis does not answer: this is what node " + r.Node + " alone knows."}
	case r.Lease.Holder == "" && len(r.Notes) == 0: // a new cluster has had nothing to decide
		return stateView{"bad", "✕", "Not well.", "Nobody holds the lease: no namespace retires."}
	case silent > 0:
		return stateView{"warn", "!", "Needs a look.", nodesNote(states) + "."}
	case len(r.Problems) > 0 || len(r.Missing) > 0:
		return stateView{"warn", "!", "Needs a look.", plural(len(r.Problems)+len(r.Missing), "problem") + "."}
	}
	if r.Redis.Alone {
		return stateView{"good", "✓", "All is well.", "This node is alone, without Redis."}
	}
	text := "Nodes: " + nodesNote(states) + ". Redis answers"
	if r.Lease.Holder != "" {
		text += ", and " + r.Lease.Holder + " holds the lease"
	}
	return stateView{"good", "✓", "All is well.", text + "."}
}

func nodeStates(r *Report) map[string]int {
	states := map[string]int{}
	for _, n := range r.Nodes {
		states[n.State()]++
	}
	return states
}

// nodesNote is "2 up, 1 silent".
func nodesNote(states map[string]int) string {
	var note []string
	for _, state := range []string{"up", "draining", "silent"} {
		if n := states[state]; n > 0 {
			note = append(note, strconv.Itoa(n)+" "+state)
		}
	}
	return strings.Join(note, ", ")
}

type problemsView struct{ Problems, Notes []string }

func newProblems(r *Report) problemsView {
	v := problemsView{slices.Clone(r.Problems), r.Notes}
	for _, node := range r.Missing {
		v.Problems = append(v.Problems, "Node "+node+" did not answer in time: its rooms and sockets are not shown.")
	}
	return v
}

type totalsView struct {
	Nodes, NodesNote, Namespaces, Empty, Sockets, Silent, Events, Deliveries, Slow string
	SocketsChart, EventsChart, DeliveriesChart                                     *chart
}

func newTotals(r *Report) totalsView {
	t := totalsView{
		Nodes: count(int64(r.Totals.Nodes)), Namespaces: count(int64(r.Totals.Namespaces)), Empty: count(int64(r.Totals.Empty)),
		Sockets: count(int64(r.Totals.Sockets)), Slow: count(r.Totals.SlowClosed),
		Events: rate(r.Totals.EventsPerSecond), Deliveries: rate(r.Totals.DeliveriesPerSecond),
	}
	t.NodesNote = nodesNote(nodeStates(r))
	if n := r.Totals.SilentSockets; n > 0 {
		t.Silent = count(int64(n))
	}
	t.SocketsChart = total("sockets of the cluster", r.Nodes, func(t *Trend) []int64 { return t.Sockets })
	t.EventsChart = total("events a second from clients", r.Nodes, func(t *Trend) []int64 { return t.Events })
	t.DeliveriesChart = total("deliveries a second", r.Nodes, func(t *Trend) []int64 { return t.Deliveries })
	return t
}

func total(what string, nodes []Node, pick func(*Trend) []int64) *chart {
	heard := slices.DeleteFunc(slices.Clone(nodes), func(n Node) bool { return n.silent() })
	step, values := sum(heard, pick)
	return newChart(what, step, values)
}

type nodeView struct {
	Key, ID, Address, Version, State              string
	Lease                                         bool
	Silent, Up                                    template.HTML
	Namespaces, Sockets, Events, Deliveries, Slow string
	SocketsChart, DeliveriesChart                 *chart
}

func newNode(r *Report, n Node) nodeView {
	v := nodeView{
		Key: key("node", n.ID), ID: n.ID, Address: n.Address, Version: n.Version, State: n.State(), Lease: n.ID == r.Lease.Holder,
		Namespaces: count(int64(n.Namespaces)), Sockets: count(int64(n.Sockets)),
		Events: rate(n.EventsPerSecond), Deliveries: rate(n.DeliveriesPerSecond), Slow: count(n.SlowClosed),
	}
	if !n.Started.IsZero() {
		v.Up = since(n.Started)
	}
	if v.State == "silent" {
		// To the second, so that it stays the same from one report to the next.
		v.Silent = since(r.Time.Add(-time.Duration(n.HeartbeatAgeMS) * time.Millisecond).Round(time.Second))
	}
	if t := n.Trend; t != nil {
		v.SocketsChart = newChart("sockets of "+n.ID, t.StepMS, t.Sockets)
		v.DeliveriesChart = newChart("deliveries a second of "+n.ID, t.StepMS, t.Deliveries)
	}
	return v
}

type leaseView struct {
	Alone       bool
	Holder      string
	Token       uint64
	Since, Ends template.HTML
}

func newLease(r *Report) leaseView {
	l := r.Lease
	return leaseView{
		Alone: r.Redis.Alone, Holder: l.Holder, Token: l.Token,
		Since: since(r.Time.Add(-time.Duration(l.HeldMS) * time.Millisecond).Round(time.Second)),
		Ends:  until(r.Time.Add(time.Duration(l.TTLMS) * time.Millisecond).Round(time.Second)),
	}
}

// eventView is a namespace that retires soon, or has just done so.
type eventView struct {
	Key, Label, Open string
	At               template.HTML // empty: due
}

func newExpiring(r *Report, v viewer) []eventView {
	var all []eventView
	for _, e := range r.Expiring {
		view := eventView{Key: key("", e.FullName), Label: v.label(e.FullName), Open: v.open(e.FullName)}
		if e.ExpiresInMS > 0 {
			view.At = endsIn(r.Time, e.ExpiresInMS)
		}
		all = append(all, view)
	}
	return all
}

// endsIn is a countdown. It is rounded down, so that reports a moment apart agree.
func endsIn(now time.Time, ms int64) template.HTML {
	return until(now.Add(time.Duration(ms) * time.Millisecond).Truncate(100 * time.Millisecond))
}

func newRetired(r *Report, v viewer) []eventView {
	var all []eventView
	for _, e := range r.Retired {
		all = append(all, eventView{Key: key("", e.FullName+strconv.FormatUint(e.Epoch, 10)), Label: v.label(e.FullName), At: since(e.Time)})
	}
	return all
}

type share struct {
	ID      string
	Sockets string
	Silent  bool
}

type namespaceView struct {
	Key, Label, Open, Sockets, Retirement, Retire, MoreRooms string
	Epoch                                                    uint64
	Occupied, Permanent, Due                                 bool
	Ends                                                     template.HTML
	Nodes                                                    []share
	Rooms                                                    []Room
	Clients                                                  []socketView
}

func newNamespace(v viewer, r *Report, n *Namespace) namespaceView {
	view := namespaceView{
		Key: key("ns", n.FullName), Label: v.label(n.FullName), Open: v.open(n.FullName), Epoch: n.Epoch,
		Sockets: count(int64(n.Sockets)), Occupied: n.Occupied(), Permanent: n.Permanent,
	}
	for _, id := range slices.Sorted(maps.Keys(n.Nodes)) {
		silent := slices.ContainsFunc(r.Nodes, func(n Node) bool { return n.ID == id && n.silent() })
		view.Nodes = append(view.Nodes, share{id, count(int64(n.Nodes[id])), silent})
	}
	if n.RetirementMS != nil {
		view.Retirement = milliseconds(*n.RetirementMS)
	}
	if left := n.ExpiresInMS; left != nil {
		view.Due, view.Ends = *left <= 0, endsIn(r.Time, *left)
	}
	if !view.Occupied && !n.Permanent {
		view.Retire = v.act(actionRetire, n.FullName, "")
	}
	return view
}

// fill adds what is inside the namespace.
func (view *namespaceView) fill(v viewer, n *Namespace) {
	view.Rooms = n.Rooms
	if more := len(n.Rooms) - maxRows; more > 0 {
		view.Rooms, view.MoreRooms = n.Rooms[:maxRows], count(int64(more))
	}
	for i := range n.Clients[:min(len(n.Clients), maxRows)] {
		view.Clients = append(view.Clients, newSocket(v, n.FullName, &n.Clients[i]))
	}
}

type socketView struct {
	Key, ID, Address, Node, Transport, Disconnect string
	Connected                                     template.HTML
	Rooms                                         []string
	MayAct                                        bool
}

func newSocket(v viewer, full string, c *Client) socketView {
	s := socketView{
		Key: key("socket", c.ID), ID: c.ID, Address: c.Address, Node: c.Node, Transport: c.Transport, Rooms: c.Rooms,
		MayAct: v.mayAct, Disconnect: v.act(actionDisconnect, full, c.ID),
	}
	if !c.Connected.IsZero() {
		s.Connected = since(c.Connected)
	}
	return s
}
