//go:build race

package sim

// The race detector makes a seed some ten times dearer.
func init() { everyday = 8 }
