package packet

import "testing"

func TestArgs_SizeIsWhatCame(t *testing.T) {
	a, err := NewArgs([]byte(`["a", {"_placeholder":true,"num":0}]`), []byte("12345"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := a.Size(), len(`"a", {"_placeholder":true,"num":0}`)+5; got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
	if got := (Args{}).Size(); got != 0 {
		t.Errorf("%d bytes of nothing", got)
	}
}
