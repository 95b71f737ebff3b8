package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
)

// ErrNoCauses says that a replay cannot tell what handlers publish from what comes from
// outside: the recorded bus or the one that it is replayed on lacks eventbus.WithCauses, or
// a handler publishes with a context that is not its own.
var ErrNoCauses = errors.New("journal: the causes of events are unknown")

// Replayed is what a [Replay] has done.
type Replayed struct {
	Published uint64 // events from outside
	Handled   uint64 // events whose handlers were called, what they published included
	Sessions  int    // that were replayed

	// Diverged counts the events that were handled and that were not the next of the journal,
	// and those of the journal that were not handled. 0 says that the same events were
	// handled in the same order, by queue, type and whether they came from outside; payloads
	// are not compared.
	Diverged uint64
	First    Record // the first record that was the next when they differed; zero if the journal had none left
}

// Replay publishes the events of a journal that came from outside to bus and lets it handle
// them, and what its handlers publish, on the caller's goroutine, with
// [eventbus.Bus.RunUntilIdle]. What handlers had published is not published again: they do it
// anew. bus has WithCauses, the queues and handlers of the recorded one, and usually a
// [Clock]; it is not started and its queues are empty. The payloads come from the codecs of
// [WithTopic]. Each event has the Source and the Time it had, but for a Time of exactly
// time.Unix(0, 0), which the journal does not tell from none.
//
// Events are handled in the recorded order if the recorded bus had WithSingleThread or was
// stepped, and handlers do the same again. One case cannot be kept: an event from outside
// that came between two publishes of one handler on one queue comes after both. If each
// queue had its goroutine, each queue's events are handled in their order, and so the
// handlers do the same where those of different queues share no state; that the queues take
// turns otherwise is counted in Replayed.Diverged. The rules of a queue that was full are
// not replayed: what was dropped, evicted, replaced or too old that day is not in the
// journal, and what a handler publishes may find room that it did not find then.
//
// A journal of several sessions is replayed one after the other, each to its end, on one bus
// whose handlers keep what they know.
//
// Nothing is published if an option is invalid, the bus runs or its queues are not empty
// (the error wraps [eventbus.ErrRunning] if it runs), the file is damaged ([*DamageError]),
// or a type from outside has no WithTopic. A payload that cannot be decoded, a queue that is
// paused, [ErrNoCauses], and the end of ctx end a replay; the bus may hold events then. bus
// and ctx must not be nil, and ctx must not be that of a handler of bus.
func Replay(ctx context.Context, bus *eventbus.Bus, path string, opts ...ReplayOption) (Replayed, error) {
	switch {
	case ctx == nil:
		panic("journal: Replay: the context is nil")
	case bus == nil:
		panic("journal: Replay: the bus is nil")
	}
	c, err := newReplayConfig(opts)
	if err != nil {
		return Replayed{}, fmt.Errorf("journal: Replay: %w", err)
	}
	plan, err := newPlan(path, c)
	if err != nil {
		return Replayed{}, err
	}
	if err := checkIdle(ctx, bus); err != nil {
		return Replayed{}, fmt.Errorf("journal: Replay: %w", err)
	}
	r := &replay{replayConfig: c, bus: bus, plan: plan}
	return r.run(ctx, path)
}

// inReplay says that err ended a replay, unless it names this package already.
func inReplay(err error) error {
	if strings.HasPrefix(err.Error(), "journal: ") {
		return err
	}
	return fmt.Errorf("journal: Replay: %w", err)
}

// checkIdle returns an error unless bus can be stepped and holds nothing. From then on a
// publish from outside does not wait.
func checkIdle(ctx context.Context, bus *eventbus.Bus) error {
	s := bus.Stats()
	if s.Running {
		return eventbus.ErrRunning
	}
	for _, q := range s.Queues {
		switch {
		case q.Depth+q.Deferred > 0:
			return fmt.Errorf("the %v queue holds %d events, want a bus without any", q.Queue, q.Depth+q.Deferred)
		case q.Paused:
			return fmt.Errorf("the %v queue is paused: %w", q.Queue, eventbus.ErrPaused)
		}
	}
	_, err := bus.RunUntilIdle(ctx)
	return err
}

// A replay is one call of Replay. It belongs to its goroutine: the bus calls the tap on it.
//
// The recorded order is that in which events began. It is kept by publishing each event
// from outside as late as that order allows. Then, whenever the bus chooses the next event,
// its queues hold a part of what they held that day at that moment, and it chooses by the
// same rule: so it chooses the same, if that is there and the first of its queue. It is:
//
//   - Within a queue events are handled in the order in which they were let in. So an event
//     from outside must be let in before the next one of its queue that a handler has
//     published, that is, when the event begins whose handler does that, before that handler
//     is called: plan.before says so. It was there by the end of that handler on that day,
//     too, so the part stays a part. Where the handler had published something to the queue
//     before it, this is too late; that is the case which cannot be kept.
//   - The next event of the order must be there when the one before it ends. If it is from
//     outside it is published when that one begins, before its handlers publish theirs: it is
//     the first of its queue that day, so it came before all that is published from then on.
//   - When the bus is idle, nothing is there, and the next from outside is published.
//
// The processors of a bus with a goroutine each choose apart, and the argument holds for each
// queue alone.
type replay struct {
	*replayConfig
	bus    *eventbus.Bus
	plan   *plan
	window window
	done   Replayed

	ctx       context.Context // ends with that of Replay, or with failure
	cancel    context.CancelFunc
	failure   error     // why the tap ends the replay
	paced     bool      // the session has had an event with a time
	firstShow time.Time // when the first of these was shown
	firstTime int64     // its time
}

// run replays the sessions of the plan.
func (r *replay) run(ctx context.Context, path string) (Replayed, error) {
	r.ctx, r.cancel = context.WithCancel(ctx)
	defer r.cancel()
	file, err := openReader(path, parseLine)
	if err != nil {
		return Replayed{}, err
	}
	defer file.close()
	tap := r.bus.SubscribeAll(eventbus.HandlerFunc(r.begin), eventbus.WithName("journal replay"), eventbus.WithPriority(math.MaxInt))
	defer tap.Unsubscribe()
	r.window.reader, r.window.last = file, r.plan.last
	r.window.limit = windowLimit(r.bus.Stats())
	for _, s := range r.plan.sessions {
		r.window.begin(s)
		r.paced = false
		if err := r.session(); err != nil {
			return r.done, inReplay(err)
		}
		r.done.Sessions++
	}
	return r.done, nil
}

// session replays the session at hand.
func (r *replay) session() error {
	for {
		more, err := r.publishNext()
		if !more || err != nil {
			return err
		}
		handled, err := r.bus.RunUntilIdle(r.ctx)
		r.done.Handled += uint64(handled)
		switch {
		case r.failure != nil:
			return r.failure
		case err != nil:
			return err
		}
	}
}

// publishNext publishes the next event from outside, since the bus is idle. Records before
// it were not handled, and will not be. It returns false at the end of the session.
func (r *replay) publishNext() (more bool, err error) {
	for {
		next, err := r.window.head()
		if next == nil || err != nil {
			return false, err
		}
		if next.outside && !next.published {
			r.window.want(next)
			if err := r.publishWanted(); err != nil {
				return false, err
			}
			if !next.published {
				return false, fmt.Errorf("the %v queue takes no event though it is empty", next.Queue)
			}
			return true, nil
		}
		r.diverge()
		r.window.drop(next)
	}
}

// begin is the tap: an event begins, and its handlers are called next.
func (r *replay) begin(ctx context.Context, e eventbus.Event) error {
	if r.failure == nil {
		if r.failure = r.beginEvent(ctx, e); r.failure != nil {
			r.cancel()
		}
	}
	return nil
}

func (r *replay) beginEvent(ctx context.Context, e eventbus.Event) error {
	d, _ := eventbus.DeliveryFrom(ctx)
	rec, err := r.match(d)
	if err != nil {
		return err
	}
	if next, err := r.window.head(); err != nil {
		return err
	} else if next != rec || rec == nil {
		r.diverge()
	}
	if rec != nil {
		r.window.drop(rec)
		if rec.outside {
			r.show(rec)
		}
		if err := r.window.wantBefore(r.plan.before[rec.place()]); err != nil {
			return err
		}
	}
	if next, err := r.window.head(); err != nil {
		return err
	} else if next != nil && next.outside {
		r.window.want(next)
	}
	return r.publishWanted()
}

// match returns the record of the event that begins, nil if it has none.
func (r *replay) match(d eventbus.Delivery) (*recorded, error) {
	if d.Cause != nil {
		if !r.plan.caused[r.window.session] && !r.feedOnly {
			return nil, fmt.Errorf("%w: session %d holds no event that a handler published, and now one published %s: if no handler published anything that day, say so with WithFeedOnly",
				ErrNoCauses, r.window.session, d.Event.Type)
		}
		return r.window.caused(d.Queue, d.Event.Type)
	}
	rec := r.window.outside(d.Queue, d.Event)
	if rec == nil {
		return nil, fmt.Errorf("%w: %s of the %v queue came from outside, and not from Replay: the bus needs eventbus.WithCauses, and handlers publish with their own context",
			ErrNoCauses, d.Event.Type, d.Queue)
	}
	return rec, nil
}

// show makes the clock show the time of an event from outside, and waits until it is due.
func (r *replay) show(rec *recorded) {
	if rec.Time == 0 {
		return
	}
	r.clock.ns.Store(rec.Time)
	if r.speed == 0 {
		return
	}
	if !r.paced {
		r.paced, r.firstShow, r.firstTime = true, time.Now(), rec.Time
	}
	due := r.firstShow.Add(time.Duration(float64(rec.Time-r.firstTime) / r.speed))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.ctx.Done():
	}
}

// publishWanted publishes what the order allows by now. What finds no room waits for the
// next event to begin.
func (r *replay) publishWanted() error {
	for q := range r.window.queues {
		for next := r.window.wanted(q); next != nil; next = r.window.wanted(q) {
			err := r.publish(next)
			if errors.Is(err, eventbus.ErrQueueFull) {
				break
			}
			if err != nil {
				return err
			}
			r.window.published(next)
			r.done.Published++
		}
	}
	return nil
}

// publish publishes an event from outside. The clock shows its time while it does, for
// what the bus stamps, and not longer: the handlers of the event at hand must not see the
// future.
func (r *replay) publish(rec *recorded) error {
	data, err := r.plan.decode(&rec.Record)
	if err != nil {
		return err
	}
	now := r.clock.ns.Load()
	if rec.Time != 0 {
		r.clock.ns.Store(rec.Time)
		defer r.clock.ns.Store(now)
	}
	return r.bus.TryPublish(context.Background(), rec.Queue, eventbus.Event{Type: rec.Type, Data: data, Source: rec.Source, Time: rec.EventTime()})
}

// diverge notes that the next record of the journal was not handled next.
func (r *replay) diverge() {
	r.done.Diverged++
	if r.done.First.N == 0 {
		if next, err := r.window.head(); err == nil && next != nil {
			r.done.First = next.Record
		}
	}
}
