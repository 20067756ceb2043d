package status

import (
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"
)

// sceneOf is a scene with one region, "r", of fragments given as id and text.
func sceneOf(items ...string) *scene {
	s := &scene{title: "t", time: time.UnixMilli(1000), regions: []region{{name: "r"}}}
	for i := 0; i < len(items); i += 2 {
		s.regions[0].items = append(s.regions[0].items, fragment{items[i], items[i+1]})
	}
	return s
}

func TestScene_DiffSaysWhatChanged(t *testing.T) {
	old := sceneOf("a", "1", "b", "2", "c", "3")
	for name, tc := range map[string]struct {
		now   *scene
		put   map[string]string
		order []string
	}{
		"nothing": {sceneOf("a", "1", "b", "2", "c", "3"), nil, nil},
		"text":    {sceneOf("a", "1", "b", "x", "c", "3"), map[string]string{"b": "x"}, nil},
		"added":   {sceneOf("a", "1", "b", "2", "n", "9", "c", "3"), map[string]string{"n": "9"}, []string{"a", "b", "n", "c"}},
		"removed": {sceneOf("a", "1", "c", "3"), nil, []string{"a", "c"}},
		"moved":   {sceneOf("c", "3", "a", "1", "b", "2"), nil, []string{"c", "a", "b"}},
		"emptied": {sceneOf(), nil, []string{}},
	} {
		u := tc.now.diff(old)
		if !maps.Equal(u.Put, tc.put) {
			t.Errorf("%s: puts %v, want %v", name, u.Put, tc.put)
		}
		order, told := u.Order["r"]
		if told != (tc.order != nil) || !slices.Equal(order, tc.order) {
			t.Errorf("%s: order %v, want %v", name, order, tc.order)
		}
		if u.empty() != (name == "nothing") {
			t.Errorf("%s: empty is %v", name, u.empty())
		}
	}
	all := old.diff(nil)
	if want := (update{"t", map[string]string{"a": "1", "b": "2", "c": "3"}, map[string][]string{"r": {"a", "b", "c"}}}); !reflect.DeepEqual(all, want) {
		t.Errorf("to a page that shows nothing: %+v, want %+v", all, want)
	}
	renamed := sceneOf("a", "1", "b", "2", "c", "3")
	renamed.title = "other"
	if u := renamed.diff(old); u.Title != "other" || len(u.Put) > 0 {
		t.Errorf("another title: %+v", u)
	}
}

// A countdown that goes on is no change.
func TestScene_TheClockIsNoChange(t *testing.T) {
	src := &fakeSource{report: well()}
	src.report.Namespaces = []Namespace{space("/a", 1), space("/b", 0)}
	src.report.Expiring = []Expiring{{"/b", 9000}}
	began := time.UnixMicro(1_700_000_000_250_800)
	v := viewer{Query: Query{Limit: 100}, base: "/socket.io"}
	scenes := make([]*scene, 2)
	for i := range scenes {
		src.report.Time = began.Add(time.Duration(i) * (7*time.Second + 300*time.Microsecond)) // what is told in milliseconds, is told less exactly
		src.report.Lease.HeldMS += int64(i) * 7000
		src.report.Expiring[0].ExpiresInMS -= int64(i) * 7000
		src.report.Lease.TTLMS -= int64(i) * 7000
		var err error
		if scenes[i], err = newScene(src.Collect(t.Context(), v.Query), v); err != nil {
			t.Fatal(err)
		}
	}
	if u := scenes[1].diff(scenes[0]); !u.empty() {
		t.Errorf("seven seconds later: %+v", u)
	}
	text := func(s *scene) (all string) {
		put := s.diff(nil).Put
		for _, id := range slices.Sorted(maps.Keys(put)) {
			all += put[id]
		}
		return all
	}
	if text(scenes[0]) == text(scenes[1]) {
		t.Error("without the script, the countdowns are the same seven seconds later")
	}
}
