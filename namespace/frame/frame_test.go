package frame

import (
	"sync"
	"testing"
	"unsafe"
)

func TestFrame_WireBuildsEachFormOnce(t *testing.T) {
	f := New(Part{Data: []byte("a")}, Part{Data: []byte{1, 2}, Binary: true})
	built := 0
	build := func(f *Frame) []byte { built++; return append([]byte("wire:"), f.Part(0).Data...) }
	first := f.Wire(1, build)
	if again := f.Wire(1, build); &again[0] != &first[0] || built != 1 {
		t.Errorf("built %d times, want once and the same bytes", built)
	}
	if f.Wire(2, build); built != 2 {
		t.Errorf("another form was not built: %d builds", built)
	}
	if f.Len() != 2 || f.Size() != 3 || !f.Part(1).Binary {
		t.Errorf("Len %d, Size %d, Part(1) %+v", f.Len(), f.Size(), f.Part(1))
	}
}

// Concurrent first senders must all send the very same bytes.
func TestFrame_WireIsSharedByConcurrentSenders(t *testing.T) {
	f := Text([]byte("x"))
	got := make([]*byte, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i] = &f.Wire(0, func(*Frame) []byte { return []byte("x") })[0] })
	}
	wg.Wait()
	for _, p := range got {
		if p != got[0] {
			t.Fatal("two senders got different bytes")
		}
	}
}

func TestFrame_VariantIsMadeOnce(t *testing.T) {
	f := Text([]byte("x"))
	if f.Variant(func(*Frame) *Frame { return nil }) != nil {
		t.Error("a variant of which there is none")
	}
	var wg sync.WaitGroup
	got := make([]*Frame, 8)
	for i := range got {
		wg.Go(func() { got[i] = f.Variant(func(*Frame) *Frame { return Binary([]byte("y")) }) })
	}
	wg.Wait()
	for _, v := range got {
		if v == nil || v != got[0] {
			t.Fatal("two senders got different variants")
		}
	}
}

// A frame waits in the queues of many: it is one of the runtime's sizes, and no more.
func TestFrame_Size(t *testing.T) {
	if size := unsafe.Sizeof(Frame{}); size > 128 {
		t.Errorf("%d bytes", size)
	}
}
