package eventbusnats

import (
	"log/slog"
	"time"
)

// reportEvery is how often a trouble that stays the same is told.
const reportEvery = 10 * time.Second

// A trouble tells of failures that are tried again, without telling each of them. One
// goroutine uses it.
type trouble struct {
	to   func(error)
	wrap func(error) error
	text string    // of the last one told
	at   time.Time // when that was
}

func newTrouble(to func(error), wrap func(error) error) *trouble { return &trouble{to: to, wrap: wrap} }

// report tells err if the last one told was another, or long ago.
func (t *trouble) report(err error) {
	if text := err.Error(); text != t.text || time.Since(t.at) >= reportEvery {
		t.text, t.at = text, time.Now()
		report(t.to, t.wrap(err))
	}
}

// over says that the trouble is over: the next one is told.
func (t *trouble) over() { t.text = "" }

// report calls an error handler and contains its panic.
func report(to func(error), err error) {
	if panicked := protect("the error handler", func() error { to(err); return nil }); panicked != nil {
		slog.Error("eventbusnats: "+panicked.Error(), "told", err)
	}
}

// logError is the error handler of those who have set none.
func logError(err error) { slog.Error(err.Error()) }
