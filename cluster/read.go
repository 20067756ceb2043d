package cluster

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dynamicio/dynamicio/lease"
	"github.com/redis/go-redis/v9"
)

// counterField begins the names of counters in a node's record.
const counterField = "count:"

// Overview is the cluster without its namespaces. It is put together from several
// reads, so parts of it may be a moment apart.
type Overview struct {
	Time       time.Time     // Redis's
	Latency    time.Duration // of one round trip to Redis
	Lease      lease.Info
	Era        uint64        // 0: no node has registered yet
	SettledIn  time.Duration // 0: the era is settled
	Asserting  []string      // nodes that have not said yet what they have
	Nodes      []NodeState   // by id
	Namespaces int           // how many there are; in a new era, those forgotten soon included
	Due        int           // how many of them are empty
}

// NodeState is one node as the directory has it.
type NodeState struct {
	ID string
	NodeInfo
	Session      uint64
	TTL          time.Duration
	HeartbeatAge time.Duration // more than TTL: silent, about to be evicted
	Draining     bool
	Namespaces   int              // in which it is a member
	Counters     map[string]int64 // as of its last heartbeat
	Trend        string           // what it last said in [Beat.Trend]
	Notes        []string         // likewise in [Beat.Notes]

	// Rival is where another process is that tried to register as this node, and RivalAge
	// how long ago it did last; 0 if none did.
	Rival    string
	RivalAge time.Duration
}

// Overview reads the state of the cluster, over the client's pool; it needs no session.
func (d *Directory) Overview(ctx context.Context) (Overview, error) {
	o, err := d.overview(ctx)
	if err != nil {
		return Overview{}, &Error{Op: "read", Err: err}
	}
	return o, nil
}

func (d *Directory) overview(ctx context.Context) (Overview, error) {
	k := d.keys
	var o Overview
	start := time.Now()
	now, err := d.client.Eval(ctx, timeScript, []string{k.era}).Int64()
	if err != nil {
		return o, err
	}
	o.Time, o.Latency = time.UnixMicro(now), time.Since(start)
	p := d.client.Pipeline()
	era, beats := p.HMGet(ctx, k.era, "era", "began", "ttl"), p.ZRangeWithScores(ctx, k.nodes, 0, -1)
	asserting := p.SMembers(ctx, k.asserting)
	count, due := p.ZCard(ctx, k.namespaces), p.ZCard(ctx, k.due)
	if _, err := p.Exec(ctx); err != nil {
		return o, err
	}
	if o.Lease, err = lease.Read(ctx, d.client, k.lease); err != nil {
		return o, err
	}
	var settled time.Time
	if o.Era, settled = parseEra(era.Val()); o.Era != 0 {
		o.SettledIn = max(0, settled.Sub(o.Time))
	}
	o.Asserting = asserting.Val()
	slices.Sort(o.Asserting)
	o.Namespaces, o.Due = int(count.Val()), int(due.Val())
	o.Nodes, err = d.nodeStates(ctx, beats.Val(), o.Time)
	return o, err
}

// nodeIDs lists the nodes that are registered.
func (d *Directory) nodeIDs(ctx context.Context) ([]string, error) {
	ids, err := d.client.ZRange(ctx, d.keys.nodes, 0, -1).Result()
	if err != nil {
		return nil, &Error{Op: "read", Err: err}
	}
	return ids, nil
}

// timeScript is TIME, asked where the cluster's keys are: in Redis Cluster the command
// itself would go to any server.
const timeScript = "local t = redis.call('TIME') return t[1] * 1000000 + t[2]"

func (d *Directory) nodeStates(ctx context.Context, beats []redis.Z, now time.Time) ([]NodeState, error) {
	if len(beats) == 0 {
		return nil, nil
	}
	records, sets := make([]*redis.MapStringStringCmd, len(beats)), make([]*redis.IntCmd, len(beats))
	p := d.client.Pipeline()
	for i, z := range beats {
		id, _ := z.Member.(string)
		records[i], sets[i] = p.HGetAll(ctx, d.keys.node(id)), p.SCard(ctx, d.keys.nodeNamespaces(id))
	}
	if _, err := p.Exec(ctx); err != nil {
		return nil, err
	}
	out := make([]NodeState, 0, len(beats))
	for i, z := range beats {
		record := records[i].Val()
		n := parseNode(record)
		if n.Session == 0 {
			continue // gone between the two reads
		}
		if at := number(record["rival_at"]); at != 0 {
			n.Rival, n.RivalAge = record["rival"], max(1, now.Sub(time.UnixMicro(int64(at))))
		}
		n.ID, _ = z.Member.(string)
		n.HeartbeatAge = max(0, now.Sub(time.UnixMicro(int64(z.Score))))
		n.Namespaces = int(sets[i].Val())
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b NodeState) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

func parseNode(record map[string]string) NodeState {
	n := NodeState{Counters: map[string]int64{}}
	for field, v := range record {
		switch field {
		case "session":
			n.Session = number(v)
		case "ttl":
			n.TTL = time.Duration(number(v)) * time.Millisecond
		case "address":
			n.Address = v
		case "version":
			n.Version = v
		case "started":
			n.Started = time.UnixMilli(int64(number(v)))
		case "trend":
			n.Trend = v
		case "bus":
			n.Bus = v
		case "notes":
			n.Notes = strings.FieldsFunc(v, func(r rune) bool { return r == '\n' })
		case "draining":
			n.Draining = v == "1"
		default:
			if name, ok := strings.CutPrefix(field, counterField); ok {
				n.Counters[name], _ = strconv.ParseInt(v, 10, 64)
			}
		}
	}
	return n
}

// NamespaceState is one namespace as the directory has it.
type NamespaceState struct {
	FullName   string
	Epoch      uint64
	Created    time.Time
	Retirement time.Duration
	Permanent  bool           // Retirement does not apply
	Nodes      map[string]int // sockets by node, as of its last count
	Emptied    time.Time      // zero while occupied
	Due        time.Time      // when it may be retired; zero while occupied, and if it is permanent
}

// Sockets is how many sockets all nodes together have in it.
func (n NamespaceState) Sockets() int {
	sum := 0
	for _, v := range n.Nodes {
		sum += v
	}
	return sum
}

// PageQuery says which namespaces to read.
type PageQuery struct {
	Prefix string // of the full name, such as "//host.com/"; empty: all
	Search string // a part of the full name, see [namespace.ContainsFold]; empty: all
	After  string // a full name; those after it, in byte order
	Limit  int    // how many, at most; 0 for 100
}

// Page is a part of all namespaces, by full name.
type Page struct {
	Namespaces []NamespaceState
	Next       string // what to give as After for the next part; empty: this was the last
}

// Namespaces reads a page, over the client's pool; it needs no session. A page may be shorter
// than the limit before the last one, and empty in a search.
func (d *Directory) Namespaces(ctx context.Context, q PageQuery) (Page, error) {
	limit := cmp.Or(q.Limit, 100)
	var page Page
	var names []string
	var err error
	if q.Search != "" {
		names, page.Next, err = d.search(ctx, q, limit)
	} else if names, err = d.names(ctx, q, limit+1); len(names) > limit {
		names = names[:limit]
		page.Next = names[limit-1]
	}
	if err != nil {
		return Page{}, &Error{Op: "read", Err: err}
	}
	page.Namespaces, err = d.states(ctx, names)
	return page, err
}

// names reads up to count full names that q.Prefix and q.After ask for.
func (d *Directory) names(ctx context.Context, q PageQuery, count int) ([]string, error) {
	from, to := q.bounds()
	return d.client.ZRangeByLex(ctx, d.keys.namespaces, &redis.ZRangeBy{Min: from, Max: to, Count: int64(count)}).Result()
}

// bounds is what q.Prefix and q.After ask for as ZRANGEBYLEX takes it.
func (q PageQuery) bounds() (from, to string) {
	from, to = "-", "+"
	if q.Prefix != "" {
		from, to = "["+q.Prefix, behind(q.Prefix)
	}
	if q.After != "" && q.After >= q.Prefix {
		from = "(" + q.After
	}
	return from, to
}

// behind is the end of a lexicographic range that holds what begins with prefix: names
// can have any bytes.
func behind(prefix string) string {
	b := []byte(prefix)
	for len(b) > 0 && b[len(b)-1] == 0xff {
		b = b[:len(b)-1]
	}
	if len(b) == 0 {
		return "+"
	}
	b[len(b)-1]++
	return "(" + string(b)
}

// Namespace reads one namespace; ok is false if it does not stand.
func (d *Directory) Namespace(ctx context.Context, fullName string) (n NamespaceState, ok bool, err error) {
	states, err := d.states(ctx, []string{fullName})
	if err != nil || len(states) == 0 {
		return NamespaceState{}, false, err
	}
	return states[0], true, nil
}

// stateBatch is how many namespaces are read in one write: Redis has other things to do
// in between.
const stateBatch = 200

// states reads namespaces, and leaves out those that do not stand in the present era.
func (d *Directory) states(ctx context.Context, names []string) ([]NamespaceState, error) {
	out := make([]NamespaceState, 0, len(names))
	hashes := make([]*redis.MapStringStringCmd, min(len(names), stateBatch))
	for len(names) > 0 {
		n := min(len(names), stateBatch)
		p := d.client.Pipeline()
		e := p.HMGet(ctx, d.keys.era, "era", "began", "ttl")
		for i, name := range names[:n] {
			hashes[i] = p.HGetAll(ctx, d.keys.ns(name))
		}
		if _, err := p.Exec(ctx); err != nil {
			return nil, &Error{Op: "read", Err: err}
		}
		era, settled := parseEra(e.Val())
		for i, name := range names[:n] {
			if h := hashes[i].Val(); era != 0 && number(h["era"]) == era {
				out = append(out, parseNamespace(name, h, settled))
			}
		}
		names = names[n:]
	}
	return out, nil
}

// parseEra reads the fields era, began and ttl of its record; the era is 0 if there is none.
func parseEra(v []any) (era uint64, settled time.Time) {
	if len(v) != 3 {
		return 0, time.Time{}
	}
	return number(v[0]), time.UnixMicro(int64(number(v[1]))).Add(time.Duration(number(v[2])) * time.Millisecond)
}

func parseNamespace(name string, h map[string]string, settled time.Time) NamespaceState {
	n := NamespaceState{
		FullName: name, Epoch: number(h["epoch"]), Created: time.UnixMicro(int64(number(h["created"]))),
		Nodes: map[string]int{},
	}
	if ms, _ := strconv.ParseInt(h["retirement"], 10, 64); ms < 0 {
		n.Permanent = true
	} else {
		n.Retirement = time.Duration(ms) * time.Millisecond
	}
	if v, ok := h["emptied"]; ok {
		n.Emptied = time.UnixMicro(int64(number(v)))
		if !n.Permanent { // as common.lua has it
			n.Due = later(n.Emptied, settled).Add(n.Retirement)
			if v, ok := h["dismissed"]; ok {
				n.Due = later(time.UnixMicro(int64(number(v))), settled)
			}
		}
	}
	for field, v := range h {
		if node, ok := strings.CutPrefix(field, "@"); ok {
			_, sockets, _ := strings.Cut(v, " ")
			n.Nodes[node], _ = strconv.Atoi(sockets)
		}
	}
	return n
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// number reads what a script wrote; anything else is 0.
func number(v any) uint64 {
	s, _ := v.(string)
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}
