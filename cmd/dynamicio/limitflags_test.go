package main

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// noFlag are the numbers and times of the options that no flag sets, and why.
var noFlag = map[string]string{
	"Limits.Retirement":     "must be zero: Options.Retirement sets it",
	"Limits.ConnectTimeout": "must be zero: Options.ConnectTimeout sets it",
}

// numbers calls f for each number and duration in a struct of options, by its path.
func numbers(v reflect.Value, prefix string, f func(path, name string, field reflect.Value)) {
	for sf, field := range v.Fields() {
		switch {
		case !sf.IsExported():
		case field.CanInt(), field.CanUint(), field.CanFloat():
			f(prefix+sf.Name, sf.Name, field)
		case field.Type() == reflect.TypeFor[namespace.Options]():
			numbers(field, sf.Name+".", f)
		}
	}
}

// Every number and duration of node.Options and its Limits is a flag, whose
// default is what the zero value of the option stands for.
func TestFlags_SetEveryNumberOfTheOptions(t *testing.T) {
	s := newSettings()
	seen := map[string]bool{}
	defaults := node.Defaults()
	of := map[string]any{}
	numbers(reflect.ValueOf(defaults), "", func(path, _ string, field reflect.Value) { of[path] = field.Interface() })
	numbers(reflect.ValueOf(&s.options).Elem(), "", func(path, name string, field reflect.Value) {
		if noFlag[path] != "" {
			seen[path] = true
			return
		}
		f := s.flags.Lookup(flagOf(name))
		if f == nil {
			t.Errorf("Options.%s has no flag --%s", path, flagOf(name))
			return
		}
		if got, want := fmt.Sprint(field.Interface()), fmt.Sprint(of[path]); got != want {
			t.Errorf("--%s sets Options.%s to %s by default, whose default is %s", f.Name, path, got, want)
		}
		value := "7"
		if f.Value.Type() == "duration" {
			value = "7s"
		}
		if err := s.flags.Set(f.Name, value); err != nil {
			t.Errorf("--%s: %v", f.Name, err)
		}
		if got := fmt.Sprint(field.Interface()); got != value {
			t.Errorf("--%s %s sets Options.%s to %s", f.Name, value, path, got)
		}
	})
	for path := range noFlag {
		if !seen[path] {
			t.Errorf("there is no Options.%s, which noFlag has", path)
		}
	}
}

// A number that is out of range is an error of one line that names the flag,
// whichever flag it is; zero is one unless the help says what it means.
func TestFlags_NumbersAreInRange(t *testing.T) {
	s := newSettings()
	tried := 0
	numbers(reflect.ValueOf(node.Options{}), "", func(path, name string, field reflect.Value) {
		if noFlag[path] != "" {
			return
		}
		tried++
		f := s.flags.Lookup(flagOf(name))
		values := map[string]string{"0": "must be above 0", "-1": "must ", "99999999999": "at most", "x": "want a"}
		switch f.Value.Type() {
		case "duration":
			values = map[string]string{"0s": "must be above 0", "-1s": "must ", "999999h": "at most", "x": "want a duration"}
		case "float64":
			values = map[string]string{"0": "must be above 0", "-1": "must ", "NaN": "must ", "Inf": "at most", "x": "want a number"}
		}
		if mayBeZero[f.Name] {
			delete(values, "0")
			delete(values, "0s")
			if !strings.Contains(f.Usage, "0: ") {
				t.Errorf("the help of --%s does not say what 0 means", f.Name)
			}
		}
		for value, want := range values {
			code, _, stderr := command(t, "config", "show", "--"+f.Name+"="+value)
			if code != exitUsage || !strings.Contains(stderr, "--"+f.Name) || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("--%s=%s: status %d, error %q; want one line with %q", f.Name, value, code, stderr, want)
			}
		}
	})
	if tried < 15 {
		t.Errorf("only %d numbers tried", tried)
	}
}

// What the help calls no bound is none.
func TestFlags_ZeroIsNoBound(t *testing.T) {
	s, err := loadSettings(given(t, "--handshakes-per-second", "0", "--events-per-second", "0", "--max-sessions", "0"))
	if err != nil {
		t.Fatal(err)
	}
	if o := s.nodeOptions(); o.HandshakesPerSecond >= 0 || o.Limits.EventsPerSecond >= 0 || o.MaxSessions != 0 {
		t.Errorf("handshakes a second: %v, sessions: %d", o.HandshakesPerSecond, o.MaxSessions)
	}
}

// Errors of the packages name the flag of an option, also of one that has
// nothing but its name in common with it.
func TestNameFlags(t *testing.T) {
	for text, want := range map[string]string{
		"namespace: Options.MaxRooms is -1, must not be negative":   "--max-rooms is -1, must not be negative",
		"node: engineio: Options.UpgradeTimeout is 1ns":             "--upgrade-timeout is 1ns",
		"Options.Limits.MaxNameLength is 0":                         "--max-name-length is 0",
		"cluster: Options.Node \"\" and Options.NodeTTL":            "--node-id \"\" and --node-ttl",
		"engineio: Options.Origins has \"x\"":                       "--cors-origin has \"x\"",
		"node: Options.Path is \"x\", must begin with a slash":      "--path is \"x\", must begin with a slash",
		"lease: Options.TTL is 1ms; node: Options.PingTimeout is 0": "--lease-ttl is 1ms; --ping-timeout is 0",
	} {
		if got := nameFlags(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// A configuration file takes the numbers, fractions among them, and says what
// is no number.
func TestSettings_Numbers(t *testing.T) {
	s, err := loadSettings(given(t, "--config", configFile(t, "max-rooms: 3\nhandshakes-per-second: 0.5\nconnect-timeout: 3s\n")))
	if err != nil {
		t.Fatal(err)
	}
	if o := s.options; o.Limits.MaxRooms != 3 || o.HandshakesPerSecond != 0.5 || o.ConnectTimeout != 3*time.Second {
		t.Errorf("rooms %d, handshakes %v, connect %v", o.Limits.MaxRooms, o.HandshakesPerSecond, o.ConnectTimeout)
	}
	for text, want := range map[string]string{
		"handshakes-per-second: many": `f.yaml:1: handshakes-per-second is "many", want a number`,
		"handshakes-per-second: .nan": `f.yaml:1: handshakes-per-second is `,
		"max-rooms: 0":                "f.yaml:1: max-rooms is 0, must be above 0",
		"max-queue: 1.5":              `f.yaml:1: max-queue is "1.5", want a whole number`,
		"upgrade-timeout: 1us":        "f.yaml:1: upgrade-timeout is 1µs, must be a millisecond or more",
	} {
		code, _, stderr := command(t, "config", "check", configFile(t, text))
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%q: status %d, error %q, want %q", text, code, stderr, want)
		}
	}
	if int64(maxDuration) > math.MaxInt64/4 {
		t.Error("four of the longest durations overflow")
	}
}
