package eventbustest_test

import (
	"fmt"
	"io"
	"testing"
)

// An exampleT stands in for the *testing.T that an example does not have. It
// prints failures, and throws the log away. An example cannot be left half-way,
// so Fatal must be the last thing that one does.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func beginExample() *exampleT { return new(exampleT) }

// end runs the cleanup functions.
func (t *exampleT) end() {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}

func (t *exampleT) Helper()                           {}
func (t *exampleT) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) Output() io.Writer                 { return io.Discard }
func (t *exampleT) Error(args ...any)                 { fmt.Println(args...) }
func (t *exampleT) Fatal(args ...any)                 { fmt.Println(args...) }
func (t *exampleT) Fatalf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
