package wire

import (
	"errors"

	"github.com/dynamicio/dynamicio/namespace/msgpack"
)

// reader reads the parts of a message that are the same in all of them.
type reader struct{ *msgpack.Reader }

// rooms reads an array of names; nil is an empty one.
func (r reader) rooms() []string {
	t := r.Token()
	if t.Kind == msgpack.Nil {
		return nil
	}
	if t.Kind != msgpack.Array {
		r.Fail("rooms are no array")
		return nil
	}
	if t.N == 0 {
		return nil
	}
	names := make([]string, 0, t.N)
	for range t.N {
		name, ok := r.Token().Text()
		if !ok {
			r.Fail("room that is no string")
			return nil
		}
		names = append(names, name)
	}
	return names
}

// keyName reads the key of a map; what is no string is nobody's key.
func (r reader) keyName() string {
	t := r.Token()
	switch t.Kind {
	case msgpack.Str:
		return string(t.Data)
	case msgpack.Array, msgpack.Map:
		r.Fail("key that is an array or map")
	}
	return ""
}

// optionalText reads a string, or a number as one; anything else is none.
func (r reader) optionalText() (string, bool) {
	t := r.Token()
	if s, ok := t.Text(); ok {
		return s, true
	}
	r.Skip(t)
	return "", false
}

// appendJSON writes a valid JSON text, in which placeholders in their shortest
// form number the attachments.
func appendJSON(dst, text []byte, attachments [][]byte) ([]byte, error) {
	dst, err := msgpack.AppendJSON(dst, text, attachments, MaxDepth)
	return dst, fault(err)
}

// toJSON returns the msgpack value that in consists of as JSON; see [msgpack.ToJSON].
func toJSON(in []byte, inline bool, limit int) (text []byte, attachments [][]byte, err error) {
	bounds := msgpack.Bounds{Depth: MaxDepth, Size: limit, Attachments: -1}
	text, attachments, err = msgpack.ToJSON(make([]byte, 0, len(in)+len(in)/4+16), in, inline, bounds)
	if err != nil {
		return nil, nil, fault(err)
	}
	return text, attachments, nil
}

// fault returns the error of this package that says what err of package msgpack does.
func fault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, msgpack.ErrTooDeep):
		return ErrTooDeep
	case errors.Is(err, msgpack.ErrTooLarge):
		return ErrTooLarge
	}
	if syntax, ok := errors.AsType[*msgpack.SyntaxError](err); ok {
		return &SyntaxError{Offset: syntax.Offset, Msg: "msgpack: " + syntax.Msg}
	}
	return err
}
