package packet

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// ArgError is an argument that could not be encoded or bound.
type ArgError struct {
	Index int // counted from 0, the event name not included
	Err   error
}

func (e *ArgError) Error() string {
	return "packet: argument " + strconv.Itoa(e.Index) + ": " + e.Err.Error()
}

// Unwrap returns e.Err.
func (e *ArgError) Unwrap() error { return e.Err }

// Bind decodes the value into what the pointer into points to, as
// encoding/json's Unmarshal would. A binary attachment goes into a []byte, or
// a type made of it, or an any (as []byte), at any depth: struct field, map
// value, slice element. Where the target is none of these, that is an error.
//
// A bound []byte is the attachment itself, not a copy: everybody who binds the
// same packet sees the same bytes, and should not write to them.
//
// A target of type [Raw] takes its part of the value as it is. Types with an
// UnmarshalJSON method see the JSON with its placeholders. A panic in such a
// method becomes an error.
func (r Raw) Bind(into any) (err error) {
	defer recoverTo(&err)
	if into, ok := into.(*Raw); ok && into != nil {
		*into = r
		return nil
	}
	if len(r.attachments) == 0 {
		return json.Unmarshal(r.JSON(), into)
	}
	found, syntax := findPlaceholders(r.JSON(), maxDepth)
	if syntax != nil {
		return syntax // not reached: a Raw is valid
	}
	if len(found) == 0 {
		return json.Unmarshal(r.JSON(), into)
	}
	if into, ok := into.(*[]byte); ok && into != nil && isWhole(found, r.json) {
		*into = r.attachments[found[0].num]
		return nil
	}
	return bindBinary(r, found, into)
}

// isWhole reports whether text is a placeholder and nothing else.
func isWhole(found []placeholder, text []byte) bool {
	return found[0].start == 0 && int(found[0].end) == len(text)
}

// Unmarshal decodes JSON text whose placeholders number the attachments into
// what the pointer into points to: [NewRaw], then [Raw.Bind].
func Unmarshal(text []byte, attachments [][]byte, into any) error {
	r, err := NewRaw(text, attachments...)
	if err != nil {
		return err
	}
	return r.Bind(into)
}

// recoverTo turns a panic, of a method of the user's types as a rule, into an
// error.
func recoverTo(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("packet: panic while encoding or decoding: %v", p)
	}
}

// v1Options make the second encoding/json behave like the first, but for the
// escaping of HTML. The second is needed for its hooks: functions that are
// called for each value, whatever its type and depth.
var v1Options = jsonv2.JoinOptions(jsonv1.DefaultOptionsV1(), jsontext.EscapeForHTML(false))

// binder decodes one value with attachments. It is reused, since the hooks
// cache what they learned about types.
type binder struct {
	raw    Raw
	found  []placeholder
	reader bytes.Reader
	dec    *jsontext.Decoder
	opts   jsonv2.Options
}

var binders = sync.Pool{New: func() any {
	b := new(binder)
	b.dec = jsontext.NewDecoder(&b.reader)
	b.opts = jsonv2.JoinOptions(v1Options, jsonv2.WithUnmarshalers(jsonv2.UnmarshalFromFunc(b.value)))
	return b
}}

// maxPooled is the capacity above which a buffer is not kept for reuse.
const maxPooled = 64 << 10

func bindBinary(r Raw, found []placeholder, into any) error {
	b := binders.Get().(*binder)
	b.raw, b.found = r, found
	b.reader.Reset(r.json)
	b.dec.Reset(&b.reader, b.opts)
	// A panic leaves b to the garbage collector, as it should.
	err := jsonv2.UnmarshalDecode(b.dec, into)
	b.raw, b.found = Raw{}, nil
	b.reader.Reset(nil)
	if len(r.json) <= maxPooled {
		binders.Put(b)
	}
	return err
}

// skip tells the decoder or encoder to treat a value as if there were no hook.
var skip = errors.ErrUnsupported

// value is called for every value that is decoded; into points to its target.
func (b *binder) value(dec *jsontext.Decoder, into any) error {
	if dec != b.dec {
		return skip // a method of the user's decodes something of its own with our options
	}
	switch into := into.(type) {
	case *Raw:
		text, err := dec.ReadValue()
		if err == nil {
			*into = Raw{json: slices.Clone(text), attachments: b.raw.attachments}
		}
		return err
	case *json.Number:
		return bindNumber(dec, into)
	}
	if dec.PeekKind() != '{' {
		return skip
	}
	ph, ok := b.placeholderAt(dec.InputOffset())
	if !ok {
		return skip
	}
	attachment := b.raw.attachments[ph.num]
	if into, ok := into.(*any); ok {
		if held := reflect.ValueOf(*into); held.Kind() == reflect.Pointer && !held.IsNil() {
			return skip // encoding/json decodes into what it points to
		}
		*into = attachment
		return dec.SkipValue()
	}
	target := reflect.ValueOf(into).Elem()
	switch t := target.Type(); {
	case t.Kind() == reflect.Pointer:
		return skip // the decoder follows it and comes back
	case reflect.PointerTo(t).Implements(unmarshalerType), reflect.PointerTo(t).Implements(unmarshalerFromType):
		return skip
	case isByteSlice(t):
		target.SetBytes(attachment)
		return dec.SkipValue()
	default:
		return fmt.Errorf("packet: binary attachment cannot be bound to %v", t)
	}
}

var (
	unmarshalerType     = reflect.TypeFor[json.Unmarshaler]()
	unmarshalerFromType = reflect.TypeFor[jsonv2.UnmarshalerFrom]()
)

// placeholderAt returns the placeholder that begins at the first value after
// offset.
func (b *binder) placeholderAt(offset int64) (placeholder, bool) {
	i := int(offset)
	for i < len(b.raw.json) && (isSpace(b.raw.json[i]) || b.raw.json[i] == ',' || b.raw.json[i] == ':') {
		i++
	}
	at, ok := slices.BinarySearchFunc(b.found, i, func(ph placeholder, i int) int { return cmp.Compare(int(ph.start), i) })
	if !ok {
		return placeholder{}, false
	}
	return b.found[at], true
}

// bindNumber decodes into the Number of encoding/json, which the second
// version, unless it is built into Go, takes for any other string.
func bindNumber(dec *jsontext.Decoder, into *json.Number) error {
	if dec.PeekKind() != '0' {
		return skip
	}
	text, err := dec.ReadValue()
	if err == nil {
		*into = json.Number(text)
	}
	return err
}
