package status

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Report is status.json. Its field names are a contract with programs.
type Report struct {
	Cluster    string      `json:"cluster"`
	Time       time.Time   `json:"time"`
	Node       string      `json:"node"` // the node that answers
	Redis      Redis       `json:"redis"`
	Lease      Lease       `json:"lease"`
	Nodes      []Node      `json:"nodes"`
	Totals     Totals      `json:"totals"`
	Namespaces []Namespace `json:"namespaces"` // by full name, in byte order, as Redis pages
	Next       string      `json:"next"`       // the cursor of the next page; empty on the last
	Missing    []string    `json:"missing,omitempty"`

	Problems []string   `json:"problems"` // what is not as it should be, in words; empty if all is well
	Notes    []string   `json:"notes"`    // what is worth knowing and passes by itself, likewise
	Expiring []Expiring `json:"expiring"` // the empty namespaces that retire next, soonest first
	Retired  []Retired  `json:"retired"`  // those retired last, latest first, as this node heard of it
}

// Expiring is an empty namespace that is about to retire.
type Expiring struct {
	FullName    string `json:"fullname"`
	ExpiresInMS int64  `json:"expires_in_ms"` // negative: is due, and waits for the lease holder
}

// Retired is an incarnation of a namespace that was retired cluster-wide.
type Retired struct {
	FullName string    `json:"fullname"`
	Epoch    uint64    `json:"epoch"`
	Time     time.Time `json:"time"`
}

// Redis is the state of the connection to Redis.
type Redis struct {
	OK        bool    `json:"ok"`
	LatencyMS float64 `json:"latency_ms"`
	// Alone: there is none, and OK says nothing.
	Alone bool `json:"alone,omitempty"`
}

// Lease says who decides retirements.
type Lease struct {
	Holder string `json:"holder"`
	Token  uint64 `json:"token"`
	TTLMS  int64  `json:"ttl_ms"`
	HeldMS int64  `json:"held_ms"` // for how long the holder has had it
}

// Node is one node of the cluster.
type Node struct {
	ID             string    `json:"id"`
	Address        string    `json:"address"`
	Version        string    `json:"version"`
	Started        time.Time `json:"started"`
	HeartbeatAgeMS int64     `json:"heartbeat_age_ms"`
	Draining       bool      `json:"draining"`
	Silent         bool      `json:"silent"`     // its last heartbeat is too old: what it says of itself may not hold any more
	Sockets        int       `json:"sockets"`    // as of its last heartbeat
	Namespaces     int       `json:"namespaces"` // in which the node has sockets

	EventsPerSecond     float64 `json:"events_per_second"`     // received from clients
	DeliveriesPerSecond float64 `json:"deliveries_per_second"` // events queued for clients
	SlowClosed          int64   `json:"slow_closed"`           // clients closed as too slow, since the node started
	Trend               *Trend  `json:"trend,omitempty"`       // if asked for, and known
}

// Trend is what a node did in the last minutes: one value for each step, the
// latest last. The slices are of one length.
type Trend struct {
	StepMS     int64   `json:"step_ms"`
	Sockets    []int64 `json:"sockets"`
	Events     []int64 `json:"events"`     // a second, received from clients
	Deliveries []int64 `json:"deliveries"` // a second
}

// silentAfter is how old the heartbeat of a node is when it counts as silent:
// one comes every second, so one is missing and another is late.
const silentAfter = 2 * time.Second

// silent reports whether the node's last heartbeat is too old. A report of an older version says it by the age alone.
func (n Node) silent() bool {
	return n.Silent || time.Duration(n.HeartbeatAgeMS)*time.Millisecond > silentAfter
}

// State says in a word how the node is: up, draining or silent.
func (n Node) State() string {
	switch {
	case n.silent():
		return "silent"
	case n.Draining:
		return "draining"
	}
	return "up"
}

// Totals counts over the whole cluster.
type Totals struct {
	Nodes      int `json:"nodes"`
	Namespaces int `json:"namespaces"`
	Sockets    int `json:"sockets"` // of the nodes that are not silent
	// SilentSockets are those that silent nodes had when they were heard last.
	SilentSockets int `json:"silent_sockets"`

	Empty               int     `json:"empty"` // namespaces without a socket
	EventsPerSecond     float64 `json:"events_per_second"`
	DeliveriesPerSecond float64 `json:"deliveries_per_second"`
	SlowClosed          int64   `json:"slow_closed"`
}

// Namespace is one live namespace.
type Namespace struct {
	FullName     string         `json:"fullname"`
	Host         string         `json:"host"`
	Name         string         `json:"name"`
	Epoch        uint64         `json:"epoch"`
	Permanent    bool           `json:"permanent"`
	Sockets      int            `json:"sockets"`          // on the nodes that are not silent
	Silent       int            `json:"silent_sockets"`   // on those that are, as they said last
	Nodes        map[string]int `json:"nodes"`            // sockets by node, silent ones included
	RetirementMS *int64         `json:"retirement_ms"`    // null for a permanent one
	Emptied      *time.Time     `json:"emptied"`          // null while occupied
	ExpiresInMS  *int64         `json:"expires_in_ms"`    // null if it has no end in sight
	Rooms        []Room         `json:"rooms,omitzero"`   // of the namespace asked for; else left out
	Clients      []Client       `json:"clients,omitzero"` // likewise
}

// Room is one room of a namespace.
type Room struct {
	Name    string `json:"name"`
	Sockets int    `json:"sockets"`
}

// Client is one socket of a namespace.
type Client struct {
	ID        string    `json:"id"`
	Node      string    `json:"node"`
	Address   string    `json:"address"`
	Transport string    `json:"transport"`
	Connected time.Time `json:"connected"`
	Rooms     []string  `json:"rooms"` // its own excluded

	// Session says that the id is the session id of the connection, too, as with clients
	// of Socket.IO v2: who knows it can take the connection over.
	Session bool `json:"-"`
}

// Occupied reports whether some node has, or had when it was heard last, sockets in the namespace.
func (n *Namespace) Occupied() bool { return n.Sockets+n.Silent > 0 }

// setLife fills in what says how long a namespace has to live: if it is empty, until due.
func (n *Namespace) setLife(retirement time.Duration, emptied, due, now time.Time) {
	if !n.Permanent {
		ms := retirement.Milliseconds()
		n.RetirementMS = &ms
	}
	if emptied.IsZero() || n.Occupied() {
		return
	}
	n.Emptied = &emptied
	if !n.Permanent {
		left := due.Sub(now).Milliseconds()
		n.ExpiresInMS = &left
	}
}

// Limits of one page of namespaces.
const (
	DefaultLimit = 1000
	MaxLimit     = 10000
	// MaxParameter bounds the parameters that are names or parts of them, in bytes. A page
	// repeats them in the links of each of its rows.
	MaxParameter = 1024
)

// Query says which part of a report is asked for.
type Query struct {
	Limit     int    // namespaces on the page
	After     string // full name after which the page begins; empty: from the start
	Namespace string // full name of the one namespace to show in detail; empty: all
	Search    string // part of a full name that all on the page contain; empty: all
	Trend     bool   // whether the nodes' trends are wanted

	// Host limits the report to one virtual host; empty: the main host, which
	// sees all. It is not the asker's to choose.
	Host string
	// Visitor says that the asker has not presented the token.
	Visitor bool
	// Detailed asks for rooms and sockets of every namespace on the page.
	Detailed bool
}

// ParseQuery reads the parameters limit, after, namespace, q and trend of a request.
func ParseQuery(r *http.Request) (Query, error) {
	v := r.URL.Query()
	q := Query{Limit: DefaultLimit, After: v.Get("after"), Namespace: v.Get("namespace"), Search: v.Get("q"), Trend: v.Get("trend") == "true"}
	if text := v.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > MaxLimit {
			return q, fmt.Errorf("status: limit is %q, must be a number from 1 to %d", text, MaxLimit)
		}
		q.Limit = n
	}
	for name, text := range map[string]string{"after": q.After, "namespace": q.Namespace, "q": q.Search} {
		if len(text) > MaxParameter {
			return q, fmt.Errorf("status: %s has %d bytes, at most %d are allowed", name, len(text), MaxParameter)
		}
	}
	return q, nil
}

// Page reports whether a full name belongs on the page asked for, so far as
// order goes: it comes after the cursor.
func (q Query) Page(full string) bool {
	return full > q.After
}

// WriteJSON answers with the report.
func (r *Report) WriteJSON(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff") // names in it may look like HTML
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}
