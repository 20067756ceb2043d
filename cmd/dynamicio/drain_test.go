package main

import (
	"testing"
	"time"
)

// Who only shortens the time-out need not know of the spread, and 0 is no spread.
func TestSettings_DrainSpread(t *testing.T) {
	for _, test := range []struct {
		args []string
		want time.Duration
	}{
		{nil, 5 * time.Second},
		{[]string{"--drain-timeout", "60s"}, 5 * time.Second},
		{[]string{"--drain-timeout", "4s"}, 2 * time.Second},
		{[]string{"--drain-timeout", "10s", "--drain-spread", "9s"}, 9 * time.Second},
		{[]string{"--drain-spread", "0"}, -1},
	} {
		s, err := loadSettings(given(t, test.args...))
		if err != nil {
			t.Fatal(test.args, err)
		}
		if got := s.nodeOptions().DrainSpread; got != test.want {
			t.Errorf("%v: the spread is %v, want %v", test.args, got, test.want)
		}
	}
}
