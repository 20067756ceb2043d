package leaktest

import (
	"fmt"
	"os"
	"time"

	"go.uber.org/goleak"
)

// patience is how long goroutines may take to end when all tests are over. goleak's
// own is half a second, in which a busy machine may not run one of them.
const patience = 30 * time.Second

// Main is what a TestMain has to do. m is its *testing.M.
func Main(m interface{ Run() int }) {
	code := m.Run()
	if code == 0 {
		if err := wait(patience); err != nil {
			fmt.Fprintf(os.Stderr, "goroutines are left %v after the tests: %v\n", patience, err)
			code = 1
		}
	}
	os.Exit(code)
}

// wait waits until no goroutine is left but the caller's.
func wait(within time.Duration) (err error) {
	for end := time.Now().Add(within); ; {
		if err = goleak.Find(); err == nil || time.Now().After(end) {
			return err
		}
	}
}
