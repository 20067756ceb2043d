package cluster

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

func TestParseNotice(t *testing.T) {
	for payload, want := range map[string]Notice{
		"retired 12 /x y": {NoticeRetired, 12, "/x y"},
		"due 1 /":         {NoticeDue, 1, "/"},
		"gone 3 a":        {NoticeGone, 3, "a"},
		"asserted 4 b":    {NoticeAsserted, 4, "b"},
		"":                {}, "retired": {}, "retired 12": {}, "retired 12 ": {}, "retired -1 /x": {}, "retired x /x": {},
		"other 1 /x": {}, " retired 1 /x": {}, "retired 99999999999999999999 /x": {},
	} {
		if got, ok := ParseNotice(payload); got != want || ok != (want.Kind != "") {
			t.Errorf("ParseNotice(%q) = %v, %v, want %v", payload, got, ok, want)
		}
	}
}

func FuzzParseNotice(f *testing.F) {
	f.Add("retired 12 /x y")
	f.Fuzz(func(t *testing.T, payload string) {
		n, ok := ParseNotice(payload)
		if !ok {
			return
		}
		again, ok := ParseNotice(fmt.Sprintf("%s %d %s", n.Kind, n.Number, n.Name))
		if !ok || again != n {
			t.Errorf("%q is %v, which is %v", payload, n, again)
		}
	})
}

// A script is read by people who must know what it promises: each has its header.
func TestScripts_HaveHeaders(t *testing.T) {
	files, err := fs.Glob(luaFiles, "lua/*.lua")
	if err != nil || len(files) != len(scripts)+2 { // common.lua is part of all, tally.lua is not for sessions
		t.Fatalf("%d files for %d scripts, %v", len(files), len(scripts), err)
	}
	for _, file := range files {
		src, err := luaFiles.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"-- " + strings.TrimPrefix(file, "lua/") + ": ", "KEYS[1]", "ARGV[1]", "Returns ", "Keeps: "}
		if strings.HasSuffix(file, "common.lua") {
			want = want[:1]
		}
		for _, part := range want {
			if !strings.Contains(string(src), part) {
				t.Errorf("%s has no %q", file, part)
			}
		}
	}
}
