package msgpack

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// unpacker writes one msgpack value as JSON. Binary data goes into attachments, and
// a placeholder into the text; with inline set, it is written as Node's JSON
// has it: {"type":"Buffer","data":[...]}.
type unpacker struct {
	Reader
	out         []byte
	attachments [][]byte
	inline      bool
	most        int  // attachments; negative: any number
	limit       int  // of len(out) and what attachments takes
	depth       int  // how many more levels may open
	lookalike   bool // an object pretends to be a placeholder
}

// attachmentCost is what an attachment counts for the limit beside its text.
const attachmentCost = 24

// Bounds are what [ToJSON] makes at most.
type Bounds struct {
	// Depth is how many levels of arrays and objects may nest.
	Depth int
	// Size is how many bytes text and attachments may take, the contents of the
	// latter excepted.
	Size int
	// Attachments is how many there may be; negative: any number.
	Attachments int
}

// ToJSON appends the value that in consists of as JSON text. Binary data becomes a
// placeholder, {"_placeholder":true,"num":0}, and one of the attachments, which share
// the memory of in; with inline set, it is written as Node's JSON has it:
// {"type":"Buffer","data":[...]}.
//
// Errors are [ErrTooDeep], [ErrTooLarge] and [*SyntaxError], among them the one for
// an object that receivers would take for an attachment. What was appended by then
// is to be dropped.
func ToJSON(dst, in []byte, inline bool, b Bounds) (text []byte, attachments [][]byte, err error) {
	u := unpacker{Reader: Reader{in: in}, out: dst, inline: inline, most: b.Attachments, limit: len(dst) + b.Size, depth: b.Depth}
	if err := u.value(); err != nil {
		return u.out, nil, err
	}
	if err := u.End(); err != nil {
		return u.out, nil, err
	}
	if u.lookalike && len(u.attachments) > 0 {
		return u.out, nil, &SyntaxError{Offset: u.pos, Msg: "object looks like an attachment placeholder"}
	}
	return u.out, u.attachments, nil
}

func (u *unpacker) value() error {
	switch t := u.Token(); t.Kind {
	case Nil:
		u.out = append(u.out, "null"...)
	case Bool:
		u.out = strconv.AppendBool(u.out, t.num == 1)
	case Uint:
		u.out = strconv.AppendUint(u.out, t.num, 10)
	case Int:
		u.out = strconv.AppendInt(u.out, int64(t.num), 10)
	case Float:
		u.out = AppendJSONFloat(u.out, t.float())
	case Str:
		u.out = appendJSONString(u.out, t.Data)
	case Bin:
		u.binary(t.Data)
	case Array:
		return u.array(t.N)
	case Map:
		return u.object(t.N)
	case Ext:
		u.extension(t)
	}
	if u.err != nil {
		return u.err
	}
	return u.bounded()
}

func (u *unpacker) bounded() error {
	if len(u.out)+attachmentCost*len(u.attachments) > u.limit {
		return ErrTooLarge
	}
	return nil
}

func (u *unpacker) open() error {
	if u.depth--; u.depth < 0 {
		return ErrTooDeep
	}
	return u.bounded()
}

func (u *unpacker) array(n int) error {
	if err := u.open(); err != nil {
		return err
	}
	u.out = append(u.out, '[')
	for i := range n {
		if i > 0 {
			u.out = append(u.out, ',')
		}
		if err := u.value(); err != nil {
			return err
		}
	}
	u.out = append(u.out, ']')
	u.depth++
	return nil
}

func (u *unpacker) object(n int) error {
	if err := u.open(); err != nil {
		return err
	}
	u.out = append(u.out, '{')
	empty := true
	for range n {
		mark := len(u.out)
		if !empty {
			u.out = append(u.out, ',')
		}
		if err := u.key(); err != nil {
			return err
		}
		if IsUndefined(u.in[u.pos:]) {
			// JSON.stringify leaves such a property out.
			u.Skip(u.Token())
			u.out = u.out[:mark]
			continue
		}
		empty = false
		val := len(u.out)
		if err := u.value(); err != nil {
			return err
		}
		if string(u.out[val:]) == "true" && bytes.HasSuffix(u.out[:val], []byte(`"_placeholder":`)) {
			u.lookalike = true
		}
	}
	u.out = append(u.out, '}')
	u.depth++
	return nil
}

// key writes the key of an object. JavaScript makes any key a string; peers in other
// languages may have integers.
func (u *unpacker) key() error {
	switch t := u.Token(); t.Kind {
	case Str:
		u.out = appendJSONString(u.out, t.Data)
	case Uint, Int:
		text, _ := t.Text()
		u.out = append(append(append(u.out, '"'), text...), '"')
	default:
		u.Fail("key that is neither a string nor an integer")
		return u.err
	}
	u.out = append(u.out, ':')
	return nil
}

func (u *unpacker) binary(b []byte) {
	if !u.inline {
		if len(u.attachments) == u.most {
			u.Fail("too many attachments")
			return
		}
		u.out = append(u.out, placeholderHead...)
		u.out = strconv.AppendInt(u.out, int64(len(u.attachments)), 10)
		u.out = append(u.out, '}')
		u.attachments = append(u.attachments, b)
		return
	}
	if len(b) > u.limit/4 { // what it takes as text, at most
		u.limit = 0
		return
	}
	u.out = append(u.out, `{"type":"Buffer","data":[`...)
	for i, c := range b {
		if i > 0 {
			u.out = append(u.out, ',')
		}
		u.out = strconv.AppendUint(u.out, uint64(c), 10)
	}
	u.out = append(u.out, "]}"...)
}

// extension writes a date, undefined or binary data. Type -1 is the standard's timestamp;
// type 0 is what notepack.io 2 made of these three.
func (u *unpacker) extension(t Token) {
	if u.err != nil {
		return
	}
	switch n := len(t.Data); {
	case t.ext == 0 && t.fix && n == 1:
		u.out = append(u.out, "null"...)
	case t.ext == 0 && t.fix && n == 8:
		u.date(float64(int64(binary.BigEndian.Uint64(t.Data))))
	case t.ext == 0 && !t.fix:
		u.binary(t.Data)
	case t.ext == -1 && t.fix && n == 4:
		u.date(float64(binary.BigEndian.Uint32(t.Data)) * 1e3)
	case t.ext == -1 && t.fix && n == 8:
		v := binary.BigEndian.Uint64(t.Data)
		u.date(float64(v&(1<<34-1))*1e3 + math.Floor(float64(v>>34)/1e6))
	case t.ext == -1 && !t.fix && n == 12:
		ns, s := binary.BigEndian.Uint32(t.Data), int64(binary.BigEndian.Uint64(t.Data[4:]))
		u.date(float64(s)*1e3 + math.Floor(float64(ns)/1e6))
	default:
		u.Fail("extension of an unknown type")
	}
}

// date writes milliseconds since 1970 as JSON.stringify writes a Date.
func (u *unpacker) date(ms float64) {
	const most = 8.64e15 // of a Date in JavaScript
	if math.Abs(ms) > most {
		u.out = append(u.out, "null"...)
		return
	}
	t := time.UnixMilli(int64(ms)).UTC()
	u.out = append(u.out, '"')
	if y := t.Year(); y < 0 || y > 9999 {
		sign := byte('+')
		if y < 0 {
			sign, y = '-', -y
		}
		u.out = append(u.out, sign)
		digits := strconv.Itoa(y)
		u.out = append(append(u.out, "000000"[len(digits):]...), digits...)
	} else {
		u.out = t.AppendFormat(u.out, "2006")
	}
	u.out = t.AppendFormat(u.out, "-01-02T15:04:05.000Z")
	u.out = append(u.out, '"')
}

// AppendJSONFloat writes a number as JSON.stringify does.
func AppendJSONFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	if f == 0 {
		return append(dst, '0') // negative zero, too
	}
	format := byte('f')
	if a := math.Abs(f); a < 1e-6 || a >= 1e21 {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	if n := len(dst); format == 'e' && n >= 4 && dst[n-4] == 'e' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1] // e-09 is e-9 in JavaScript
		dst = dst[:n-1]
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// appendJSONString quotes a string. Bytes that are not UTF-8 become U+FFFD.
func appendJSONString(dst, s []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(append(dst, s[start:i]...), "\ufffd"...)
			i++
			start = i
			continue
		}
		i += size
	}
	return append(append(dst, s[start:]...), '"')
}
