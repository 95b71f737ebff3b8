package eventbustest_test

import (
	"fmt"
	"io"
	"testing"
)

// An exampleT stands in for the *testing.T that an example does not have. It
// prints failures, and throws the log away unless it has one. An example cannot be left half-way,
// so Fatal must be the last thing that one does.
type exampleT struct {
	testing.TB
	log      io.Writer
	cleanups []func()
}

func beginExample() *exampleT { return &exampleT{log: io.Discard} }

// end runs the cleanup functions.
func (t *exampleT) end() {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}

func (t *exampleT) Helper()                           {}
func (t *exampleT) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) Output() io.Writer                 { return t.log }
func (t *exampleT) Error(args ...any)                 { fmt.Println(args...) }
func (t *exampleT) Fatal(args ...any)                 { fmt.Println(args...) }
func (t *exampleT) Fatalf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
