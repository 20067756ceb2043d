package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/lease"
)

// The age goes on from the last heartbeat, not from when the session was given up.
func TestMember_HeartbeatAgeOutlivesTheSession(t *testing.T) {
	m := &Member{session: &Session{dir: &Directory{}, beat: time.Now().Add(-time.Hour)}}
	before := m.Stats().HeartbeatAge
	m.away()
	if after := m.Stats().HeartbeatAge; before < time.Hour || after < before {
		t.Errorf("the age is %v with the session, and %v without", before, after)
	}
}

func TestObserver_IsToldOfEachScriptOnce(t *testing.T) {
	noAnswer := &Error{Op: "join", Err: errors.New("timeout")}
	for _, c := range []struct {
		err  error
		want []string
	}{
		{nil, []string{"join <nil>", "leave <nil>"}},
		{ErrFenced, []string{"join <nil>", "leave <nil>"}}, // refusals are answers
		{lease.ErrLost, []string{"join <nil>", "leave <nil>"}},
		{noAnswer, []string{"join " + noAnswer.Error(), "leave " + noAnswer.Error()}},
	} {
		var got []string
		o := Observer{Command: func(name string, took time.Duration, err error) {
			if took != time.Second {
				t.Errorf("took %v", took)
			}
			got = append(got, fmt.Sprint(name, " ", err))
		}}
		o.command([]*call{{script: joinScript}, {script: leaveScript}, {script: joinScript}}, time.Second, c.err)
		if !slices.Equal(got, c.want) {
			t.Errorf("with %v it was told %q, want %q", c.err, got, c.want)
		}
	}
	var nobody Observer
	nobody.command([]*call{{script: joinScript}}, time.Second, nil)
	nobody.leased("renew", time.Second, context.Canceled)
}
