package cluster

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/redis/go-redis/v9"
)

// Bounds of what a look at many namespaces reads at a time, and in all. Names are
// some 30 bytes, and Redis reads a thousand in less than half a millisecond.
const (
	searchChunk = 1000
	searchAtAll = 200_000
	dueChunk    = 1000
	dueAtAll    = 20_000
)

// search reads names until limit of them have q.Search in them. next is the last name looked at,
// empty if there are no more.
func (d *Directory) search(ctx context.Context, q PageQuery, limit int) (found []string, next string, err error) {
	part := strings.ToLower(q.Search) // once: it may be long, and the names are many
	for looked := 0; looked < searchAtAll; {
		names, err := d.names(ctx, q, searchChunk)
		if err != nil {
			if looked > 0 && ctx.Err() != nil {
				return found, q.After, nil // the time is over; the search can go on from here
			}
			return nil, "", err
		}
		for _, name := range names {
			if namespace.ContainsFold(name, part) {
				if len(found) == limit {
					return found, found[limit-1], nil
				}
				found = append(found, name)
			}
		}
		if len(names) < searchChunk {
			return found, "", nil
		}
		q.After = names[len(names)-1]
		looked += len(names)
	}
	return found, q.After, nil
}

// Due is an empty namespace and when it may be retired.
type Due struct {
	FullName string
	At       time.Time
}

// Expiring reads the count namespaces that are due next, the soonest first, of those whose
// full name begins with prefix. With a prefix it looks at the next 20,000 of all, at
// most. It goes over the client's pool and needs no session.
func (d *Directory) Expiring(ctx context.Context, prefix string, count int) ([]Due, error) {
	chunk := int64(count)
	if prefix != "" {
		chunk = dueChunk
	}
	out := make([]Due, 0, count)
	for from := int64(0); from < dueAtAll; from += chunk {
		next, err := d.client.ZRangeWithScores(ctx, d.keys.due, from, from+chunk-1).Result()
		if err != nil {
			return nil, &Error{Op: "read", Err: err}
		}
		for _, z := range next {
			name, _ := z.Member.(string)
			if !strings.HasPrefix(name, prefix) {
				continue
			}
			if out = append(out, Due{name, time.UnixMicro(int64(z.Score))}); len(out) == count {
				return out, nil
			}
		}
		if int64(len(next)) < chunk || prefix == "" {
			break
		}
	}
	return out, nil
}

// Tally counts what some namespaces have.
type Tally struct {
	Namespaces int
	Empty      int                  // of these, wait for their retirement
	Nodes      map[string]NodeTally // of the nodes that are in any of them
}

// NodeTally is a node's part in a [Tally].
type NodeTally struct {
	Namespaces, Sockets int
}

// Tally counts the namespaces whose full name begins with prefix, in Redis, by a hundred at a
// time. It goes over the client's pool and needs no session.
func (d *Directory) Tally(ctx context.Context, prefix string) (Tally, error) {
	t := Tally{Nodes: make(map[string]NodeTally)}
	for q := (PageQuery{Prefix: prefix}); ; {
		from, to := q.bounds()
		res, err := d.eval(ctx, tallyScript, []string{d.keys.era, d.keys.namespaces}, from, to, maxWork, d.keys.nsPrefix).Slice()
		if err == nil {
			q.After, err = t.add(res)
		}
		if err != nil {
			return t, &Error{Op: "tally", Err: err}
		}
		if q.After == "" {
			return t, nil
		}
	}
}

// add takes what the script answered and returns where it stopped.
func (t *Tally) add(res []any) (last string, err error) {
	if len(res) < 3 || len(res)%3 != 0 {
		return "", fmt.Errorf("the script says %v", res)
	}
	last, _ = res[0].(string)
	n, _ := res[1].(int64)
	empty, _ := res[2].(int64)
	t.Namespaces, t.Empty = t.Namespaces+int(n), t.Empty+int(empty)
	for res = res[3:]; len(res) > 0; res = res[3:] {
		id, _ := res[0].(string)
		spaces, _ := res[1].(int64)
		sockets, _ := res[2].(int64)
		was := t.Nodes[id]
		t.Nodes[id] = NodeTally{was.Namespaces + int(spaces), was.Sockets + int(sockets)}
	}
	return last, nil
}

// eval runs a script that needs no session, over the client's pool.
func (d *Directory) eval(ctx context.Context, s *script, keys []string, args ...any) *redis.Cmd {
	cmd := d.client.EvalSha(ctx, s.sha, keys, args...)
	if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") { // the first one since the server started
		cmd = d.client.Eval(ctx, s.source, keys, args...)
	}
	return cmd
}
