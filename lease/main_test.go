package lease

import (
	"os"
	"testing"

	"github.com/dynamicio/dynamicio/e2e/leaktest"
)

// TestMain fails the run when a goroutine is left behind. With holderEnv set the
// binary is the holder that TestHeld_PausedKnowsAtOnce stops.
func TestMain(m *testing.M) {
	if addr := os.Getenv(holderEnv); addr != "" {
		os.Exit(runHolder(addr))
	}
	leaktest.Main(m)
}
