package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Error is one thing that is wrong with a file.
type Error struct {
	File string // "" if it is about what was given elsewhere
	Line int    // from 1; 0 if it is about the file as a whole
	Text string // begins with the key
}

func (e *Error) Error() string {
	switch {
	case e.File == "":
		return e.Text
	case e.Line == 0:
		return e.File + ": " + e.Text
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text)
}

// Errors is everything that is wrong with a file, in the order of its lines.
type Errors []*Error

func (e Errors) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Sort puts them in the order of their lines.
func (e Errors) Sort() {
	slices.SortStableFunc(e, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
}

// maxErrors bounds how many are told: a file that is something else
// altogether has one a line.
const maxErrors = 50

var (
	yamlLine = regexp.MustCompile(`^line (\d+): `)
	// Of what these are said the parser counts the lines from 0, and names the
	// one where the list or mapping begins.
	yamlCountsFrom0 = regexp.MustCompile(`^(did not find expected (',' or '[]}]'|key|'-' indicator|node content|<document start>)|found undefined tag handle)`)
)

// yamlHints say what is usually meant by what the parser says.
var yamlHints = []struct{ part, hint string }{
	{"found character that cannot start any token", "indent with spaces, not tabs; a value that begins with @, % or ` needs quotes"},
	{"mapping values are not allowed", `a value with ": " in it needs quotes, and the keys of a mapping begin in the same column`},
	{"did not find expected ',' or", "a value with [ ] { } or a comma in it needs quotes within [ ] and { }, which must be closed"},
	{"did not find expected key", "the keys of a mapping begin in the same column"},
	{"did not find expected '-' indicator", `the "-" of a list begin in the same column`},
	{"could not find expected ':'", `a key needs ": " behind it`},
	{"unexpected end of stream", "a quote is not closed"},
	{"did not find expected alphabetic or numeric character", "a value that begins with * or & needs quotes"},
	{"unknown anchor", "a value that begins with * needs quotes"},
}

// syntaxError is what the YAML parser says, with the line where ours have it.
func syntaxError(file string, err error) *Error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	if line == 0 || yamlCountsFrom0.MatchString(text) {
		line++
	}
	text = "is no YAML: " + strings.ReplaceAll(text, "\n", " ")
	for _, h := range yamlHints {
		if strings.Contains(text, h.part) {
			text += "; " + h.hint
			break
		}
	}
	return &Error{file, line, text}
}

// Nearest returns the name that s was probably meant to be, "" if none is near.
func Nearest(s string, names []string) string {
	best, least := "", max(2, len(s)/3)+1
	plain := strings.ReplaceAll(strings.ToLower(s), "_", "-")
	for _, name := range names {
		if d := Distance(plain, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// Distance is how many letters have to be changed, added or taken away to
// make b of a.
func Distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
