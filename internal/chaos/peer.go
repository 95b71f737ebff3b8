package chaos

import (
	"context"
	"errors"

	"github.com/eventbus-go/eventbus"
)

// Handlers call their own bus and the others. Law: with any handler's context
// Flush and Shutdown return ErrWouldDeadlock. RunUntilIdle of another bus runs,
// and its handlers are the calling handler too.

// meddle makes a call of a bus, as the handler of a call.
func (b *subject) meddle(ctx context.Context, call *handlerCall, do control) {
	to := b
	if do.bus != sameBus {
		to = b.m.subjects[do.bus]
	}
	switch do.call {
	case callFlush, callShutdown:
		b.waitInside(ctx, call, to, do.call)
	case callStep:
		b.stepInside(ctx, call, to)
	case callStart, callRestart:
		if to.plan.mode == stepped { // with another context the handler could wait for itself
			b.stepInside(ctx, call, to)
			return
		}
		if do.call == callStart && do.limit < 0 && call.stanceAt(to) == inside {
			b.startInside(ctx)
			return
		}
		to.control(context.Background(), do)
	default:
		to.control(context.Background(), do)
	}
}

// waitInside makes a call that a handler cannot wait for.
func (b *subject) waitInside(ctx context.Context, call *handlerCall, to *subject, do call) {
	var err error
	if do == callFlush {
		err = to.bus.Flush(ctx)
	} else {
		err = to.shutdown(ctx)
	}
	if !errors.Is(err, eventbus.ErrWouldDeadlock) && (law || call.stanceAt(to) == inside) {
		b.violated("in a handler, call %d of bus %d returned %v", do, to.index, err)
	}
}

// startInside starts the bus with the context of one of its own handlers, with
// whose end it would stop by itself.
func (b *subject) startInside(ctx context.Context) {
	b.startMu.Lock()
	defer b.startMu.Unlock()
	if err := b.bus.Start(ctx); law && err == nil {
		b.violated("Start with the context of a handler of the bus returned nil")
	}
}

// stepInside steps a bus inside a handler.
func (b *subject) stepInside(ctx context.Context, call *handlerCall, to *subject) {
	if call.stanceAt(to) == inside {
		if _, err := to.bus.RunUntilIdle(ctx); !errors.Is(err, eventbus.ErrWouldDeadlock) {
			b.violated("in a handler, RunUntilIdle of its bus returned %v", err)
		}
		return
	}
	err := to.step(ctx, call)
	permitted := err == nil || errors.Is(err, eventbus.ErrRunning) || errors.Is(err, eventbus.ErrClosed) && to.closing.Load() || isContextError(err)
	if !permitted {
		b.violated("in a handler of another bus, RunUntilIdle of bus %d returned %v", to.index, err)
	}
}
