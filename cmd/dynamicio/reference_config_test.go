package main

import (
	"strings"
	"testing"
)

// The keys of the configuration file that are no flags stand in the reference
// as config default prints them.
func TestReference_Configuration(t *testing.T) {
	_, text, _ := command(t, "config", "default")
	i := strings.Index(text, "## Rules for namespaces")
	if i < 0 {
		t.Fatal("config default has no rules")
	}
	holdSection(t, "configuration", "\n```yaml\n"+uncommented.ReplaceAllString(text[i:], "")+"```\n\n")
}
