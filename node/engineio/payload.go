package engineio

import (
	"bytes"
	"encoding/base64"
	"errors"
	"unicode/utf8"
)

// Packet types, as the first character of an encoded packet.
const (
	packetOpen    = '0'
	packetClose   = '1'
	packetPing    = '2'
	packetPong    = '3'
	packetMessage = '4'
	packetUpgrade = '5'
	packetNoop    = '6'
)

// separator stands between the packets of a revision 4 payload.
const separator = 0x1e

// errParse is the one error of the decoders: what they got is no packet.
var errParse = errors.New("engineio: malformed packet")

// packet is a decoded packet. The data is a part of what was decoded, or fresh.
type packet struct {
	kind   byte // one of the packet types
	data   []byte
	binary bool
}

// decodeText decodes a packet of text, which may hold binary data as base64:
// "b" and the data in revision 4, "b", the type and the data in revision 3.
func decodeText(p []byte, protocol int) (packet, error) {
	if len(p) == 0 {
		return packet{}, errParse
	}
	kind, rest := p[0], p[1:len(p):len(p)]
	if kind != 'b' {
		if kind < packetOpen || kind > packetNoop || !utf8.Valid(rest) {
			return packet{}, errParse
		}
		return packet{kind: kind, data: rest}, nil
	}
	kind = packetMessage
	if protocol == 3 {
		if len(rest) == 0 || rest[0] < packetOpen || rest[0] > packetNoop {
			return packet{}, errParse
		}
		kind, rest = rest[0], rest[1:]
	}
	return packet{kind: kind, data: decodeBase64(rest), binary: true}, nil
}

// base64Skip marks what is no character of base64.
const base64Skip = 0xff

// base64Values are the bits of each character, of the standard and of the URL
// alphabet.
var base64Values = func() (values [256]byte) {
	for i := range values {
		values[i] = base64Skip
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		values[c] = byte(i)
	}
	values['-'], values['_'] = values['+'], values['/']
	return values
}()

// decodeBase64 decodes as Node's Buffer.from does, which never fails: clients in
// Java break lines, others leave the padding out or use the URL alphabet. What is
// no character of base64 is skipped, up to the padding.
func decodeBase64(text []byte) []byte {
	// The usual case first, in one pass.
	plain := bytes.TrimRight(text, "=")
	data := make([]byte, base64.RawStdEncoding.DecodedLen(len(plain)))
	if n, err := base64.RawStdEncoding.Decode(data, plain); err == nil { // it skips line breaks by itself
		return data[:n]
	}
	data = data[:0]
	bits, n := uint32(0), 0
	for _, c := range text {
		if c == '=' {
			break
		}
		v := base64Values[c]
		if v == base64Skip {
			continue
		}
		bits, n = bits<<6|uint32(v), n+6
		if n >= 8 {
			n -= 8
			data = append(data, byte(bits>>n))
		}
	}
	return data
}

// decodeBinary decodes a binary WebSocket message: in revision 4 it is the
// data of a message, in revision 3 the type precedes it as a byte.
func decodeBinary(p []byte, protocol int) (packet, error) {
	if protocol != 3 {
		return packet{kind: packetMessage, data: p, binary: true}, nil
	}
	if len(p) == 0 || p[0] > packetNoop-packetOpen {
		return packet{}, errParse
	}
	return packet{kind: packetOpen + p[0], data: p[1:len(p):len(p)], binary: true}, nil
}

// sharedBody is the size up to which the packets of a polling body may keep all of it
// in memory.
const sharedBody = 4096

// alone returns the packet without the body of n bytes that it came in, if that is
// much larger: a handler may keep a message for long, and what it keeps is counted by
// the message's own size.
func (p packet) alone(n int) packet {
	if n > sharedBody && p.kind == packetMessage && 2*len(p.data) < n {
		p.data = bytes.Clone(p.data)
	}
	return p
}

// decodePayload hands the packets of a polling body to each, one after the
// other. An error of each ends it and is returned; a malformed packet is
// errParse, after the packets before it.
func decodePayload(body []byte, protocol int, binary bool, each func(packet) error) error {
	switch {
	case protocol != 3:
		return decodePayload4(body, each)
	case binary:
		return decodePayload3Binary(body, each)
	default:
		return decodePayload3(body, each)
	}
}

func decodePayload4(body []byte, each func(packet) error) error {
	for more := true; more; {
		var one []byte
		one, body, more = bytes.Cut(body, []byte{separator})
		p, err := decodeText(one, 4)
		if err != nil {
			return err
		}
		if err := each(p); err != nil {
			return err
		}
	}
	return nil
}

// maxLengthDigits bounds the decimal lengths of revision 3 payloads: more would
// only overflow.
const maxLengthDigits = 10

// decodePayload3 decodes LENGTH:PACKET, repeated. The length counts UTF-16 code
// units, since that is what a JavaScript string counts.
func decodePayload3(body []byte, each func(packet) error) error {
	if len(body) == 0 {
		return errParse
	}
	for len(body) > 0 {
		digits := bytes.IndexByte(body, ':')
		if digits < 1 || digits > maxLengthDigits {
			return errParse
		}
		units := 0
		for _, d := range body[:digits] {
			if d < '0' || d > '9' {
				return errParse
			}
			units = units*10 + int(d-'0')
		}
		body = body[digits+1:]
		n, ok := utf16Prefix(body, units)
		if !ok {
			return errParse
		}
		one := body[:n]
		body = body[n:]
		if len(one) == 0 {
			continue // Node's encoder writes "0:" for a payload of no packets
		}
		p, err := decodeText(one, 3)
		if err != nil {
			return err
		}
		if err := each(p); err != nil {
			return err
		}
	}
	return nil
}

// decodePayload3Binary decodes, repeated: 0 for text or 1 for binary, the
// length in bytes as decimal digits of one byte each (0 to 9), 255, the packet.
func decodePayload3Binary(body []byte, each func(packet) error) error {
	if len(body) == 0 {
		return errParse
	}
	for len(body) > 0 {
		kind := body[0]
		digits := bytes.IndexByte(body, 255) - 1
		if kind > 1 || digits < 1 || digits > maxLengthDigits {
			return errParse
		}
		n := 0
		for _, d := range body[1 : 1+digits] {
			if d > 9 {
				return errParse
			}
			n = n*10 + int(d)
		}
		body = body[digits+2:]
		if n > len(body) {
			return errParse
		}
		one := body[:n:n]
		body = body[n:]
		decode := decodeText
		if kind == 1 {
			decode = decodeBinary
		}
		p, err := decode(one, 3)
		if err != nil {
			return err
		}
		if err := each(p); err != nil {
			return err
		}
	}
	return nil
}

// utf16Len counts the UTF-16 code units of UTF-8 text.
func utf16Len(p []byte) int {
	n := 0
	for _, b := range p {
		n += utf16Units(b)
	}
	return n
}

// utf16Units says how many code units begin with this byte of UTF-8.
func utf16Units(b byte) int {
	switch {
	case b&0xc0 == 0x80: // continues a character
		return 0
	case b >= 0xf0: // beyond the basic plane: a surrogate pair
		return 2
	default:
		return 1
	}
}

// utf16Prefix returns how many bytes the first units code units take, and
// whether there are as many and the last character is whole.
func utf16Prefix(p []byte, units int) (n int, ok bool) {
	for n < len(p) {
		u := utf16Units(p[n])
		if u > units {
			return n, units == 0
		}
		units -= u
		n++
	}
	return n, units == 0
}
