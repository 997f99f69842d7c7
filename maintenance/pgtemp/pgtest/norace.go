//go:build !race

package pgtest

// Race tells whether the race detector is on. It multiplies the memory of a
// process, so that bounds on that do not hold.
const Race = false
