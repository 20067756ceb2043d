package rules

import (
	"errors"
	"regexp"
	"strings"

	"github.com/dynamicio/dynamicio/namespace"
)

// Rooms says which rooms are meant. Its zero value means none.
type Rooms struct {
	list []roomPattern
}

// roomPattern is a pattern, or parts of text with the names of claims between
// them: text, claim, text, ..., text.
type roomPattern struct {
	pattern  namespace.Pattern
	template []string
}

// AnyRoom means every room.
func AnyRoom() Rooms { return Rooms{[]roomPattern{{pattern: namespace.All}}} }

// claimName is what may stand between the braces of a template.
var claimName = regexp.MustCompile(`^[A-Za-z0-9_.:/-]+$`)

// Add adds a room: "*" is every room, "/^x/" a regular expression, "user-{sub}" a
// name in which {sub} stands for that claim of the client's token, and all else
// the room of exactly that name.
func (r *Rooms) Add(s string) error {
	switch {
	case s == "":
		return errors.New("the name of a room is empty")
	case s == "*":
		r.list = append(r.list, roomPattern{pattern: namespace.All})
	case len(s) > 1 && s[0] == '/' && s[len(s)-1] == '/':
		p, err := parseRegexp(s)
		if err != nil {
			return err
		}
		if start, _ := Anchored(s); !start {
			return errors.New("it is a regular expression that matches anywhere in a name; begin it with ^")
		}
		r.list = append(r.list, roomPattern{pattern: p})
	case strings.ContainsAny(s, "{}"):
		template, err := parseTemplate(s)
		if err != nil {
			return err
		}
		r.list = append(r.list, roomPattern{template: template})
	default:
		r.list = append(r.list, roomPattern{pattern: namespace.Exact(s)})
	}
	return nil
}

func parseTemplate(s string) ([]string, error) {
	var parts []string
	for {
		text, rest, found := strings.Cut(s, "{")
		if strings.Contains(text, "}") {
			return nil, errors.New("a } without a { before it; a room with braces takes a regular expression")
		}
		if text == "" && found && len(parts) > 0 {
			return nil, errors.New("two claims with nothing between them, which other values could make, too")
		}
		parts = append(parts, text)
		if !found {
			return parts, nil
		}
		claim, rest, found := strings.Cut(rest, "}")
		if !found || !claimName.MatchString(claim) {
			return nil, errors.New("a { that begins no {claim}; a room with braces takes a regular expression")
		}
		parts, s = append(parts, claim), rest
	}
}

// Template returns an entry that has a claim in it, if there is one.
func (r Rooms) Template() (string, bool) {
	for _, p := range r.list {
		if p.template != nil {
			return p.String(), true
		}
	}
	return "", false
}

func (p roomPattern) String() string {
	if p.template == nil {
		return p.pattern.String()
	}
	var b strings.Builder
	for i, part := range p.template {
		if i%2 == 1 {
			part = "{" + part + "}"
		}
		b.WriteString(part)
	}
	return b.String()
}

// has reports whether a room is meant, for a client with these claims.
func (r Rooms) has(room string, claims Claims) bool {
	for _, p := range r.list {
		if p.template != nil {
			if name, ok := expand(p.template, claims); ok && name == room {
				return true
			}
			continue
		}
		if p.pattern.Matches(room) {
			return true
		}
	}
	return false
}

// expand puts claims into a template. One that the client does not have, or
// that is empty, makes no name: "user-" would be everybody's who has none. Nor,
// of several, does one that has in it what stands between them: the room of
// {a}-{b} for "x-y" and "z" would be that for "x" and "y-z".
func expand(template []string, claims Claims) (string, bool) {
	var b strings.Builder
	for i, part := range template {
		if i%2 == 1 {
			if part = claims[part]; part == "" {
				return "", false
			}
			for between := 2; between < len(template)-1; between += 2 {
				if strings.ContainsAny(part, template[between]) {
					return "", false
				}
			}
		}
		b.WriteString(part)
	}
	return b.String(), true
}

// Ambiguous returns two templates of these rooms that can make the same name of
// different claims: who has the sub "ann-admin" would be in the room user-{sub}-admin of ann.
func Ambiguous(all ...Rooms) (a, b string, found bool) {
	var templates []roomPattern
	for _, rooms := range all {
		for _, p := range rooms.list {
			if p.template == nil {
				continue
			}
			for _, q := range templates {
				if a, b := p.String(), q.String(); a != b && overlap(p.template, q.template) {
					return b, a, true
				}
			}
			templates = append(templates, p)
		}
	}
	return "", "", false
}

// overlap reports whether templates begin and end in a way that one name can.
func overlap(a, b []string) bool {
	begin, begin2, end, end2 := a[0], b[0], a[len(a)-1], b[len(b)-1]
	return (strings.HasPrefix(begin, begin2) || strings.HasPrefix(begin2, begin)) &&
		(strings.HasSuffix(end, end2) || strings.HasSuffix(end2, end))
}
