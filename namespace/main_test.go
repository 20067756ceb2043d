package namespace

import (
	"testing"

	"github.com/dynamicio/dynamicio/e2e/leaktest"
)

// Every goroutine of the package has an end; a test that leaves one behind
// fails the run.
func TestMain(m *testing.M) { leaktest.Main(m) }
