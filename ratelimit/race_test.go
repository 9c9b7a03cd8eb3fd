//go:build race

package ratelimit

// raceEnabled says that allocations cannot be counted: the detector makes its
// own.
const raceEnabled = true
