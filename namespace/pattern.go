package namespace

import (
	"fmt"
	"net"
	"regexp"
	"strings"
)

// Pattern says which host names, or which full names of namespaces, are
// meant. The zero value is [All].
type Pattern struct {
	kind  patternKind
	exact string
	re    *regexp.Regexp
}

type patternKind uint8

const (
	matchAll patternKind = iota
	matchNone
	matchExact
	matchRegexp
)

var (
	// All matches everything.
	All = Pattern{}
	// None matches nothing. As the host option it means that no host is the
	// main one: every host has namespaces of its own.
	None = Pattern{kind: matchNone}
)

// Exact matches s and nothing else. The empty string, which is no host and no
// namespace, is [All].
func Exact(s string) Pattern {
	if s == "" {
		return All
	}
	return Pattern{kind: matchExact, exact: s}
}

// Regexp matches what contains a match of re: it is not anchored.
func Regexp(re *regexp.Regexp) Pattern {
	return Pattern{kind: matchRegexp, re: re}
}

// ParsePattern reads a host pattern as the command line has it: "*" (or
// nothing) is [All], "true" is [None], "/x/" a regular expression, all else exact.
func ParsePattern(s string) (Pattern, error) {
	switch {
	case s == "" || s == "*" || s == "false":
		return All, nil
	case s == "true":
		return None, nil
	case len(s) > 1 && s[0] == '/' && s[len(s)-1] == '/':
		re, err := regexp.Compile(s[1 : len(s)-1])
		if err != nil {
			return Pattern{}, fmt.Errorf("namespace: host pattern %s: %w", s, err)
		}
		return Regexp(re), nil
	case strings.ContainsAny(s, "/ \t"):
		return Pattern{}, fmt.Errorf(`namespace: host pattern %q is neither "*", "true", a host name nor /a regular expression/`, s)
	}
	return Exact(s), nil
}

// String returns the pattern as [ParsePattern] reads it.
func (p Pattern) String() string {
	switch p.kind {
	case matchNone:
		return "true"
	case matchExact:
		return p.exact
	case matchRegexp:
		return "/" + p.re.String() + "/"
	}
	return "*"
}

// Match is what a registration's pattern found in a namespace's full name.
type Match struct {
	// Groups holds the whole match, then the groups of a regular expression;
	// a group that took no part is empty. For an exact name and for "*" the
	// whole match is the full name.
	Groups []string
	// Index is where in Input the match begins, in bytes.
	Index int
	// Input is the full name.
	Input string
}

// Match reports whether the pattern matches s, and what it found.
func (p Pattern) Match(s string) (Match, bool) {
	switch p.kind {
	case matchAll:
	case matchExact:
		if p.exact != s {
			return Match{}, false
		}
	case matchRegexp:
		loc := p.re.FindStringSubmatchIndex(s)
		if loc == nil {
			return Match{}, false
		}
		groups := make([]string, len(loc)/2)
		for i := range groups {
			if loc[2*i] >= 0 {
				groups[i] = s[loc[2*i]:loc[2*i+1]]
			}
		}
		return Match{Groups: groups, Index: loc[0], Input: s}, true
	default:
		return Match{}, false
	}
	return Match{Groups: []string{s}, Input: s}, true
}

// Matches reports whether the pattern matches s, without saying what it found:
// it allocates nothing.
func (p Pattern) Matches(s string) bool {
	switch p.kind {
	case matchAll:
		return true
	case matchExact:
		return p.exact == s
	case matchRegexp:
		return p.re.MatchString(s)
	}
	return false
}

// FullName joins a host and a namespace's short name: "/chat" on the main
// host (host is empty), "//myhost.com/chat" on any other. A name without its
// leading slash gets one.
func FullName(host, name string) string {
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	if host == "" {
		return name
	}
	return "//" + host + name
}

// SplitFullName takes a full name apart again.
func SplitFullName(full string) (host, name string) {
	rest, ok := strings.CutPrefix(full, "//")
	if !ok {
		return "", full
	}
	i := strings.IndexByte(rest, '/')
	if i < 0 {
		return rest, "/"
	}
	return rest[:i], rest[i:]
}

// CompareFullNames orders as dynamic.io's status page does: "/" sorts after
// every other character, so that shallow names come before deep ones and the
// namespaces of other hosts last.
func CompareFullNames(a, b string) int {
	for i := range min(len(a), len(b)) {
		x, y := a[i], b[i]
		switch {
		case x == y:
		case x == '/':
			return 1
		case y == '/':
			return -1
		case x < y:
			return -1
		default:
			return 1
		}
	}
	return len(a) - len(b)
}

// NormalizeHost brings the Host of a request into the form that full names
// use: lower case, without a trailing dot (DNS treats both alike), with its
// port unless dropPort. It reports false for what is no host name: such a
// request deserves a 400. No host at all is the empty string, and true.
func NormalizeHost(host string, dropPort bool) (string, bool) {
	if host == "" {
		return "", true
	}
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:i], host[i:]
		for _, c := range []byte(port[1:]) {
			if c < '0' || c > '9' {
				return "", false
			}
		}
	}
	// Checked before anything is changed: one trailing dot is allowed, not two,
	// and there are letters beyond ASCII whose lower case is within.
	name, dotted := strings.CutSuffix(name, ".")
	if len(name) > 255 || !validHostName(name) || dotted && (strings.HasSuffix(name, ".") || strings.HasSuffix(name, "]")) {
		return "", false
	}
	name = strings.ToLower(name)
	if dropPort || port == ":" {
		port = ""
	}
	return name + port, true
}

// NormalizeHost brings the name that an exact host pattern compares with into
// the form of [NormalizeHost]: hosts are compared in that form, so that any
// other spelling would never match. Other patterns stay as they are.
func (p Pattern) NormalizeHost(dropPort bool) (Pattern, error) {
	if p.kind != matchExact {
		return p, nil
	}
	host, ok := NormalizeHost(p.exact, dropPort)
	if !ok {
		return p, fmt.Errorf("namespace: host pattern %q is no host name", p.exact)
	}
	return Exact(host), nil
}

func validHostName(name string) bool {
	if v6, ok := strings.CutPrefix(name, "["); ok {
		v6, ok = strings.CutSuffix(v6, "]")
		return ok && strings.Contains(v6, ":") && net.ParseIP(v6) != nil
	}
	if name == "" || name[0] == '.' || strings.Contains(name, "..") {
		return false
	}
	for _, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return true
}
