package status

import (
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// A fragment is kept without the words that change by the clock ("7 s"): else
// every countdown would be sent anew each second. Such a place is marked with
// a NUL, a sign, the time in Unix milliseconds and a semicolon. No client can
// write a mark: html/template lets no NUL of theirs through.
const (
	markUntil = "\x00-" // how long until then
	markSince = "\x00+" // how long since then
)

// until is a countdown to t, which the page's script keeps up.
func until(t time.Time) template.HTML { return clock(t, "until", markUntil) }

// since is the time that has passed since t.
func since(t time.Time) template.HTML { return clock(t, "since", markSince) }

func clock(t time.Time, kind, mark string) template.HTML {
	t = t.UTC()
	ms := strconv.FormatInt(t.UnixMilli(), 10)
	return template.HTML(`<time datetime="` + t.Format("2006-01-02T15:04:05.000Z") + `" data-` + kind + `="` + ms + `">` + mark + ms + `;</time>`)
}

// expand replaces the marks by what holds at now.
func expand(html string, now time.Time) string {
	first, rest, marked := strings.Cut(html, "\x00")
	if !marked {
		return html
	}
	var b strings.Builder
	b.Grow(len(html))
	b.WriteString(first)
	for marked {
		var at string
		at, rest, _ = strings.Cut(rest, ";")
		ms, err := strconv.ParseInt(at[1:], 10, 64)
		if err == nil { // always: the marks are ours
			d := now.Sub(time.UnixMilli(ms))
			if at[0] == '-' {
				d = -d
			}
			b.WriteString(span(d))
		}
		first, rest, marked = strings.Cut(rest, "\x00")
		b.WriteString(first)
	}
	return b.String()
}

// span says how long d is, in two units at most. The page's script has the same rule.
func span(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	two := func(a int64, unit string, b int64, small string) string {
		return strconv.FormatInt(a, 10) + " " + unit + " " + strconv.FormatInt(b, 10) + " " + small
	}
	switch {
	case s < 60:
		return strconv.FormatInt(s, 10) + " s"
	case s < 3600:
		return two(s/60, "min", s%60, "s")
	case s < 48*3600:
		return two(s/3600, "h", s/60%60, "min")
	default:
		return two(s/86400, "d", s/3600%24, "h")
	}
}

// milliseconds is span for a number of them, with a fraction below a minute.
func milliseconds(ms int64) string {
	if ms%1000 != 0 && ms < 60_000 {
		return strconv.FormatFloat(float64(ms)/1000, 'f', -1, 64) + " s"
	}
	return span(time.Duration(ms) * time.Millisecond)
}

// count writes a number with commas: 12,345.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// rate writes a number of things a second: small ones with a decimal.
func rate(r float64) string {
	if r > 0 && r < 9.95 {
		return strconv.FormatFloat(r, 'f', 1, 64)
	}
	return count(int64(math.Round(min(max(r, 0), 1e15))))
}

// plural is "1 socket", "2 sockets".
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(int64(n)) + " " + one + "s"
}

// revealed is how a name with signs that do not show (controls, those that turn the
// direction of writing, blanks other than single ones between signs) would be
// written in a program; empty for any other name.
func revealed(name string) string {
	var b strings.Builder
	odd := false
	last := ' ' // one at the beginning does not show
	for i, r := range name {
		hidden := doesNotShow(r) || r == ' ' && (last == ' ' || i == len(name)-1)
		odd = odd || hidden
		if quoted := strconv.QuoteToASCII(string(r)); hidden && r != ' ' || r == '"' || r == '\\' {
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
		last = r
	}
	if !odd {
		return ""
	}
	return `"` + b.String() + `"`
}

// doesNotShow reports whether a sign other than the plain blank looks like nothing, or like a blank.
func doesNotShow(r rune) bool {
	return r != ' ' && (r == unicode.ReplacementChar || r == '\u2800' ||
		unicode.In(r, unicode.C, unicode.Z, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point))
}
