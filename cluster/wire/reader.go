package wire

import (
	"encoding/binary"
	"math"
	"strconv"
)

// reader reads msgpack. Once it has failed, err is set and everything it reads is
// zero, so that callers need to look only at the end.
type reader struct {
	in  []byte
	pos int
	err *SyntaxError
}

// token is the head of a msgpack value. Of a string, binary or extension, data
// is all of it; of an array or map, n elements or pairs follow.
type token struct {
	kind kind
	data []byte
	n    int
	ext  int8
	fix  bool   // an extension in a form without a length
	num  uint64 // kindUint; kindInt as two's complement; kindFloat as bits; kindBool
}

type kind uint8

const (
	kindNil kind = iota // also what a reader that failed returns
	kindBool
	kindUint
	kindInt // negative
	kindFloat
	kindStr
	kindBin
	kindArray
	kindMap
	kindExt
)

func (r *reader) fail(msg string) token {
	if r.err == nil {
		r.err = &SyntaxError{Offset: r.pos, Msg: "msgpack: " + msg}
	}
	r.pos = len(r.in)
	return token{}
}

// error returns err as an error, nil if there is none.
func (r *reader) error() error {
	if r.err == nil {
		return nil
	}
	return r.err
}

// uint reads size bytes, big endian. size is 1, 2, 4 or 8.
func (r *reader) uint(size int) uint64 {
	if len(r.in)-r.pos < size {
		r.fail("ends inside a number")
		return 0
	}
	b := r.in[r.pos:]
	r.pos += size
	switch size {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	}
	return binary.BigEndian.Uint64(b)
}

func (r *reader) bytes(k kind, n uint64) token {
	if r.err != nil {
		return token{}
	}
	if n > uint64(len(r.in)-r.pos) {
		return r.fail("ends inside a value")
	}
	start := r.pos
	r.pos += int(n)
	return token{kind: k, data: r.in[start:r.pos:r.pos]}
}

// container checks a length: what cannot be there is not begun. least is how many
// bytes an element takes at least.
func (r *reader) container(k kind, n uint64, least int) token {
	if r.err != nil {
		return token{}
	}
	if n > uint64((len(r.in)-r.pos)/least) {
		return r.fail("ends inside an array or map")
	}
	return token{kind: k, n: int(n)}
}

func (r *reader) extension(n uint64, fix bool) token {
	ext := int8(r.uint(1))
	t := r.bytes(kindExt, n)
	t.ext, t.fix = ext, fix
	return t
}

func (r *reader) signed(size int) token {
	v := int64(r.uint(size)<<(64-8*size)) >> (64 - 8*size)
	if v >= 0 {
		return token{kind: kindUint, num: uint64(v)}
	}
	return token{kind: kindInt, num: uint64(v)}
}

// token reads the next one.
func (r *reader) token() token {
	if r.err != nil {
		return token{}
	}
	if r.pos >= len(r.in) {
		return r.fail("ends where a value should be")
	}
	c := r.in[r.pos]
	r.pos++
	switch {
	case c < 0x80:
		return token{kind: kindUint, num: uint64(c)}
	case c < 0x90:
		return r.container(kindMap, uint64(c&0x0f), 2)
	case c < 0xa0:
		return r.container(kindArray, uint64(c&0x0f), 1)
	case c < 0xc0:
		return r.bytes(kindStr, uint64(c&0x1f))
	case c >= 0xe0:
		return token{kind: kindInt, num: uint64(int64(int8(c)))}
	}
	switch c {
	case 0xc0:
		return token{kind: kindNil}
	case 0xc2, 0xc3:
		return token{kind: kindBool, num: uint64(c - 0xc2)}
	case 0xc4, 0xc5, 0xc6:
		return r.bytes(kindBin, r.uint(1<<(c-0xc4)))
	case 0xc7, 0xc8, 0xc9:
		return r.extension(r.uint(1<<(c-0xc7)), false)
	case 0xca:
		return floatToken(float64(math.Float32frombits(uint32(r.uint(4)))))
	case 0xcb:
		return floatToken(math.Float64frombits(r.uint(8)))
	case 0xcc, 0xcd, 0xce, 0xcf:
		return token{kind: kindUint, num: r.uint(1 << (c - 0xcc))}
	case 0xd0, 0xd1, 0xd2, 0xd3:
		return r.signed(1 << (c - 0xd0))
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		return r.extension(1<<(c-0xd4), true)
	case 0xd9, 0xda, 0xdb:
		return r.bytes(kindStr, r.uint(1<<(c-0xd9)))
	case 0xdc, 0xdd:
		return r.container(kindArray, r.uint(2<<(c-0xdc)), 1)
	case 0xde, 0xdf:
		return r.container(kindMap, r.uint(2<<(c-0xde)), 2)
	}
	return r.fail("byte that begins nothing") // 0xc1
}

func floatToken(f float64) token { return token{kind: kindFloat, num: math.Float64bits(f)} }

func (t token) float() float64 { return math.Float64frombits(t.num) }

// skip reads a whole value.
func (r *reader) skip() {
	for todo := 1; todo > 0 && r.err == nil; todo-- {
		switch t := r.token(); t.kind {
		case kindArray:
			todo += t.n
		case kindMap:
			todo += 2 * t.n
		}
	}
}

// number returns the value of a numeric token.
func (t token) number() (float64, bool) {
	switch t.kind {
	case kindUint:
		return float64(t.num), true
	case kindInt:
		return float64(int64(t.num)), true
	case kindFloat:
		return t.float(), true
	}
	return 0, false
}

// text returns a string, or a number as JavaScript would write it where a string is
// expected: rooms may be numbers there.
func (t token) text() (string, bool) {
	switch t.kind {
	case kindStr:
		return toValid(t.data), true
	case kindUint:
		return strconv.FormatUint(t.num, 10), true
	case kindInt:
		return strconv.FormatInt(int64(t.num), 10), true
	case kindFloat:
		return string(appendJSONFloat(nil, t.float())), true
	}
	return "", false
}

// rooms reads an array of names; nil is an empty one.
func (r *reader) rooms() []string {
	t := r.token()
	if t.kind == kindNil {
		return nil
	}
	if t.kind != kindArray {
		r.fail("rooms are no array")
		return nil
	}
	if t.n == 0 {
		return nil
	}
	names := make([]string, 0, t.n)
	for range t.n {
		name, ok := r.token().text()
		if !ok {
			r.fail("room that is no string")
			return nil
		}
		names = append(names, name)
	}
	return names
}
