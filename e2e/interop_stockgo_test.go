package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// stockGo is a server of others. It is built without the race detector: what
// that finds in it is not ours to mend.
var stockGo = sync.OnceValues(func() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	path := filepath.Join(binaries, "stockgo")
	out, err := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", path, "./stockgo").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build ./stockgo: %v\n%s", err, out)
	}
	return path, nil
})

// Two of our nodes and a stock Go server, on the prefix that everybody uses and on one of their own.
func TestInterop_StockGo(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	url := redis.URL()
	runInterop(t, "interop-stockgo.mjs", redis, map[string]*server{
		"ours":  startProgram(t, interop, "--redis", url, "--node-id", "ours"),
		"serve": startServer(t, "--redis", url, "--node-id", "serve"),
		"go":    startProgram(t, stockGo, "--redis", url),
		"goio-ours": startProgram(t, interop, "--redis", url, "--cluster", "goio", "--node-id", "ours",
			"--bus-prefix", "goio", "--go-dialect"),
		"goio-serve": startServer(t, "--redis", url, "--cluster", "goio", "--node-id", "serve",
			"--bus-prefix", "goio", "--bus-dialect", "go"),
		"goio-go": startProgram(t, stockGo, "--redis", url, "--prefix", "goio"),
	})
}
