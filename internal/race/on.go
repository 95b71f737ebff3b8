//go:build race

// Package race tells whether the race detector is on.
package race

// Enabled reports whether the race detector is on.
const Enabled = true
