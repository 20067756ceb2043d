package leaktest

import (
	"strings"
	"testing"
	"time"
)

func lingerIn(done <-chan struct{}) { <-done }

// A goroutine that ends later than goleak waits is none that was left; one that stays is.
func TestWait(t *testing.T) {
	done := make(chan struct{})
	go lingerIn(done)
	if err := wait(time.Millisecond); err == nil || !strings.Contains(err.Error(), "lingerIn") {
		t.Errorf("a goroutine is left, and %v", err)
	}
	time.AfterFunc(time.Second, func() { close(done) })
	if err := wait(patience); err != nil {
		t.Error(err)
	}
}
