//go:build race

package archive

// The race detector multiplies the memory of a process.
const raceEnabled = true
