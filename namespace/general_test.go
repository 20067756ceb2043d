package namespace

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

// Exact beats pattern for a namespace that exists, in whichever order they are registered.
func TestSetup_ExactBeatsPatternForTheMainNamespace(t *testing.T) {
	for _, order := range [][]string{{"*", "/"}, {"/", "*"}} {
		r := newRegistry(t, Options{})
		var ran []string
		connected := make(chan string, len(order))
		for _, name := range order {
			r.Setup(name, func(ns *Namespace, _ Match) error {
				if ns.Name() == "/" {
					ran = append(ran, name)
				}
				ns.OnConnect(func(*Socket) { connected <- name })
				return nil
			})
		}
		newPeer(t, r, dial{}).join("/")
		if first := <-connected; first != "/" || !slices.Contains(ran, "/") {
			t.Errorf("%v: the handler of %s ran first (setups: %v)", order, first, ran)
		}
	}
}

// What the application has registered by itself is not lost, and neither is a client: then the pattern's setup stands, and
// the log says so.
func TestSetup_ExactComesTooLate(t *testing.T) {
	for name, meanwhile := range map[string]func(t *testing.T, r *Registry){
		"a client":       func(t *testing.T, r *Registry) { newPeer(t, r, dial{}).join("/") },
		"a registration": func(t *testing.T, r *Registry) { r.Lookup("/").OnConnect(func(*Socket) {}) },
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			r := newRegistry(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			r.Setup("*", func(*Namespace, Match) error { return nil })
			meanwhile(t, r)
			exact := false
			r.Setup("/", func(*Namespace, Match) error { exact = true; return nil })
			if exact || !strings.Contains(log.String(), "register exact names first") {
				t.Errorf("set up twice: %v; log:\n%s", exact, log.String())
			}
		})
	}
}
