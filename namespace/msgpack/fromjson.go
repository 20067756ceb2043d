package msgpack

import (
	"bytes"
	"math"
	"strconv"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// packer writes one JSON text as msgpack. The text is valid, since it comes from a
// packet; on any other the result is an error or nonsense, but no panic.
type packer struct {
	text        []byte
	pos         int
	attachments [][]byte
	depth       int // how many more levels may open

	// counts holds the number of elements of each array and object, in the order
	// in which they begin: msgpack wants it in front. next is the one to come.
	counts []uint32
	next   int
	open   []uint32 // scratch of count: indexes of what is still open
	plain  []byte   // scratch of str
}

var packers = sync.Pool{New: func() any { return new(packer) }}

// AppendJSON writes a valid JSON text, in which placeholders in their shortest
// form number the attachments. Its arrays and objects may nest depth levels; the
// errors are [ErrTooDeep], and [*SyntaxError] for what is not valid.
func AppendJSON(dst, text []byte, attachments [][]byte, depth int) ([]byte, error) {
	p := packers.Get().(*packer)
	p.text, p.pos, p.attachments, p.depth, p.next = text, 0, attachments, depth, 0
	p.count()
	dst, err := p.value(dst)
	if p.space(); err == nil && p.pos < len(text) {
		err = p.bad("more than one value")
	}
	p.text, p.attachments = nil, nil
	if cap(p.counts) <= 1<<12 && cap(p.plain) <= 1<<16 {
		packers.Put(p)
	}
	return dst, err
}

func (p *packer) bad(msg string) error { return &SyntaxError{Offset: p.pos, Msg: "JSON: " + msg} }

// count fills counts in one look at the text.
func (p *packer) count() {
	p.counts, p.open = p.counts[:0], p.open[:0]
	fresh := false // whether the innermost one has no element yet
	for i := 0; i < len(p.text); i++ {
		switch c := p.text[i]; c {
		case ' ', '\t', '\r', '\n':
			continue
		case ']', '}':
			if len(p.open) > 0 {
				p.open = p.open[:len(p.open)-1]
			}
			fresh = false
			continue
		case ',':
			if len(p.open) > 0 {
				p.counts[p.open[len(p.open)-1]]++
			}
			continue
		}
		if fresh {
			p.counts[p.open[len(p.open)-1]]++
			fresh = false
		}
		switch p.text[i] {
		case '[', '{':
			p.open = append(p.open, uint32(len(p.counts)))
			p.counts = append(p.counts, 0)
			fresh = true
		case '"':
			i = endOfString(p.text, i+1)
		}
	}
}

// endOfString returns the offset of the quote that ends a string which goes on at i,
// or the length of the text.
func endOfString(text []byte, i int) int {
	for {
		n := bytes.IndexByte(text[i:], '"')
		if n < 0 {
			return len(text)
		}
		end := i + n
		slashes := 0
		for slashes < n && text[end-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return end
		}
		i = end + 1
	}
}

func (p *packer) space() {
	for p.pos < len(p.text) {
		switch p.text[p.pos] {
		case ' ', '\t', '\r', '\n':
			p.pos++
		default:
			return
		}
	}
}

// take skips white space and the byte c, if it comes next.
func (p *packer) take(c byte) bool {
	p.space()
	if p.pos < len(p.text) && p.text[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *packer) value(dst []byte) ([]byte, error) {
	p.space()
	if p.pos >= len(p.text) {
		return dst, p.bad("text ends")
	}
	switch c := p.text[p.pos]; {
	case c == '"':
		return p.str(dst)
	case c == '{':
		return p.object(dst)
	case c == '[':
		return p.array(dst)
	case c == 't':
		return p.literal(dst, "true", 0xc3)
	case c == 'f':
		return p.literal(dst, "false", 0xc2)
	case c == 'n':
		return p.literal(dst, "null", 0xc0)
	case c == '-' || '0' <= c && c <= '9':
		return p.number(dst)
	}
	return dst, p.bad("unexpected character")
}

func (p *packer) literal(dst []byte, word string, b byte) ([]byte, error) {
	if len(p.text)-p.pos < len(word) || string(p.text[p.pos:p.pos+len(word)]) != word {
		return dst, p.bad("unexpected word")
	}
	p.pos += len(word)
	return append(dst, b), nil
}

// enter takes the opening bracket and returns the number of elements.
func (p *packer) enter() (int, error) {
	p.pos++
	if p.depth--; p.depth < 0 {
		return 0, ErrTooDeep
	}
	if p.next >= len(p.counts) {
		return 0, p.bad("unexpected bracket")
	}
	p.next++
	return int(p.counts[p.next-1]), nil
}

func (p *packer) array(dst []byte) ([]byte, error) {
	n, err := p.enter()
	if err != nil {
		return dst, err
	}
	dst = AppendArray(dst, n)
	for i := range n {
		if i > 0 && !p.take(',') {
			return dst, p.bad("want a comma")
		}
		if dst, err = p.value(dst); err != nil {
			return dst, err
		}
	}
	p.depth++
	if !p.take(']') {
		return dst, p.bad("want the end of an array")
	}
	return dst, nil
}

func (p *packer) object(dst []byte) ([]byte, error) {
	if len(p.attachments) > 0 && bytes.HasPrefix(p.text[p.pos:], placeholderHead) {
		return p.attachment(dst)
	}
	n, err := p.enter()
	if err != nil {
		return dst, err
	}
	dst = AppendMap(dst, n)
	for i := range n {
		if i > 0 && !p.take(',') {
			return dst, p.bad("want a comma")
		}
		if p.space(); p.pos >= len(p.text) || p.text[p.pos] != '"' {
			return dst, p.bad("want a key")
		}
		if dst, err = p.str(dst); err != nil {
			return dst, err
		}
		if !p.take(':') {
			return dst, p.bad("want a colon")
		}
		if dst, err = p.value(dst); err != nil {
			return dst, err
		}
	}
	p.depth++
	if !p.take('}') {
		return dst, p.bad("want the end of an object")
	}
	return dst, nil
}

var placeholderHead = []byte(`{"_placeholder":true,"num":`)

// attachment writes the bytes that a placeholder stands for.
func (p *packer) attachment(dst []byte) ([]byte, error) {
	start := p.pos + len(placeholderHead)
	end := start
	for end < len(p.text) && '0' <= p.text[end] && p.text[end] <= '9' {
		end++
	}
	num, err := strconv.Atoi(string(p.text[start:end]))
	if err != nil || num >= len(p.attachments) || end >= len(p.text) || p.text[end] != '}' {
		return dst, p.bad("placeholder without an attachment")
	}
	p.next++ // it was counted as an object
	p.pos = end + 1
	return AppendBin(dst, p.attachments[num]), nil
}

// number writes an integer of up to 64 bits as such, and anything else as the
// float64 that JavaScript would read.
func (p *packer) number(dst []byte) ([]byte, error) {
	start, integer := p.pos, true
	for ; p.pos < len(p.text); p.pos++ {
		switch c := p.text[p.pos]; {
		case '0' <= c && c <= '9' || c == '-' && p.pos == start:
			continue
		case c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-':
			integer = false
			continue
		}
		break
	}
	text := string(p.text[start:p.pos])
	if integer {
		if v, err := strconv.ParseInt(text, 10, 64); err == nil {
			return AppendInt(dst, v), nil
		}
		if v, err := strconv.ParseUint(text, 10, 64); err == nil {
			return AppendUint(dst, v), nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) { // too large becomes infinite, as in JavaScript
		return dst, p.bad("no number")
	}
	return AppendFloat(dst, f), nil
}

func (p *packer) str(dst []byte) ([]byte, error) {
	start := p.pos + 1
	end := endOfString(p.text, start)
	if end >= len(p.text) {
		return dst, p.bad("text ends inside a string")
	}
	p.pos = end + 1
	raw := p.text[start:end]
	if bytes.IndexByte(raw, '\\') >= 0 {
		var ok bool
		if p.plain, ok = unescape(p.plain[:0], raw); !ok {
			return dst, p.bad("bad escape")
		}
		raw = p.plain
	}
	if !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte("\ufffd"))
	}
	return append(appendStrHead(dst, len(raw)), raw...), nil
}

// unescape appends the text of a JSON string. A lone half of a surrogate pair
// becomes U+FFFD: UTF-8 cannot hold it.
func unescape(dst, raw []byte) ([]byte, bool) {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			dst = append(dst, raw[i])
			continue
		}
		if i++; i >= len(raw) {
			return dst, false
		}
		switch c := raw[i]; c {
		case '"', '\\', '/':
			dst = append(dst, c)
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, ok := hex4(raw, i+1)
			if !ok {
				return dst, false
			}
			i += 4
			if utf16.IsSurrogate(r) {
				low, ok := rune(0), false
				if i+2 < len(raw) && raw[i+1] == '\\' && raw[i+2] == 'u' {
					low, ok = hex4(raw, i+3)
				}
				if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
					r = pair
					i += 6
				} else {
					r = utf8.RuneError
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			return dst, false
		}
	}
	return dst, true
}

func hex4(raw []byte, i int) (rune, bool) {
	if i+4 > len(raw) {
		return 0, false
	}
	v, err := strconv.ParseUint(string(raw[i:i+4]), 16, 32)
	return rune(v), err == nil
}
