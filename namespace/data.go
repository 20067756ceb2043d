package namespace

import (
	"encoding/json"
	"fmt"
	"maps"
	"sync"
)

// Data holds values by name. The zero value is empty and ready for use; it is
// safe for concurrent use.
type Data struct {
	mu     sync.Mutex // guards values
	values map[string]any
}

// Set stores a value, which must not be changed afterwards. FetchSockets
// shows it in its JSON form.
func (d *Data) Set(key string, value any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.values == nil {
		d.values = make(map[string]any)
	}
	d.values[key] = value
}

// Get returns a value, nil if there is none.
func (d *Data) Get(key string) any {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.values[key]
}

// Value returns a value of the type asked for, and whether there is one.
func Value[T any](d *Data, key string) (T, bool) {
	v, ok := d.Get(key).(T)
	return v, ok
}

// encode returns the values as a JSON object, without those that JSON cannot
// hold. It calls their own methods, so d is not locked meanwhile.
func (d *Data) encode() json.RawMessage {
	d.mu.Lock()
	values := maps.Clone(d.values)
	d.mu.Unlock()
	out := make(map[string]json.RawMessage, len(values))
	for k, v := range values {
		if b, err := marshal(v); err == nil {
			out[k] = b
		}
	}
	b, _ := json.Marshal(out) // cannot fail: its values are valid JSON
	return b
}

// marshal is json.Marshal; a panic in a method of v is an error.
func marshal(v any) (b []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("namespace: value of a socket's data panicked: %v", p)
		}
	}()
	return json.Marshal(v)
}
