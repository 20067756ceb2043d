package rules

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/dynamicio/dynamicio/namespace"
)

// Said are the keys that a rule has, be it to say that they restrict nothing:
// what is left out may have been lost, what is written was meant.
type Said struct{ Refuse, Connect, Allow, Limits bool }

// Widening is a rule under which clients may do more than before although it
// does not say so.
type Widening struct {
	Rule int // its index; -1 if there are no rules any more
	Why  error
}

// Open reports whether anybody may do everything in every namespace.
func (s *Set) Open() bool {
	for _, r := range s.Rules {
		if r.Refuse || !r.Anybody() || !r.Allow.everything() || r.Limits != (Limits{}) {
			return false
		}
		if r.AnyHost && r.Match == namespace.All {
			return true
		}
	}
	return len(s.Rules) == 0
}

// Anybody reports whether clients need not present anything.
func (r *Rule) Anybody() bool { return !r.Refuse && r.Connect == nil }

func (a Allow) everything() bool {
	return a.Broadcast && a.Leave && a.Echo && a.Join.any() && a.To.any()
}

// any reports whether every room is meant by an entry of its own.
func (r Rooms) any() bool {
	for _, p := range r.list {
		if p.template == nil && p.pattern == namespace.All {
			return true
		}
	}
	return false
}

// WidenedSince finds what the set before asked of clients or forbade them, and
// this one does not mention: the rule was cut off, or a line lost. It compares
// the rules that decide about the same pattern, or about a name that one of the
// sets has. A namespace that no rule was for is new, and no widening.
func (s *Set) WidenedSince(before *Set) (found []Widening) {
	if len(s.Rules) == 0 {
		if before.Open() {
			return nil
		}
		return []Widening{{-1, fmt.Errorf(`has no rules, where %d were in force: every namespace would be open to everybody. If that is meant, write - {match: "*", connect: none, allow: all}`, len(before.Rules))}}
	}
	told := make(map[int]bool)
	compare := func(of *Rule) {
		old, now := before.covering(of), s.covering(of)
		if old < 0 || now < 0 || told[now] {
			return
		}
		if why := before.Rules[old].lost(s.Rules[now]); why != nil {
			told[now] = true
			found = append(found, Widening{now, why})
		}
	}
	for _, r := range before.Rules {
		compare(r)
	}
	for _, r := range s.Rules {
		compare(r)
	}
	return found
}

// covering returns the first rule that decides about all that another matches,
// -1 if there is none.
func (s *Set) covering(of *Rule) int {
	for i, r := range s.Rules {
		if r.coversHost(of) && r.coversMatch(of) {
			return i
		}
	}
	return -1
}

func (r *Rule) coversMatch(of *Rule) bool {
	name := of.Match.String()
	if r.Match == namespace.All || r.Match.String() == name {
		return true
	}
	return of.Match == namespace.Exact(name) && r.Match.Matches(name)
}

func (r *Rule) coversHost(of *Rule) bool {
	switch {
	case r.AnyHost:
		return true
	case of.AnyHost:
		return false
	case r.Host.String() == of.Host.String():
		return true
	case of.Host.String() == MainHost.String():
		return r.onHost("")
	}
	exact, ok := of.exactHost()
	return ok && r.onHost(exact)
}

// lost says which restriction of a rule another one, in its place, neither has
// nor gives up in words.
func (r *Rule) lost(now *Rule) error {
	switch {
	case now.Refuse:
		return nil
	case r.Refuse && !now.Said.Refuse:
		return errors.New("lets clients in where it refused them; if that is meant, write refuse: false")
	case r.Connect != nil && now.Connect == nil && !now.Said.Connect:
		return errors.New("asks for no token any more; if that is meant, write connect: none")
	case !r.Refuse && !r.Allow.everything() && !now.Said.Allow:
		return errors.New("allows everything, where it said what is allowed; if that is meant, write allow: all")
	}
	if demand := r.Connect.lost(now.Connect); demand != "" {
		return fmt.Errorf("has connect.jwt without the %s that it had; a restart puts that in force", demand)
	}
	if now.Said.Limits && now.Limits == (Limits{}) {
		return nil // none
	}
	if limit := r.Limits.lost(now.Limits); limit != "" {
		return fmt.Errorf("has no limit of %s any more; if that is meant, write a very large one, or limits: none", limit)
	}
	return nil
}

// lost returns a limit that other limits do not have.
func (l Limits) lost(now Limits) string {
	for _, limit := range []struct {
		key      string
		old, now float64
	}{
		{"sockets", float64(l.Sockets), float64(now.Sockets)},
		{"rooms", float64(l.Rooms), float64(now.Rooms)},
		{"events-per-second", l.EventsPerSecond, now.EventsPerSecond},
		{"event-bytes", float64(l.EventBytes), float64(now.EventBytes)},
	} {
		if limit.old > 0 && limit.now == 0 {
			return limit.key
		}
	}
	return ""
}

// lost returns what every JWT had to have, and one need not have under now.
func (c *Connect) lost(now *Connect) string {
	if !c.HasClaims() || now == nil {
		return ""
	}
	for _, demand := range c.jwts[0].demands {
		everywhere := !slices.ContainsFunc(c.jwts, func(j *JWT) bool { return !slices.Contains(j.demands, demand) })
		missing := slices.ContainsFunc(now.jwts, func(j *JWT) bool { return !slices.Contains(j.demands, demand) })
		if everywhere && missing {
			return demand
		}
	}
	return ""
}

// demands names what the options ask of a token beside its signature.
func (o *JWTOptions) demands() (names []string) {
	if o.Issuer != "" {
		names = append(names, "issuer")
	}
	if o.Audience != "" {
		names = append(names, "audience")
	}
	for _, claim := range slices.Sorted(maps.Keys(o.Require)) {
		names = append(names, "require."+claim)
	}
	return names
}
