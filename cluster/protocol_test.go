package cluster_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// PROTOCOL.md names the code and the tests that keep each rule; a rename must not leave it behind.
func TestProtocol_ReferencesExist(t *testing.T) {
	page := read(t, "PROTOCOL.md")
	tests := make(map[string]bool)
	for _, dir := range []string{".", "../lease", "../namespace"} {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(read(t, file), -1) {
				tests[m[1]] = true
			}
		}
	}
	rules := 0
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| rule") || strings.HasPrefix(line, "| ---") {
			continue
		}
		rules++
		cells := strings.Split(line, " | ")
		if len(cells) != 3 {
			t.Fatalf("a rule needs its code and its tests: %s", line)
		}
		named := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(cells[2], -1)
		if len(named) == 0 {
			t.Errorf("no test is named: %s", line)
		}
		for _, m := range named {
			if !tests[m[1]] {
				t.Errorf("%s does not exist", m[1])
			}
		}
		code := regexp.MustCompile("`([\\w./]+\\.(?:go|lua))`(?: \\(([^)]*)\\))?").FindAllStringSubmatch(cells[1], -1)
		if len(code) == 0 {
			t.Errorf("no code is named: %s", line)
		}
		for _, m := range code {
			source := read(t, m[1])
			for _, f := range regexp.MustCompile(`\w+`).FindAllString(m[2], -1) {
				if !regexp.MustCompile(`(?m)^(?:local )?func(?:tion)? (?:\([^)]*\) )?` + f + `\(`).MatchString(source) {
					t.Errorf("%s has no function %s", m[1], f)
				}
			}
		}
	}
	if rules == 0 {
		t.Error("no rules were found")
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
