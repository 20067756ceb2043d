//go:build race

package e2e

// raceEnabled: the programs are built as these tests are.
const raceEnabled = true
