package packet

import (
	"bytes"
	"errors"
	"slices"
	"unicode/utf8"
)

// Raw is one JSON value, not decoded, with the binary attachments that its
// placeholders stand for. The zero value is null. A Raw is known to be valid:
// it comes from a decoded packet or from [NewRaw].
//
// As an argument of [Encode], or inside one, it is written as it is, with its
// attachments; as a target of [Raw.Bind], or inside one, it takes the value
// undecoded. It may be used from any goroutine.
type Raw struct {
	json        []byte
	attachments [][]byte // may hold more than the value refers to
}

// NewRaw makes a Raw of JSON text and the attachments that the placeholders
// in it number, if any. It keeps and does not copy them. The limits of a
// [Decoder] hold for the text; the error is a [*SyntaxError].
func NewRaw(text []byte, attachments ...[]byte) (Raw, error) {
	if !utf8.Valid(text) {
		return Raw{}, &SyntaxError{Msg: "text is not UTF-8"}
	}
	s := scanner{data: text, depth: maxDepth, seek: len(attachments) > 0}
	if err := s.whole(); err != nil {
		return Raw{}, err
	}
	for _, ph := range s.found {
		if ph.num < 0 || ph.num >= len(attachments) {
			return Raw{}, &SyntaxError{Offset: int(ph.start), Msg: "placeholder without an attachment"}
		}
	}
	return Raw{json: bytes.TrimSpace(text), attachments: attachments}, nil
}

// JSON returns the text, in which placeholders stand for binary data. It must
// not be changed.
func (r Raw) JSON() []byte {
	if r.json == nil {
		return []byte("null")
	}
	return r.json
}

// Attachments returns the attachments, which the placeholders number from 0.
// Some may belong to other arguments of the same packet. Must not be changed.
func (r Raw) Attachments() [][]byte { return r.attachments }

// Clone returns a copy that shares no memory with the message it came from.
func (r Raw) Clone() Raw {
	c := Raw{json: slices.Clone(r.json), attachments: slices.Clone(r.attachments)}
	for i, a := range c.attachments {
		c.attachments[i] = slices.Clone(a)
	}
	return c
}

// MarshalJSON returns the text for those who use encoding/json themselves. A
// value with binary data is an error there: JSON has no place for it.
func (r Raw) MarshalJSON() ([]byte, error) {
	if len(r.attachments) > 0 {
		found, err := findPlaceholders(r.json, maxDepth)
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			return nil, errors.New("packet: a Raw with binary attachments cannot become JSON")
		}
	}
	return r.JSON(), nil
}

// UnmarshalJSON takes a copy of the text.
func (r *Raw) UnmarshalJSON(text []byte) error {
	v, err := NewRaw(slices.Clone(text))
	if err == nil {
		*r = v
	}
	return err
}

// Args are the arguments of an event or acknowledgement, not decoded. The zero
// value has none. As an argument of [Encode] it is one argument, an array; to
// send the arguments themselves use [EncodeArgs]. It may be used from any
// goroutine.
type Args struct {
	data        []byte // the text that spans refer to
	spans       []span
	attachments [][]byte
}

// NewArgs makes Args of the JSON text of an array, as [NewRaw] does of a value.
func NewArgs(array []byte, attachments ...[]byte) (Args, error) {
	r, err := NewRaw(array, attachments...)
	if err != nil {
		return Args{}, err
	}
	s := scanner{data: array, depth: maxDepth}
	i := s.space(0)
	if s.at(i) != '[' {
		s.unexpected(i, "an array")
		return Args{}, s.err
	}
	var spans []span
	if s.array(i, &spans) < 0 {
		return Args{}, s.err
	}
	return Args{data: array, spans: spans, attachments: r.attachments}, nil
}

// Len returns the number of arguments.
func (a Args) Len() int { return len(a.spans) }

// Size returns how many bytes the arguments have as they came: their text and
// the attachments of the whole packet.
func (a Args) Size() int {
	n := len(a.text())
	for _, b := range a.attachments {
		n += len(b)
	}
	return n
}

// At returns argument i, counted from 0. An argument that was not sent is
// null, as it would be undefined in JavaScript.
func (a Args) At(i int) Raw {
	if i < 0 || i >= len(a.spans) {
		return Raw{}
	}
	return Raw{json: a.data[a.spans[i].start:a.spans[i].end:a.spans[i].end], attachments: a.attachments}
}

// From returns the arguments from i on.
func (a Args) From(i int) Args {
	a.spans = a.spans[min(max(i, 0), len(a.spans)):]
	return a
}

// Bind decodes the arguments into the pointers, in order, as [Raw.Bind] does.
// What is missing on either side is left alone. The error says which
// argument, counted from 0.
func (a Args) Bind(into ...any) error {
	for i := range min(len(into), len(a.spans)) {
		if err := a.At(i).Bind(into[i]); err != nil {
			return &ArgError{Index: i, Err: err}
		}
	}
	return nil
}

// text returns the arguments as they stand in the message, commas included.
func (a Args) text() []byte {
	if len(a.spans) == 0 {
		return nil
	}
	return a.data[a.spans[0].start:a.spans[len(a.spans)-1].end]
}

// MarshalJSON returns the arguments as an array, with the limits of
// [Raw.MarshalJSON].
func (a Args) MarshalJSON() ([]byte, error) { return a.raw().MarshalJSON() }

// raw returns the arguments as one value, an array.
func (a Args) raw() Raw {
	text := a.text()
	return Raw{json: slices.Concat([]byte{'['}, text, []byte{']'}), attachments: a.attachments}
}
