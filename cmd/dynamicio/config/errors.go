package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Error is one thing that is wrong with a file.
type Error struct {
	File string
	Line int    // from 1; 0 if it is about the file as a whole
	Text string // begins with the key
}

func (e *Error) Error() string {
	if e.Line == 0 {
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

// maxErrors bounds how many are told: a file that is something else
// altogether has one a line.
const maxErrors = 50

var yamlLine = regexp.MustCompile(`^line (\d+): `)

// syntaxError is what the YAML parser says, with the line where ours have it.
func syntaxError(file string, err error) *Error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1 // where the parser names none
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	return &Error{file, line, "is no YAML: " + strings.ReplaceAll(text, "\n", " ")}
}

// Nearest returns the name that s was probably meant to be, "" if none is near.
func Nearest(s string, names []string) string {
	best, least := "", max(2, len(s)/3)+1
	plain := strings.ReplaceAll(strings.ToLower(s), "_", "-")
	for _, name := range names {
		if d := distance(plain, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance is how many letters have to be changed, added or taken away to
// make b of a.
func distance(a, b string) int {
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
