package packet

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var (
	rawType           = reflect.TypeFor[Raw]()
	argsType          = reflect.TypeFor[Args]()
	marshalerType     = reflect.TypeFor[json.Marshaler]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
)

// isByteSlice reports whether encoding/json writes the slice type t as one
// string of bytes: those are what this package sends as an attachment.
func isByteSlice(t reflect.Type) bool {
	if t.Kind() != reflect.Slice || t.Elem().Kind() != reflect.Uint8 {
		return false
	}
	p := reflect.PointerTo(t.Elem())
	return !p.Implements(marshalerType) && !p.Implements(textMarshalerType)
}

// hasMethod reports whether a value of type t says itself how it is encoded.
func hasMethod(t reflect.Type) bool {
	return t.Implements(marshalerType) || t.Implements(textMarshalerType)
}

// verdicts caches mayHoldBinary by type.
var verdicts sync.Map // reflect.Type -> bool

// mayHoldBinary reports whether a value of type t can contain a []byte or a
// Raw that encoding/json would reach. An interface can contain anything.
func mayHoldBinary(t reflect.Type) bool {
	if v, ok := verdicts.Load(t); ok {
		return v.(bool)
	}
	may := lookForBinary(t, map[reflect.Type]bool{})
	verdicts.Store(t, may)
	return may
}

// lookForBinary does the work of mayHoldBinary. seen breaks the cycles of
// recursive types; only the verdict on the outermost type is final, since it
// alone has seen all of a cycle.
func lookForBinary(t reflect.Type, seen map[reflect.Type]bool) bool {
	if t == rawType || t == argsType {
		return true
	}
	if t.Kind() == reflect.Interface {
		return true
	}
	if seen[t] {
		return false
	}
	seen[t] = true
	if hasMethod(t) {
		// A pointer type has the methods of what it points to, Raw's included.
		return t.Kind() == reflect.Pointer && lookForBinary(t.Elem(), seen)
	}
	switch t.Kind() {
	case reflect.Slice:
		return isByteSlice(t) || lookForBinary(t.Elem(), seen)
	case reflect.Array, reflect.Map, reflect.Pointer:
		return lookForBinary(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if tag := f.Tag.Get("json"); tag == "-" || !f.IsExported() && !f.Anonymous {
				continue
			}
			if lookForBinary(f.Type, seen) {
				return true
			}
		}
	}
	return false
}

// holdsBinary reports whether v may contain something that only the hooks can
// encode. It looks into the maps and slices that decoded JSON consists of: they
// could hold anything, but mostly do not, and encoding/json is twice as fast.
func holdsBinary(v any, depth int) bool {
	if depth > 100 {
		return true // a cycle, perhaps; the encoder will tell
	}
	switch v := v.(type) {
	case nil, string, bool, int, float64:
		return false
	case map[string]any:
		for _, v := range v {
			if holdsBinary(v, depth+1) {
				return true
			}
		}
		return false
	case []any:
		for _, v := range v {
			if holdsBinary(v, depth+1) {
				return true
			}
		}
		return false
	}
	return mayHoldBinary(reflect.TypeOf(v))
}

// hook returns the options that make jsonv2 call e.value for each value.
func (e *encoder) hook() jsonv2.Options {
	return jsonv2.JoinOptions(v1Options, jsonv2.WithMarshalers(jsonv2.MarshalToFunc(e.value)))
}

// value is called for every value that is encoded; at points to it.
func (e *encoder) value(enc *jsontext.Encoder, at any) error {
	switch v := at.(type) {
	case *string, *bool, *int, *int64, *float64, *any, *map[string]any, *[]any:
		return skip // the most common ones need no reflection
	case *[]byte:
		return e.bytes(enc, *v)
	case *Raw:
		return e.raw(enc, *v)
	case *Args:
		return e.raw(enc, v.raw())
	case *json.Number:
		return encodeNumber(enc, *v)
	}
	v := reflect.ValueOf(at).Elem()
	if t := v.Type(); t.Kind() == reflect.Slice && isByteSlice(t) && !hasMethod(t) && !hasMethod(reflect.PointerTo(t)) {
		return e.bytes(enc, v.Bytes())
	}
	return skip
}

func (e *encoder) bytes(enc *jsontext.Encoder, b []byte) error {
	if b == nil {
		return enc.WriteToken(jsontext.Null)
	}
	return enc.WriteValue(e.appendPlaceholder(nil, e.attach(b)))
}

func (e *encoder) raw(enc *jsontext.Encoder, r Raw) error {
	text, err := e.appendRaw(nil, r)
	if err != nil {
		return err
	}
	return enc.WriteValue(text)
}

// encodeNumber writes the Number of encoding/json, which the second version,
// unless it is built into Go, takes for any other string.
func encodeNumber(enc *jsontext.Encoder, n json.Number) error {
	if kind, i := enc.StackIndex(enc.StackDepth()); kind == '{' && i%2 == 0 {
		return skip // a key is a string
	}
	text := strings.TrimSpace(string(n))
	if text == "" {
		text = "0" // as encoding/json does
	}
	if quoted, _ := jsonv2.GetOption(enc.Options(), jsonv2.StringifyNumbers); quoted {
		text = `"` + text + `"`
	} else if c := text[0]; c != '-' && (c < '0' || '9' < c) {
		return &json.UnsupportedValueError{Value: reflect.ValueOf(n), Str: "invalid number literal " + string(n)}
	}
	return enc.WriteValue(jsontext.Value(text))
}
