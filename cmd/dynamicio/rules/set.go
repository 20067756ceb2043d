package rules

import (
	"fmt"
	"regexp"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
)

// Set is what a configuration says about namespaces. Without any rules it
// allows everything, on every host. It must not be changed once it is used.
type Set struct {
	// Rules are tried from the first to the last; the first that matches a
	// namespace decides. Where there are rules, a namespace that none of them
	// matches is refused; with no rules at all, everything is allowed.
	Rules []*Rule
	// Retirement is how long a namespace stays empty whose rule does not say it.
	Retirement time.Duration
	// Hosts says which hosts are other names of one.
	Hosts Hosts
}

// Rule says what clients may do in the namespaces that it matches.
type Rule struct {
	// Match is compared with the namespace's name as clients call it.
	Match namespace.Pattern
	// Host is compared with its virtual host, unless AnyHost. An exact one
	// without a port is for all ports; [MainHost] is for the main host.
	Host    namespace.Pattern
	AnyHost bool

	// Refuse keeps everybody out; nothing else counts then.
	Refuse bool
	// Retirement is how long the namespace stays empty before it is retired;
	// [namespace.Never] for good, nil for that of the set.
	Retirement *time.Duration
	// Connect says what a client must present; nil: nothing.
	Connect *Connect
	// Allow says what a client may do. Its zero value is nothing.
	Allow Allow
	// Limits bound what it may do; in each, 0 is no bound.
	Limits Limits
	// Said are the keys of these that the configuration has.
	Said Said
}

// Limits bound a namespace and its clients on this node.
type Limits struct {
	Sockets         int     // in the namespace
	Rooms           int     // of one socket
	EventsPerSecond float64 // of one socket
	EventsBurst     int     // how many it may send at once; 0: as many as in a second
	EventBytes      int     // of one event: its arguments and attachments
}

// Allow says which events a client may send.
type Allow struct {
	Broadcast, Leave, Echo bool
	Join, To               Rooms
}

// AllowAll allows everything.
func AllowAll() Allow {
	return Allow{Broadcast: true, Leave: true, Echo: true, Join: AnyRoom(), To: AnyRoom()}
}

// open is the rule of a node without rules.
var open = &Rule{AnyHost: true, Allow: AllowAll()}

// Verbs are the events that a client may send.
var Verbs = []string{"broadcast", "to", "join", "leave", "echo"}

// MainHost matches what is on no virtual host but the main one.
var MainHost = namespace.Regexp(regexp.MustCompile(`^$`))

// find returns the rule for a namespace, nil if it is refused.
func (s *Set) find(host, name string) *Rule {
	if len(s.Rules) == 0 {
		return open
	}
	for _, r := range s.Rules {
		if !r.onHost(host) {
			continue
		}
		if r.Match.Matches(name) {
			if r.Refuse {
				return nil
			}
			return r
		}
	}
	return nil
}

// onHost reports whether the rule is for a host.
func (r *Rule) onHost(host string) bool {
	if r.AnyHost || r.Host.Matches(host) {
		return true
	}
	exact, ok := r.exactHost()
	return ok && !hasPort(exact) && withoutPort(host) == exact
}

// Unreachable is a rule that can never decide.
type Unreachable struct {
	Rule int // its index
	Why  error
}

// Unreachable finds the rules that can never decide, because an earlier one
// decides all that they match, or because their host is an alias or the main
// one, as main says.
func (s *Set) Unreachable(main namespace.Pattern) (found []Unreachable) {
	seen := make(map[[2]string]int)
	everything := -1
	for i, r := range s.Rules {
		key := [2]string{"*", r.Match.String()}
		if !r.AnyHost {
			key[0] = r.Host.String()
		}
		before, twice := seen[key]
		var why error
		switch {
		case everything >= 0:
			why = fmt.Errorf("is never reached: namespaces[%d] matches everything before it", everything)
		case twice:
			why = fmt.Errorf("is never reached: namespaces[%d] matches the same", before)
		default:
			seen[key] = i
			why = s.wrongHost(r, main)
		}
		if why != nil {
			found = append(found, Unreachable{i, why})
		} else if r.AnyHost && r.Match == namespace.All {
			everything = i
		}
	}
	return found
}

// wrongHost says why no namespace is ever on the host of a rule, if that is known.
func (s *Set) wrongHost(r *Rule, main namespace.Pattern) error {
	host := r.Host.String()
	if r.AnyHost || host == MainHost.String() {
		return nil
	}
	if main == namespace.All {
		return fmt.Errorf(`is for the host %s, but every host is the main one: set the key host, now "*", to the main one's name`, host)
	}
	exact, ok := r.exactHost()
	if ok && main.Matches(exact) {
		return fmt.Errorf(`is for the host %s, which is the main one: write host: ""`, host)
	}
	if of := s.Hosts.Canonical(exact); ok && of != exact {
		return fmt.Errorf("is for the host %s, which is an alias of %s: write that", host, of)
	}
	return nil
}

// exactHost returns the one host that the rule is for, if it is one.
func (r *Rule) exactHost() (string, bool) {
	s := r.Host.String()
	exact := r.Host == namespace.Exact(s) && s != "*" && s != "true"
	return s, exact
}
