//go:build !race

package packet

import (
	"testing"
)

func TestMemory_DecoderAllocatesOnlyTheArguments(t *testing.T) {
	var d Decoder
	text := []byte(`2/chat,12["message",1,"two"]`)
	if n := testing.AllocsPerRun(1000, func() {
		if _, _, err := d.Text(text); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations, want 1", n)
	}
}
