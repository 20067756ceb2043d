// Package leaktest runs the tests of a package and fails them when a goroutine
// is left behind, however long a busy machine takes to end the last ones.
package leaktest
