package config

import (
	"errors"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/dynamicio/dynamicio/cmd/dynamicio/rules"
	"github.com/dynamicio/dynamicio/namespace"
)

// ruleReader reads one entry of "namespaces".
type ruleReader struct {
	*reader
	rule  *rules.Rule
	login loginReader
}

func newRuleReader(r *reader) *ruleReader {
	return &ruleReader{
		reader: r,
		rule:   &rules.Rule{AnyHost: true, Allow: rules.AllowAll()},
		login:  loginReader{reader: r},
	}
}

// read reads a rule, nil if something is wrong with it.
func (r *ruleReader) read(path string, n *yaml.Node) *rules.Rule {
	before := len(r.errs)
	there := r.mapping(path, n, r.fields())
	if len(r.errs) > before {
		return nil
	}
	if there["match"] == nil {
		r.fail(n, path, `has no match: which namespaces it is for ("*" is all)`)
	}
	for _, key := range []string{"retirement", "connect", "allow", "limits"} {
		if at := there[key]; r.rule.Refuse && at != nil {
			r.fail(at, join(path, key), "makes no sense beside refuse: true")
		}
	}
	r.rule.Said = rules.Said{
		Refuse: there["refuse"] != nil, Connect: there["connect"] != nil,
		Allow: there["allow"] != nil, Limits: there["limits"] != nil,
	}
	r.needClaims(path, there["allow"])
	if one, other, found := rules.Ambiguous(r.rule.Allow.Join, r.rule.Allow.To); found {
		r.fail(there["allow"], join(path, "allow"), "has %q and %q, which can be the same room for the claims of different clients; begin them differently",
			shorten(one), shorten(other))
	}
	if len(r.errs) > before {
		return nil
	}
	return r.rule
}

// needClaims refuses templates of rooms where nobody presents any claims.
func (r *ruleReader) needClaims(path string, at *yaml.Node) {
	if at == nil || r.rule.Connect.HasClaims() {
		return
	}
	for _, verb := range []struct {
		name  string
		rooms rules.Rooms
	}{{"join", r.rule.Allow.Join}, {"to", r.rule.Allow.To}} {
		if template, ok := verb.rooms.Template(); ok {
			r.fail(at, join(path, "allow."+verb.name), "has %q, but without connect.jwt clients have no claims", shorten(template))
		}
	}
}

func (r *ruleReader) fields() []field {
	rule := r.rule
	return []field{
		{key: "match", sample: `/^\/chat\/[a-z]+$/`, read: r.match, help: `which namespaces, by the name that clients use: an exact name such as /chat, "*" for all,
or /^a regular expression/, which must begin with ^; without a $ at its end it is for all
names that begin so`},
		{key: "host", sample: `"*"`, read: r.host, help: `on which virtual host: a name (without a port: on all ports), "*" for any, "" for the main
host, or /a regular expression/ with ^ or $ or both`},
		{key: "refuse", sample: "false", read: r.boolean(&rule.Refuse), help: "true keeps everybody out"},
		{key: "retirement", sample: "30s", read: r.retirement, help: "how long it stays empty before it is retired, or never (default: the retirement above)"},
		{key: "connect", read: r.connect, fields: r.login.fields(), help: `what a client must present, as auth: {token: ...}; a token of the list or a JWT (default: none).
Clients of Socket.IO v2 can present nothing`},
		{key: "allow", read: r.allow, fields: r.allowFields(), help: `what a client may do, as here or as a list such as [echo, join]; what is not there is not
allowed (default: all). Rooms are exact names, "*", /^regular expressions/, or
names such as user-{sub}, where {sub} is that claim of the client's JWT. Of several claims
in a name none may have in it what stands between them, as in team:{team}:{role}`},
		{key: "limits", read: r.limits, fields: r.limitFields(), help: "bounds, each on every node by itself (default: none but the node's own)"},
	}
}

// ruleKeys are the keys of a rule.
func ruleKeys() []string {
	var keys []string
	for _, f := range newRuleReader(&reader{}).fields() {
		keys = append(keys, f.key)
	}
	return keys
}

func (r *ruleReader) match(path string, n *yaml.Node) {
	v, ok := r.scalar(path, n, "a pattern")
	if !ok {
		return
	}
	p, err := rules.ParseMatch(v.Value)
	if err != nil {
		r.fail(n, path, "is %s: %v", describe(v), err)
	}
	r.rule.Match = p
}

func (r *ruleReader) host(path string, n *yaml.Node) {
	v, ok := r.scalar(path, n, "a pattern")
	if !ok {
		return
	}
	switch v.Value {
	case "":
		r.rule.AnyHost, r.rule.Host = false, rules.MainHost
		return
	case "true", "false":
		r.fail(n, path, `is %s, want a host name, "*", "" or /a regular expression/`, describe(v))
		return
	}
	p, err := namespace.ParsePattern(v.Value)
	if err == nil {
		p, err = p.NormalizeHost(false)
	}
	if err != nil {
		hint := ""
		if wrong, ok := errors.AsType[*syntax.Error](err); ok {
			hint = ": " + wrong.Error()
		} else if strings.HasPrefix(v.Value, "*.") {
			hint = `; all names below one are /\.example\.com$/`
		}
		r.fail(n, path, `is %s, want a host name, "*", "" or /a regular expression/%s`, describe(v), hint)
		return
	}
	if start, end := rules.Anchored(v.Value); v.Value[0] == '/' && !start && !end {
		r.fail(n, path, "is %s, which matches anywhere in a host name, that of a stranger too; begin it with ^ or end it with $", describe(v))
		return
	}
	r.rule.Host, r.rule.AnyHost = p, p == namespace.All
	r.port(n, path, p.String())
}

func (r *ruleReader) retirement(path string, n *yaml.Node) {
	d := new(time.Duration)
	r.rule.Retirement = d
	if v, ok := r.resolve(path, n); ok && v.Kind == yaml.ScalarNode && v.Value == "never" {
		*d = namespace.Never
		return
	}
	r.durationOr(d, ", or never")(path, n)
}

func (r *ruleReader) connect(path string, n *yaml.Node) {
	if r.isWord(n, "none") {
		return
	}
	r.secrets = true
	defer func() { r.secrets = false }()
	r.rule.Connect = r.login.read(path, n)
}

// isWord reports whether a value is the word that stands for no restriction.
func (r *ruleReader) isWord(n *yaml.Node, word string) bool {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n.Kind == yaml.ScalarNode && n.Tag == "!!str" && n.Value == word
}

func (r *ruleReader) limitFields() []field {
	limits := &r.rule.Limits
	return []field{
		{key: "sockets", sample: "1000", read: r.count(&limits.Sockets), help: "sockets in the namespace"},
		{key: "rooms", sample: "20", read: r.count(&limits.Rooms), help: "rooms of one socket"},
		{key: "events-per-second", sample: "50", read: r.rate(&limits.EventsPerSecond), help: "events of one socket"},
		{key: "events-burst", sample: "100", read: r.count(&limits.EventsBurst), help: "how many it may send at once (default: those of one second)"},
		{key: "event-bytes", sample: "65536", read: r.count(&limits.EventBytes), help: "arguments and attachments of one event"},
	}
}

func (r *ruleReader) limits(path string, n *yaml.Node) {
	if r.isWord(n, "none") {
		return
	}
	there := r.mapping(path, n, r.limitFields())
	if at := there["events-burst"]; at != nil && there["events-per-second"] == nil {
		r.fail(at, join(path, "events-burst"), "needs events-per-second beside it")
	}
}

func (r *ruleReader) allowFields() []field {
	allow := &r.rule.Allow
	return []field{
		{key: "broadcast", sample: "true", read: r.boolean(&allow.Broadcast), help: "send to all"},
		{key: "echo", sample: "true", read: r.boolean(&allow.Echo), help: "have its arguments sent back"},
		{key: "leave", sample: "true", read: r.boolean(&allow.Leave), help: "leave rooms"},
		{key: "join", sample: `["lobby", "user-{sub}"]`, read: r.rooms(&allow.Join), help: "join rooms: true for all, or these"},
		{key: "to", sample: `["lobby", "/^user-/"]`, read: r.rooms(&allow.To), help: "send to rooms: true for all, or these"},
	}
}

// allow reads a list of verbs, or a mapping that says more of each.
func (r *ruleReader) allow(path string, n *yaml.Node) {
	if r.isWord(n, "all") {
		return // as it is by default
	}
	r.rule.Allow = rules.Allow{}
	v, ok := r.resolve(path, n)
	if !ok {
		return
	}
	if v.Kind == yaml.MappingNode {
		r.mapping(path, n, r.allowFields())
		return
	}
	if v.Kind != yaml.SequenceNode {
		r.fail(n, path, "is %s, want a list of verbs such as [echo, join], or a mapping of them", describe(v))
		return
	}
	allow := &r.rule.Allow
	r.sequence(path, n, func(path string, n *yaml.Node) {
		verb, ok := r.scalar(path, n, "a verb")
		if !ok {
			return
		}
		switch verb.Value {
		case "broadcast":
			allow.Broadcast = true
		case "echo":
			allow.Echo = true
		case "leave":
			allow.Leave = true
		case "join":
			allow.Join = rules.AnyRoom()
		case "to":
			allow.To = rules.AnyRoom()
		default:
			hint := "; there is " + strings.Join(rules.Verbs, ", ")
			if near := Nearest(verb.Value, rules.Verbs); near != "" {
				hint = "; did you mean " + near + "?"
			}
			r.fail(n, path, "is %s, which is no verb%s", describe(verb), hint)
		}
	})
}

// yesAndNo were booleans in YAML 1.1, and are hardly meant to be rooms.
var yesAndNo = []string{"yes", "no", "on", "off"}

// rooms reads true, false, or a list of rooms.
func (r *ruleReader) rooms(into *rules.Rooms) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		v, ok := r.resolve(path, n)
		if !ok {
			return
		}
		if v.Kind == yaml.ScalarNode && v.Tag == "!!bool" {
			if strings.EqualFold(v.Value, "true") {
				*into = rules.AnyRoom()
			}
			return
		}
		if v.Kind == yaml.ScalarNode && v.Style == 0 && slices.Contains(yesAndNo, strings.ToLower(v.Value)) {
			r.fail(n, path, "is %s, want true, false or a list of rooms", describe(v))
			return
		}
		r.sequence(path, n, func(path string, n *yaml.Node) {
			room, ok := r.scalar(path, n, "a room")
			if !ok {
				return
			}
			if err := into.Add(room.Value); err != nil {
				r.fail(n, path, "is %s: %v", describe(room), err)
			}
		})
	}
}

// hosts reads the aliases of hosts. Canonical names go first, wherever they
// stand: an alias may not be one of them.
func (r *reader) hosts(path string, n *yaml.Node, into *rules.Hosts) {
	type entry struct {
		canonical, path string
		aliases         *yaml.Node
	}
	var entries []entry
	r.pairs(path, n, "a mapping of host names to their aliases", func(key, value *yaml.Node) {
		at := join(path, quoteKey(key.Value))
		canonical, err := into.AddCanonical(key.Value)
		if err != nil {
			r.fail(key, at, "%v", err)
			return
		}
		r.port(key, at, canonical)
		entries = append(entries, entry{canonical, at, value})
	})
	for _, e := range entries {
		r.sequence(e.path, e.aliases, func(path string, n *yaml.Node) {
			alias, ok := r.scalar(path, n, "a host name")
			if !ok {
				return
			}
			if err := into.AddAlias(e.canonical, alias.Value); err != nil {
				r.fail(n, path, "is %s: %v", describe(alias), err)
				return
			}
			r.port(n, path, alias.Value)
		})
	}
}
