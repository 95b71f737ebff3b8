package chaos

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
)

// Trouble is how the logger and the error handler of a bus behave: at every n-th
// call, if n is not 0, they fail; at every k-th, if k is not 0, they make a call
// of a bus.
type trouble struct {
	n     int64
	exits bool // they call runtime.Goexit and do not panic
	debug bool // DEBUG is on

	k       int64
	noises  []step
	foreign bool // with the context Background, which never waits, and not the record's
}

func (d *decoder) trouble(m mode) trouble {
	t := trouble{n: []int64{0, 0, 0, 1, 3, 20}[d.below(6)], exits: d.below(2) == 1, debug: d.below(4) == 1}
	if m == stepped { // what ends the caller's goroutine is the handlers' business
		t.exits = false
	}
	if !d.has(noise) {
		return t
	}
	t.k, t.foreign = []int64{1, 2, 5}[d.below(3)], d.below(3) == 2
	for range 1 + d.below(4) {
		t.noises = append(t.noises, d.noise(t.foreign))
	}
	return t
}

// noise returns what a logger does. A call that may wait has a deadline.
func (d *decoder) noise(foreign bool) step {
	s := step{do: doPublish, publish: d.publication()}
	if foreign {
		s.publish.way = byTry
	}
	if d.below(6) == 5 {
		s.do = doControl
		s.control = control{call: noiseCalls[d.below(len(noiseCalls))], bus: d.bus(), queue: d.below(3), limit: 20 * time.Millisecond}
	}
	s.publish.generations = min(s.publish.generations, 2)
	return s
}

// waits reports whether a logger or an error handler may wait, and so hold up who logs.
func (t trouble) waits() bool {
	return t.k > 0 && slices.ContainsFunc(t.noises, func(s step) bool {
		if s.do == doControl {
			return s.control.call == callFlush || s.control.call == callShutdown
		}
		return s.publish.way != byTry
	})
}

var noiseCalls = []call{callStop, callStart, callPause, callResume, callStats, callSubscribe, callUnsubscribe, callFlush, callShutdown}

func (b *subject) onError(ctx context.Context, err *eventbus.HandlerError) {
	b.reported(ctx, err)
	o := ofProcessor
	if b.mayReportLate() {
		o = ofEither
	}
	b.makeNoise(ctx, o, int(err.Queue))
	b.mishap(true)
}

// mishap fails at every so many-th call, as the schedule says.
func (b *subject) mishap(mayExit bool) {
	t := b.plan.trouble
	if t.n == 0 || b.mishaps.Add(1)%t.n != 0 {
		return
	}
	if t.exits && mayExit && !b.stepping.Load() {
		runtime.Goexit()
	}
	panic("mishap")
}

// A troubledLogger has mishaps. It leaves goroutines of publishers alone: those
// log what is dropped, at WARN, and who ends his own goroutine in a logger has
// himself to blame.
type troubledLogger struct {
	slog.Handler
	subject *subject
}

func (l *troubledLogger) Enabled(_ context.Context, level slog.Level) bool {
	return l.subject.plan.trouble.debug || level > slog.LevelDebug
}

func (l *troubledLogger) Handle(ctx context.Context, r slog.Record) error {
	l.verifyContext(ctx, r)
	if r.Level > slog.LevelDebug && !l.isLate(r) {
		o, queue := l.subject.originOf(r)
		l.subject.makeNoise(ctx, o, queue)
	}
	l.subject.mishap(r.Level != slog.LevelWarn)
	return nil
}

// isLate reports whether r says that a subscription came after Shutdown: the machine
// holds a lock then.
func (l *troubledLogger) isLate(r slog.Record) bool {
	return strings.Contains(r.Message, "subscribed after Shutdown")
}

// verifyContext sees to it that a record that names a handler has the context of
// a call of that handler, if it has that of any. Of the other records it asks nothing: a
// goroutine that outlives its handler may publish with the context of a call that is over,
// for which DeliveryFrom must not be asked any more.
func (l *troubledLogger) verifyContext(ctx context.Context, r slog.Record) {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "handler" {
			return true
		}
		d, ok := eventbus.DeliveryFrom(ctx)
		if ok && a.Value.String() != d.Handler && l.subject.names(d.Handler) {
			l.subject.violated("the record %q of %s has the context of %s", r.Message, a.Value, d.Handler)
		}
		return false
	})
}
