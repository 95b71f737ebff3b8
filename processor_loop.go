package eventbus

import (
	"context"
	"runtime"
	"runtime/pprof"
	"time"
)

// main runs the processor until it leaves. runtime.Goexit ends the goroutine, so
// another one takes over.
func (p *processor) main() {
	returned := false
	defer func() {
		if !returned {
			p.turn.failure.exited = true
			go p.main()
		}
	}()
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("eventbus", p.name())))
	p.makeSpare()
	for !guard(p.loop, p.setFailure) {
	}
	returned = true
}

func (p *processor) setFailure(f *failure) { p.turn.failure = f }

// loop handles events until the processor leaves.
func (p *processor) loop() {
	for {
		p.handleFailure()
		switch {
		case p.isBusy(): // a failure interrupted the event; the other handlers still run
			p.resume()
			p.afterRun()
		case p.hasRequests() && !p.serveRequests():
			if p.leave() {
				return
			}
		case p.pick() || p.idle():
			p.run(p.runLimit())
			p.afterRun()
		}
	}
}

// afterRun asks the logger for its level, and tells it of a slow call that has ended. An
// event that wakes the processor does not wait for that.
func (p *processor) afterRun() {
	if p.requests.Load()&reqSlow != 0 {
		p.tellSlowEnded()
	}
	p.askForLevel()
}

// step is one round of loop for RunUntilIdle, which drives several processors on
// one goroutine. It reports whether the processor had something to do.
func (p *processor) step() (busy bool) {
	p.handleFailure()
	switch {
	case p.isBusy():
		p.resume()
	case p.hasRequests() && !p.serveRequests() || !p.pick():
		return false
	default:
		p.run(1)
	}
	return true
}

// maxRun bounds how far the counters of handler calls lag behind: they are
// published once a run.
const maxRun = 128

// runLimit returns how many events a run may have. Where the processor drains other
// queues too, one of those may come first after each event.
func (p *processor) runLimit() int {
	if len(p.queues) > 1 {
		return 1
	}
	return maxRun
}

// leave ends the processor unless the bus has been started again meanwhile.
func (p *processor) leave() bool {
	p.letGo()
	if !p.endLogged {
		p.endLogged = true
		p.protect(telling, func() {
			p.bus.logs.flush(p.context, true)
			p.bus.logger.InfoContext(p.context, "eventbus: processor stopped", "queue", p.name())
		})
	}
	if p.env.release(p) {
		return true
	}
	p.startLogged, p.endLogged = false, false
	return false
}

// isReady reports whether the i-th queue has an event that may be begun.
func (p *processor) isReady(i int) bool { return p.unpaused[i] && p.queues[i].buffer.Ready() }

// pick makes the first queue that has an event to begin the one at hand, and
// reports whether there is one.
func (p *processor) pick() bool {
	for i := range p.queues {
		if p.isReady(i) {
			p.use(p.queues[i])
			return true
		}
	}
	return false
}

// use makes q the queue at hand. Nothing of the position may stay: as many events of q may
// have begun as of the other queue, and who looks would take the call there for one of q's.
func (p *processor) use(q *queue) {
	if p.turn.queue != q {
		p.letGo()
		store(&p.position.handler, 0)
		p.turn.queue = q
		p.position.queue.Store(q)
	}
}

// idle waits for an event or a nudge, and reports whether an event is at hand. The pulse
// of the bus nudges it once a poll, which makes up for a wake-up that was lost. Every line
// of code and data between the wake-up and the handler is in no cache by then, and costs
// some 50 ns: so there are few.
func (p *processor) idle() bool {
	store(&p.asleep, 1)
	if p.bus.spin > 0 && p.spinUntilReady() {
		store(&p.asleep, 0)
		return p.pick()
	}
	if p.turn.list.isStale() {
		p.letGo()
	}
	for _, q := range p.queues {
		q.buffer.Rest()
	}
	chunk := p.wait()
	// This needs no barrier. Whoever waits on behalf of this processor from now on does so on
	// this goroutine, or on one that it starts, and notes the wait under admissionMu.
	store(&p.asleep, 0)
	if chunk && len(p.queues) == 1 && p.unpaused[0] || p.pick() {
		return true
	}
	if !chunk {
		p.poll()
	}
	return false
}

// wait waits until a chunk or a bell comes out of a door, and reports whether it was a
// chunk. It waits for those of paused queues too: nothing of them is begun.
func (p *processor) wait() (chunk bool) {
	first := p.queues[0].buffer
	if len(p.queues) == 1 {
		return first.Take(<-first.Door()) // a select takes half a microsecond longer in an idle bus
	}
	second, third := p.queues[1].buffer, p.queues[2].buffer
	select {
	case c := <-first.Door():
		return first.Take(c)
	case c := <-second.Door():
		return second.Take(c)
	case c := <-third.Door():
		return third.Take(c)
	}
}

// letGoOfStale makes idle processors forget handlers that have unsubscribed. It is
// called when their lists have been given up. A processor that makes such a list its own
// afterwards sees for itself, before it sleeps, that it is stale.
func (b *Bus) letGoOfStale() {
	for _, p := range b.processors {
		if p.position.list.Load().isStale() {
			p.nudge()
		}
	}
}

// poll looks at all that a lost wake-up could have been about, and whether the
// logger's level has changed.
func (p *processor) poll() {
	p.askForLevel()
	for _, q := range p.queues {
		if q.buffer.Gate.Load()&gateLine != 0 {
			q.lookAtLine()
		}
	}
	if p.bus.logs.due.Load() {
		p.protect(recalling, func() { p.bus.logs.flush(p.context, false) })
	}
}

// A spin gives up after maxStill rounds in which no time has passed: in a testing/synctest
// bubble, time stands still while the processor spins. After one that has given up, the
// next gives up after minStill rounds already, until time passes. Those take some 0.1 ms,
// for machines whose clock moves in steps that are longer than a spin.
const (
	maxStill = 10_000
	minStill = 1_000
)

// spinUntilReady looks for events for as long as WithSpin says and reports whether
// there is something to do.
func (p *processor) spinUntilReady() bool {
	began := time.Now()
	for still := 0; still < p.stillLimit; still++ {
		if p.isHeld() || p.pick() {
			return true
		}
		passed := time.Since(began)
		if passed >= p.bus.spin {
			return false
		}
		if passed > 0 {
			still, p.stillLimit = 0, maxStill
		}
		runtime.Gosched()
	}
	p.stillLimit = minStill
	return false
}
