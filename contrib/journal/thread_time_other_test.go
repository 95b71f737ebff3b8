//go:build !linux

package journal_test

import "time"

var processStart = time.Now()

// threadTime returns the time: elsewhere the thread's own cannot be asked for without cgo.
func threadTime() time.Duration { return time.Since(processStart) }
