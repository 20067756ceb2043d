package packet

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

type blob []byte

type picture struct {
	Name  string            `json:"name"`
	Image []byte            `json:"image"`
	Thumb *[]byte           `json:"thumb,omitempty"`
	Tiles [][]byte          `json:"tiles"`
	By    map[string]blob   `json:"by"`
	Any   any               `json:"any"`
	Rest  Raw               `json:"rest"`
	Note  json.RawMessage   `json:"note"`
	N     json.Number       `json:"n"`
	Attrs map[string]string `json:"attrs"`
}

const ph0, ph1, ph2 = `{"_placeholder":true,"num":0}`, `{"num":1,"_placeholder":true}`, ` { "_placeholder" : true , "num" : 2.0 } `

// abc are the attachments of most tests.
func abc() [][]byte { return [][]byte{[]byte("a"), []byte("b"), {}} }

func TestRaw_BindsAttachmentsAtAnyDepth(t *testing.T) {
	text := `{"NAME":"<x>","image":` + ph0 + `,"thumb":` + ph1 + `,"tiles":[` + ph1 + `,null,"aGk=",` + ph2 + `],"by":{"me":` + ph2 + `},
		"any":[{"b":` + ph0 + `,"s":"{\"_placeholder\":true,\"num\":0}"},1,{"_placeholder":false,"num":0}],
		"rest":{"r":` + ph1 + `},"note":{"x":[1]},"n":12345678901234567890,"attrs":{"k":"v"}}`
	var got picture
	if err := Unmarshal([]byte(text), abc(), &got); err != nil {
		t.Fatal(err)
	}
	b := []byte("b")
	want := picture{
		Name: "<x>", Image: []byte("a"), Thumb: &b, Tiles: [][]byte{b, nil, []byte("hi"), {}}, By: map[string]blob{"me": {}},
		Any:  []any{map[string]any{"b": []byte("a"), "s": `{"_placeholder":true,"num":0}`}, 1.0, map[string]any{"_placeholder": false, "num": 0.0}},
		Rest: Raw{json: []byte(`{"r":` + ph1 + `}`), attachments: abc()},
		Note: json.RawMessage(`{"x":[1]}`), N: "12345678901234567890", Attrs: map[string]string{"k": "v"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
	var inner struct{ R blob }
	if err := got.Rest.Bind(&inner); err != nil || string(inner.R) != "b" {
		t.Errorf("the kept part binds to %q, %v", inner.R, err)
	}
}

// The direct way of a large attachment must not copy it.
func TestRaw_BindsAnArgumentToItsAttachmentItself(t *testing.T) {
	attachments := abc()
	for _, text := range []string{ph0, " " + ph0 + "\n"} {
		var direct, held []byte
		var named blob
		var dynamic any
		var holder any = &held
		for _, into := range []any{&direct, &named, &dynamic, &holder} {
			if err := Unmarshal([]byte(text), attachments, into); err != nil {
				t.Fatalf("%T: %v", into, err)
			}
		}
		for _, got := range [][]byte{direct, named, dynamic.([]byte), held} {
			if len(got) != 1 || &got[0] != &attachments[0][0] {
				t.Errorf("%q is not the attachment", got)
			}
		}
	}
}

// Without attachments all is as with encoding/json, whatever it looks like.
func TestRaw_BindsPlainJSONAsUsual(t *testing.T) {
	var v any
	if err := Unmarshal([]byte(ph0), nil, &v); err != nil || !reflect.DeepEqual(v, map[string]any{"_placeholder": true, "num": 0.0}) {
		t.Errorf("%#v, %v", v, err)
	}
	var b []byte
	if err := Unmarshal([]byte(`"aGk="`), abc(), &b); err != nil || string(b) != "hi" {
		t.Errorf("%q, %v", b, err)
	}
	var p struct{ Keep Raw }
	text := []byte(`{"keep":[1, 2]}`)
	if err := Unmarshal(text, nil, &p); err != nil || string(p.Keep.JSON()) != "[1, 2]" {
		t.Errorf("%s, %v", p.Keep.JSON(), err)
	}
	if text[9] = '7'; string(p.Keep.JSON()) != "[1, 2]" {
		t.Error("a Raw inside a value shares memory with the message")
	}
}

// seer takes JSON text as it is; stranger decodes text of its own, with the
// options of the decoder that calls it.
type seer struct{ saw string }

func (s *seer) UnmarshalJSON(text []byte) error { s.saw = string(text); return nil }

type stranger struct{ got any }

func (s *stranger) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if err := dec.SkipValue(); err != nil {
		return err
	}
	return jsonv2.Unmarshal([]byte(`[{"x":1}]`), &s.got, dec.Options())
}

func TestRaw_BindLeavesTypesWithMethodsAlone(t *testing.T) {
	var v struct {
		S seer
		R json.RawMessage
	}
	if err := Unmarshal([]byte(`{"s":`+ph0+`,"r":`+ph0+`}`), abc(), &v); err != nil || v.S.saw != ph0 || string(v.R) != ph0 {
		t.Errorf("%+v, %v", v, err)
	}
	// Its object begins where ours has a placeholder.
	var own []stranger
	if err := Unmarshal([]byte(`[`+ph0+`]`), abc(), &own); err != nil || !reflect.DeepEqual(own[0].got, []any{map[string]any{"x": 1.0}}) {
		t.Errorf("%#v, %v", own, err)
	}
}

type explosive struct{}

func (explosive) MarshalJSON() ([]byte, error) { panic("boom") }
func (*explosive) UnmarshalJSON([]byte) error  { panic("boom") }

func TestRaw_BindErrors(t *testing.T) {
	for _, c := range []struct {
		text string
		into any
		msg  string
	}{
		{ph0, new(string), "string"},
		{ph0, new(int), "int"},
		{ph0, new(struct{ Num int }), "binary attachment cannot be bound to struct"},
		{ph0, new(map[string]any), "binary attachment cannot be bound to map[string]interface {}"},
		{`[` + ph0 + `]`, new([]picture), "binary attachment cannot be bound to packet.picture"},
		{ph0, new([1]byte), "cannot be bound"},
		{ph0, nil, "Unmarshal(nil)"},
		{ph0, []byte{}, "non-pointer"},
		{ph0, (*[]byte)(nil), "nil"},
		{ph0, (*Raw)(nil), "nil"},
		{`1`, (*Raw)(nil), "nil"},
		{`{"x":` + ph0 + `}`, new(explosive), "boom"},
		{`1`, new(explosive), "boom"},
		{`{"x":` + ph0 + `,"n":"x"}`, new(struct{ N int }), "string"},
		{`{"_placeholder":true,"num":3}`, new([]byte), "without an attachment"},
		{`[1`, new(any), "text ends"},
	} {
		err := Unmarshal([]byte(c.text), abc(), c.into)
		if err == nil || !strings.Contains(err.Error(), c.msg) {
			t.Errorf("%s into %T: %v, want %q", c.text, c.into, err, c.msg)
		}
	}
	// What failed must not disturb the next.
	var b []byte
	if err := Unmarshal([]byte(`[`+ph1+`]`), abc(), &[]any{&b}); err != nil {
		t.Error(err)
	}
}

func TestArgs_BindSaysWhichArgumentFailed(t *testing.T) {
	p := decode(t, new(Decoder), wire{`51-["e",1,` + ph0 + `,"x"]`, "bin"})
	var n int
	var b []byte
	var s, missing string
	if err := p.Args.Bind(&n, &b); err != nil || n != 1 || string(b) != "bin" {
		t.Errorf("%d, %q, %v", n, b, err)
	}
	missing = "kept"
	if err := p.Args.Bind(&n, &b, &s, &missing); err != nil || s != "x" || missing != "kept" {
		t.Errorf("%q, %q, %v", s, missing, err)
	}
	var arg *ArgError
	if err := p.Args.Bind(&n, &n); !asArg(err, &arg) || arg.Index != 1 {
		t.Errorf("error %v", err)
	}
}

func asArg(err error, into **ArgError) bool {
	e, ok := err.(*ArgError)
	*into = e
	return ok
}

func TestRaw_CloneSharesNothing(t *testing.T) {
	text, bin := []byte(`[`+ph0+`]`), []byte("bin")
	r, err := NewRaw(text, bin)
	if err != nil {
		t.Fatal(err)
	}
	c := r.Clone()
	text[0], bin[0] = 'x', 'x'
	var got [][]byte
	if err := c.Bind(&got); err != nil || len(got) != 1 || string(got[0]) != "bin" {
		t.Errorf("%q, %v", got, err)
	}
	if !slices.Equal(r.Attachments()[0], []byte("xin")) {
		t.Error("NewRaw copied")
	}
}
