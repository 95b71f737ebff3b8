package eventbusnats

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
)

// A serverLog passes a server's warnings and errors on, and keeps the first fatal one:
// Start returns no error, that record is the only trace of a server that did not start.
type serverLog struct {
	to    *slog.Logger
	fatal atomic.Pointer[string]
}

// fatalError returns the first fatal record, nil if there was none.
func (l *serverLog) fatalError() error {
	if text := l.fatal.Load(); text != nil {
		return errors.New(*text)
	}
	return nil
}

// Fatalf keeps the record. The server does not end the process: its logger would.
func (l *serverLog) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.fatal.CompareAndSwap(nil, &text)
}

// Errorf passes a record on at ERROR.
func (l *serverLog) Errorf(format string, args ...any) {
	l.to.Error("eventbusnats: the server: " + fmt.Sprintf(format, args...))
}

// Warnf passes a record on at WARN.
func (l *serverLog) Warnf(format string, args ...any) {
	l.to.Warn("eventbusnats: the server: " + fmt.Sprintf(format, args...))
}

// Noticef drops a record, as Debugf and Tracef do.
func (*serverLog) Noticef(string, ...any) {}
func (*serverLog) Debugf(string, ...any)  {}
func (*serverLog) Tracef(string, ...any)  {}
