package namespace

import (
	"testing"

	"go.uber.org/goleak"
)

// Every goroutine of the package has an end; a test that leaves one behind
// fails the run.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
