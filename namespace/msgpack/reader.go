package msgpack

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"
)

// Reader reads a message piece by piece. Once it has failed, everything it reads
// is zero, so that callers need to look only at the end. What it returns shares
// memory with the message.
type Reader struct {
	in  []byte
	pos int
	err *SyntaxError
}

// NewReader returns a reader of the message in.
func NewReader(in []byte) *Reader { return &Reader{in: in} }

// Token is the head of a value. Of a string, binary or extension, Data is all of
// it; of an array or map, N elements or pairs follow.
type Token struct {
	Kind Kind
	Data []byte
	N    int

	ext int8
	fix bool   // an extension in a form without a length
	num uint64 // Uint; Int as two's complement; Float as bits; Bool
}

// Kind says what a value is.
type Kind uint8

// The kinds of values.
const (
	Nil Kind = iota // also what a Reader that failed returns
	Bool
	Uint
	Int // negative
	Float
	Str
	Bin
	Array
	Map
	Ext
)

// Fail makes the reader fail at where it is, unless it has failed already.
func (r *Reader) Fail(msg string) Token {
	if r.err == nil {
		r.err = &SyntaxError{Offset: r.pos, Msg: msg}
	}
	r.pos = len(r.in)
	return Token{}
}

// Failed reports whether the reader has failed.
func (r *Reader) Failed() bool { return r.err != nil }

// End returns how the reader failed, which it also has if more follows; a
// [*SyntaxError], or nil.
func (r *Reader) End() error {
	if r.err == nil && r.pos < len(r.in) {
		r.Fail("more than one value")
	}
	if r.err == nil {
		return nil
	}
	return r.err
}

// uint reads size bytes, big endian. size is 1, 2, 4 or 8.
func (r *Reader) uint(size int) uint64 {
	if len(r.in)-r.pos < size {
		r.Fail("ends inside a number")
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

func (r *Reader) bytes(k Kind, n uint64) Token {
	if r.err != nil {
		return Token{}
	}
	if n > uint64(len(r.in)-r.pos) {
		return r.Fail("ends inside a value")
	}
	start := r.pos
	r.pos += int(n)
	return Token{Kind: k, Data: r.in[start:r.pos:r.pos]}
}

// container checks a length: what cannot be there is not begun. least is how many
// bytes an element takes at least.
func (r *Reader) container(k Kind, n uint64, least int) Token {
	if r.err != nil {
		return Token{}
	}
	if n > uint64((len(r.in)-r.pos)/least) {
		return r.Fail("ends inside an array or map")
	}
	return Token{Kind: k, N: int(n)}
}

func (r *Reader) extension(n uint64, fix bool) Token {
	ext := int8(r.uint(1))
	t := r.bytes(Ext, n)
	t.ext, t.fix = ext, fix
	return t
}

func (r *Reader) signed(size int) Token {
	v := int64(r.uint(size)<<(64-8*size)) >> (64 - 8*size)
	if v >= 0 {
		return Token{Kind: Uint, num: uint64(v)}
	}
	return Token{Kind: Int, num: uint64(v)}
}

// Token reads the head of the next value.
func (r *Reader) Token() Token {
	if r.err != nil {
		return Token{}
	}
	if r.pos >= len(r.in) {
		return r.Fail("ends where a value should be")
	}
	c := r.in[r.pos]
	r.pos++
	switch {
	case c < 0x80:
		return Token{Kind: Uint, num: uint64(c)}
	case c < 0x90:
		return r.container(Map, uint64(c&0x0f), 2)
	case c < 0xa0:
		return r.container(Array, uint64(c&0x0f), 1)
	case c < 0xc0:
		return r.bytes(Str, uint64(c&0x1f))
	case c >= 0xe0:
		return Token{Kind: Int, num: uint64(int64(int8(c)))}
	}
	switch c {
	case 0xc0:
		return Token{Kind: Nil}
	case 0xc2, 0xc3:
		return Token{Kind: Bool, num: uint64(c - 0xc2)}
	case 0xc4, 0xc5, 0xc6:
		return r.bytes(Bin, r.uint(1<<(c-0xc4)))
	case 0xc7, 0xc8, 0xc9:
		return r.extension(r.uint(1<<(c-0xc7)), false)
	case 0xca:
		return floatToken(float64(math.Float32frombits(uint32(r.uint(4)))))
	case 0xcb:
		return floatToken(math.Float64frombits(r.uint(8)))
	case 0xcc, 0xcd, 0xce, 0xcf:
		return Token{Kind: Uint, num: r.uint(1 << (c - 0xcc))}
	case 0xd0, 0xd1, 0xd2, 0xd3:
		return r.signed(1 << (c - 0xd0))
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		return r.extension(1<<(c-0xd4), true)
	case 0xd9, 0xda, 0xdb:
		return r.bytes(Str, r.uint(1<<(c-0xd9)))
	case 0xdc, 0xdd:
		return r.container(Array, r.uint(2<<(c-0xdc)), 1)
	case 0xde, 0xdf:
		return r.container(Map, r.uint(2<<(c-0xde)), 2)
	}
	return r.Fail("byte that begins nothing") // 0xc1
}

func floatToken(f float64) Token { return Token{Kind: Float, num: math.Float64bits(f)} }

func (t Token) float() float64 { return math.Float64frombits(t.num) }

// Raw reads a whole value and returns its bytes, which may nest to any depth.
func (r *Reader) Raw() []byte {
	start := r.pos
	r.Skip(r.Token())
	if r.err != nil {
		return nil
	}
	return r.in[start:r.pos:r.pos]
}

// Skip reads what belongs to a value whose head was read.
func (r *Reader) Skip(head Token) {
	for todo := head.elements(); todo > 0 && r.err == nil; todo-- {
		todo += r.Token().elements()
	}
}

// elements is how many values follow to complete the one whose head t is.
func (t Token) elements() int {
	switch t.Kind {
	case Array:
		return t.N
	case Map:
		return 2 * t.N
	}
	return 0
}

// Bool returns the value of a Bool, and false for anything else.
func (t Token) Bool() bool { return t.Kind == Bool && t.num == 1 }

// Uint returns the value of a Uint.
func (t Token) Uint() uint64 { return t.num }

// Number returns the value of a numeric token.
func (t Token) Number() (float64, bool) {
	switch t.Kind {
	case Uint:
		return float64(t.num), true
	case Int:
		return float64(int64(t.num)), true
	case Float:
		return t.float(), true
	}
	return 0, false
}

// Text returns a string, or a number as JavaScript would write it where a string is
// expected: rooms may be numbers there.
func (t Token) Text() (string, bool) {
	switch t.Kind {
	case Str:
		return toValid(t.Data), true
	case Uint:
		return strconv.FormatUint(t.num, 10), true
	case Int:
		return strconv.FormatInt(int64(t.num), 10), true
	case Float:
		return string(AppendJSONFloat(nil, t.float())), true
	}
	return "", false
}

// IsUndefined reports whether the value is JavaScript's undefined, as notepack.io
// wrote it up to version 2.
func IsUndefined(value []byte) bool { return len(value) >= 3 && value[0] == 0xd4 && value[1] == 0 }

func toValid(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string(bytes.ToValidUTF8(b, []byte("\ufffd")))
}
