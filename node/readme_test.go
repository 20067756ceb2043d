package node_test

import (
	"os"
	"strings"
	"testing"
)

// What the README shows is compiled: it stands in example_test.go, where the
// function must have another name.
func TestREADME_ShowsTheExample(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(readme), "```go\n")
	block, _, closed := strings.Cut(block, "\n```")
	if !found || !closed {
		t.Fatal("the README has no block of Go")
	}
	block = strings.Replace(block, "func main() {", "func ExampleServer() {", 1)
	if !strings.Contains(string(example), block) {
		t.Errorf("the README's example is not the one of example_test.go:\n%s", block)
	}
}
