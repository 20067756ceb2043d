package rules

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/dynamicio/dynamicio/namespace"
)

// withoutSlash finds regular expressions in which ^ stands before a letter, so
// that they never match. Others may never match, too.
var withoutSlash = regexp.MustCompile(`^/\^[\pL\pN_-]+[^|*?{]*/$`)

// placeholder is what stands for any text in the routes of other programs, and
// for nothing in an exact name.
var placeholder = regexp.MustCompile(`\{[^{}/]*\}|\*|/:[^/]+`)

// ParseMatch reads a pattern for the names of namespaces: "*" is all, "/^x/" a
// regular expression, and all else an exact name. A regular expression has to
// begin with ^, unlike in [namespace.ParsePattern]: a rule for /admin/ that is
// also one for /public-admin-chat lets people in, or keeps them out, unseen.
func ParseMatch(s string) (namespace.Pattern, error) {
	switch {
	case s == "":
		return namespace.Pattern{}, errors.New("it is empty")
	case s == "*":
		return namespace.All, nil
	case s[0] != '/':
		return namespace.Pattern{}, errors.New("a namespace begins with a slash")
	case len(s) > 1 && s[len(s)-1] == '/':
		return parseMatchRegexp(s)
	case strings.Contains(s, ",") || strings.HasPrefix(s, "//"):
		return namespace.Pattern{}, errors.New("no client could ask for such a name")
	case strings.HasSuffix(s, "/*"):
		return namespace.Pattern{}, errors.New(`"*" is all only where it stands alone; all below a name are /^\/name\//`)
	}
	if what := placeholder.FindString(s); what != "" {
		return namespace.Pattern{}, fmt.Errorf("it is an exact name, in which %q stands for nothing; with any text in its place it is %s",
			strings.TrimPrefix(what, "/"), anyInPlace(s))
	}
	return namespace.Exact(s), nil
}

// anyInPlace is a regular expression with any text where an exact name has placeholders.
func anyInPlace(name string) string {
	var b strings.Builder
	from := 0
	literal := func(text string) { b.WriteString(strings.ReplaceAll(regexp.QuoteMeta(text), "/", `\/`)) }
	for _, at := range placeholder.FindAllStringIndex(name, -1) {
		literal(name[from:at[0]])
		if name[at[0]] == '/' {
			literal("/")
		}
		b.WriteString(`[^\/]+`)
		from = at[1]
	}
	literal(name[from:])
	return "/^" + b.String() + "$/"
}

func parseMatchRegexp(s string) (namespace.Pattern, error) {
	p, err := parseRegexp(s)
	if err != nil {
		return p, err
	}
	if withoutSlash.MatchString(s) {
		return p, errors.New(`a namespace begins with a slash, and so does what ^ stands before: /^\/name$/`)
	}
	if start, _ := Anchored(s); !start {
		hint := "begin it with ^"
		if body := s[1 : len(s)-1]; regexp.QuoteMeta(body) == body {
			hint = fmt.Sprintf(`/^\/%s/ is what begins with /%s, and /%s without a slash behind it that one name`, strings.TrimPrefix(body, "/"),
				strings.TrimPrefix(body, "/"), strings.TrimPrefix(body, "/"))
		}
		return p, fmt.Errorf("it is a regular expression that matches anywhere in a name; %s", hint)
	}
	return p, nil
}

// Anchored reports whether all that the regular expression in "/x/" matches is at
// the start of a text, or at its end.
func Anchored(s string) (start, end bool) {
	if len(s) < 3 {
		return false, false
	}
	re, err := syntax.Parse(s[1:len(s)-1], syntax.Perl)
	if err != nil {
		return false, false
	}
	return anchored(re, syntax.OpBeginText), anchored(re, syntax.OpEndText)
}

func anchored(re *syntax.Regexp, at syntax.Op) bool {
	switch re.Op {
	case at:
		return true
	case syntax.OpCapture, syntax.OpPlus:
		return anchored(re.Sub[0], at)
	case syntax.OpRepeat:
		return re.Min > 0 && anchored(re.Sub[0], at)
	case syntax.OpConcat:
		edge := re.Sub[0]
		if at == syntax.OpEndText {
			edge = re.Sub[len(re.Sub)-1]
		}
		return anchored(edge, at)
	case syntax.OpAlternate:
		for _, one := range re.Sub {
			if !anchored(one, at) {
				return false
			}
		}
		return true
	}
	return false
}

// braces finds {name} in a regular expression, where it is no more than itself;
// \p{Greek} and \x{41} are something else.
var braces = regexp.MustCompile(`(?:^|[^\\pPx])(\{[A-Za-z_][A-Za-z0-9_.:-]*\})`)

// parseRegexp reads "/x/".
func parseRegexp(s string) (namespace.Pattern, error) {
	if len(s) == 2 {
		return namespace.Pattern{}, errors.New("the regular expression is empty")
	}
	re, err := regexp.Compile(s[1 : len(s)-1])
	if err != nil {
		return namespace.Pattern{}, err
	}
	if found := braces.FindStringSubmatch(s); found != nil {
		return namespace.Pattern{}, fmt.Errorf("%s stands for nothing in a regular expression; any text is .* and, up to the next slash, [^/]+", found[1])
	}
	return namespace.Regexp(re), nil
}
