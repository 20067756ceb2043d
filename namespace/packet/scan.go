package packet

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
)

// maxDepth is how deeply arrays and objects of a received packet may nest.
// Node's Redis adapter, on the same Redis as we may be, packs and unpacks
// events recursively: an event nested 4,000 deep makes a Node 20 process exit
// with a stack overflow. encoding/json, for comparison, gives up at 10,000.
const maxDepth = 512

// maxArgs is how many arguments a received packet may have. JavaScript passes
// them to a handler as arguments of one call; an engine takes 65,535 of those
// (JavaScriptCore) before it throws, in the process of whoever receives them.
const maxArgs = 65535

// ownDepth is the limit for text that this process encoded: that of the
// encoders.
const ownDepth = 10000

// span is a piece of JSON text, from start up to end.
type span struct{ start, end uint32 }

// placeholder is an object {"_placeholder":true,"num":N} in JSON text.
type placeholder struct {
	span
	num int // -1 if missing, negative or no integer
}

// scanner validates JSON text by the grammar of encoding/json and, on the way,
// finds what this package wants to know: element bounds and placeholders.
// Methods take the offset where a value begins and return that of its end, or
// -1 with err set.
type scanner struct {
	data  []byte
	depth int // how many more levels may open
	seek  bool
	found []placeholder // outermost ones only, in order; filled if seek
	err   *SyntaxError
}

func (s *scanner) fail(at int, msg string) int {
	s.err = &SyntaxError{Offset: at, Msg: msg}
	return -1
}

// unexpected fails on the byte at offset i, or on the end of the text.
func (s *scanner) unexpected(i int, wanted string) int {
	if i >= len(s.data) {
		return s.fail(len(s.data), "text ends, want "+wanted)
	}
	return s.fail(i, "unexpected "+strconv.QuoteRuneToASCII(rune(s.data[i]))+", want "+wanted)
}

// space skips white space and returns the offset of what follows.
func (s *scanner) space(i int) int {
	for i < len(s.data) && isSpace(s.data[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// at returns the byte at i, 0 beyond the end: no JSON token begins with it.
func (s *scanner) at(i int) byte {
	if i < len(s.data) {
		return s.data[i]
	}
	return 0
}

func (s *scanner) value(i int) int {
	switch c := s.at(i); {
	case c == '"':
		return s.str(i)
	case c == '{':
		return s.object(i)
	case c == '[':
		return s.array(i, nil)
	case c == '-' || '0' <= c && c <= '9':
		return s.number(i)
	case c == 't':
		return s.literal(i, "true")
	case c == 'f':
		return s.literal(i, "false")
	case c == 'n':
		return s.literal(i, "null")
	}
	return s.unexpected(i, "a JSON value")
}

func (s *scanner) literal(i int, word string) int {
	for k := range len(word) {
		if s.at(i+k) != word[k] {
			return s.unexpected(i+k, word)
		}
	}
	return i + len(word)
}

func (s *scanner) number(i int) int {
	if s.at(i) == '-' {
		i++
	}
	if s.at(i) == '0' {
		i++
	} else if i = s.digits(i); i < 0 {
		return -1
	}
	if s.at(i) == '.' {
		if i = s.digits(i + 1); i < 0 {
			return -1
		}
	}
	if c := s.at(i); c == 'e' || c == 'E' {
		i++
		if c := s.at(i); c == '+' || c == '-' {
			i++
		}
		return s.digits(i)
	}
	return i
}

// digits skips one digit or more.
func (s *scanner) digits(i int) int {
	start := i
	for i < len(s.data) && '0' <= s.data[i] && s.data[i] <= '9' {
		i++
	}
	if i == start {
		return s.unexpected(i, "a digit")
	}
	return i
}

// Constants to look at eight bytes at a time.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain reports whether none of the eight bytes in w ends or interrupts a
// string: no quote, no backslash, no control character. A byte of w^k*ones is
// zero where w holds k, and x-ones sets the high bit of a zero byte; a borrow
// can only flag a byte too many, which costs a slower look at it.
func plain(w uint64) bool {
	quote, slash := w^'"'*ones, w^'\\'*ones
	hit := (quote-ones)&^quote | (slash-ones)&^slash | (w-' '*ones)&^w
	return hit&highs == 0
}

func (s *scanner) str(i int) int {
	for i++; ; i++ {
		for len(s.data)-i >= 8 && plain(binary.LittleEndian.Uint64(s.data[i:])) {
			i += 8
		}
		if i >= len(s.data) {
			return s.fail(i, "text ends inside a string")
		}
		switch c := s.data[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = s.escape(i + 1); i < 0 {
				return -1
			}
		case c < ' ':
			return s.fail(i, "control character inside a string")
		}
	}
}

// escape checks what follows a backslash and returns the offset of its last
// byte.
func (s *scanner) escape(i int) int {
	switch s.at(i) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i
	case 'u':
		for k := i + 1; k <= i+4; k++ {
			if c := s.at(k); !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return s.unexpected(k, "a hexadecimal digit")
			}
		}
		return i + 4
	}
	return s.unexpected(i, "a string escape")
}

// array scans an array and appends the bounds of its elements to *spans if
// that is not nil.
func (s *scanner) array(i int, spans *[]span) int {
	if s.depth--; s.depth < 0 {
		return s.fail(i, "nested too deeply")
	}
	if i = s.space(i + 1); s.at(i) == ']' {
		s.depth++
		return i + 1
	}
	for {
		start := i
		if i = s.value(i); i < 0 {
			return -1
		}
		if spans != nil {
			if len(*spans) > maxArgs { // one more than arguments: the event name
				return s.fail(start, "too many arguments")
			}
			*spans = append(*spans, span{uint32(start), uint32(i)})
		}
		switch i = s.space(i); s.at(i) {
		case ',':
			i = s.space(i + 1)
		case ']':
			s.depth++
			return i + 1
		default:
			return s.unexpected(i, "',' or ']'")
		}
	}
}

func (s *scanner) object(i int) int {
	if s.depth--; s.depth < 0 {
		return s.fail(i, "nested too deeply")
	}
	start, mark := i, len(s.found)
	isPlaceholder, num := false, -1
	if i = s.space(i + 1); s.at(i) == '}' {
		s.depth++
		return i + 1
	}
	for {
		if s.at(i) != '"' {
			return s.unexpected(i, "an object key")
		}
		key := i
		if i = s.str(i); i < 0 {
			return -1
		}
		name := s.data[key:i]
		if i = s.space(i); s.at(i) != ':' {
			return s.unexpected(i, "':'")
		}
		val := s.space(i + 1)
		if i = s.value(val); i < 0 {
			return -1
		}
		if s.seek {
			// As in JSON.parse, the last of equal keys holds.
			if keyIs(name, "_placeholder") {
				isPlaceholder = string(s.data[val:i]) == "true"
			} else if keyIs(name, "num") {
				num = placeholderNum(s.data[val:i])
			}
		}
		switch i = s.space(i); s.at(i) {
		case ',':
			i = s.space(i + 1)
		case '}':
			s.depth++
			if isPlaceholder {
				// What it contains beside goes with it, placeholders included.
				s.found = append(s.found[:mark], placeholder{span{uint32(start), uint32(i + 1)}, num})
			}
			return i + 1
		default:
			return s.unexpected(i, "',' or '}'")
		}
	}
}

// keyIs reports whether the quoted JSON string is name.
func keyIs(quoted []byte, name string) bool {
	if len(quoted) == len(name)+2 {
		return string(quoted[1:len(quoted)-1]) == name
	}
	return len(quoted) > len(name)+2 && len(quoted) <= 6*len(name)+2 && unquote(quoted) == name
}

// unquote returns the text of a valid JSON string.
func unquote(quoted []byte) string {
	body := quoted[1 : len(quoted)-1]
	for _, c := range body {
		if c == '\\' {
			var text string
			if json.Unmarshal(quoted, &text) != nil {
				return "" // not reached: the string was scanned
			}
			return text
		}
	}
	return string(body)
}

// placeholderNum reads the number of a placeholder. JSON has no integers, and
// peers in other languages may write 0.0, so the value counts, not its form.
func placeholderNum(text []byte) int {
	if c := text[0]; c != '-' && (c < '0' || '9' < c) {
		return -1
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || f < 0 || f > math.MaxInt32 || f != math.Trunc(f) {
		return -1
	}
	return int(f)
}

// findPlaceholders returns the placeholders of a valid JSON value. A value
// that turns out not to be one is an error.
func findPlaceholders(text []byte, depth int) ([]placeholder, *SyntaxError) {
	s := scanner{data: text, depth: depth, seek: true}
	if err := s.whole(); err != nil {
		return nil, err
	}
	return s.found, nil
}

// whole scans data as one value, with nothing but white space around it.
func (s *scanner) whole() *SyntaxError {
	end := s.value(s.space(0))
	if end < 0 {
		return s.err
	}
	if end = s.space(end); end < len(s.data) {
		s.unexpected(end, "the end")
		return s.err
	}
	return nil
}
