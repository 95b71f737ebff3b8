package eventbus

import (
	"context"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"sync/atomic"
	"time"
)

// WithName names the handler in logs, errors and [Stats]. Without it the name
// is that of the handler's function, such as main.(*Engine).onCandle, or of its
// type. An empty name is set-up misuse and panics in Subscribe.
func WithName(name string) SubscribeOption {
	return func(s *Subscription) error {
		if name == "" {
			return fmt.Errorf("WithName: the name is empty")
		}
		s.name = name
		return nil
	}
}

// WithPriority calls the handler before those of the same event that have a lower
// priority: risk before strategy. Of equal ones, the first to subscribe is called
// first. Without it the priority is 0; n may be negative. Exact subscriptions,
// patterns and taps form one order, in which [Stats] lists them, too. What [Retain]
// keeps it keeps before all of them.
func WithPriority(n int) SubscribeOption {
	return func(s *Subscription) error {
		s.priority = n
		return nil
	}
}

// Once ends the subscription with the first event that gets to the handler: the
// handler is called exactly once, even if several queues carry its type or its
// pattern matches several types, and however the call ends. The subscription is gone when the call begins.
func Once() SubscribeOption {
	return func(s *Subscription) error {
		s.needFilter().once = true
		return nil
	}
}

// Where lets only those events through for which accept returns true. It is
// called on the goroutine of the queue's processor, like the handler, and must
// not change the event. An event that it turns away reaches neither the
// subscription's middleware nor its handler and is no call in [HandlerStats]. A
// filter that panics is reported as the handler's failure, counts as a call, and
// turns the event away. Of several filters each must accept, in the order in which they are
// given.
func Where(accept func(Event) bool) SubscribeOption {
	return func(s *Subscription) error {
		if accept == nil {
			return errors.New("Where: the filter is nil")
		}
		f := s.needFilter()
		f.where = append(f.where, accept)
		return nil
	}
}

// WhereData is [Where] on the payload. An event whose payload is no T is turned away like
// one that accept turns away, so that a tap or an untyped handler may use it to pick one
// payload out of several. It hides no mistake from a handler of [Topic.Subscribe]: an event
// with another payload than the topic's gets there, and fails with [ErrPayloadType] as
// without WhereData. nil is a T if T is an interface. A nil accept, and on a topic a T that
// its payload can never be, are set-up misuse and panic in Subscribe.
func WhereData[T any](accept func(data T) bool) SubscribeOption {
	return func(s *Subscription) error {
		if accept == nil {
			return errors.New("WhereData: the filter is nil")
		}
		if want := reflect.TypeFor[T](); s.payload != nil && !canBe(s.payload, want) {
			takes, payload := typeNames(want, s.payload)
			return fmt.Errorf("WhereData: the filter takes a %s, the topic's payload is a %s", takes, payload)
		}
		f := s.needFilter()
		f.where = append(f.where, func(e Event) bool {
			data, ok := e.Data.(T)
			if ok || isNilOf[T](e.Data) {
				return accept(data)
			}
			return s.payload != nil && !isPayload(e.Data, s.payload)
		})
		return nil
	}
}

// OnQueue lets only the events of q through; given several times, those of each
// of the queues. Without it the queue does not matter.
func OnQueue(q Queue) SubscribeOption {
	return func(s *Subscription) error {
		if q >= numQueues {
			return fmt.Errorf("OnQueue: %w: %v", ErrUnknownQueue, q)
		}
		s.needFilter().queues |= 1 << q
		return nil
	}
}

// DisableAfter takes the handler out once it has failed k times in a row; a call
// that succeeds starts the count anew. It is logged at ERROR, and the
// subscription stays in [Stats], as disabled, until it is unsubscribed. To take
// the handler in again, subscribe it again.
func DisableAfter(k int) SubscribeOption {
	return func(s *Subscription) error {
		if k < 1 {
			return fmt.Errorf("DisableAfter: the number of failures is %d, want 1 or more", k)
		}
		s.needFilter().limit = int64(k)
		return nil
	}
}

// WithSlowAfter gives one subscription its own limit for slow reports, in place of that of
// [WithSlowHandler] and also where that is 0: a call of its handler is reported once while
// it still runs, at most d and 25 ms after it began, and once when it has ended. Middleware
// and filters count. Error handlers that are told of its failures keep the bus's limit, and
// [Bus.RunUntilIdle] reports nothing. Given several times, the last counts. A d of 0 or less
// is set-up misuse and panics in Subscribe.
func WithSlowAfter(d time.Duration) SubscribeOption {
	return func(s *Subscription) error {
		if d <= 0 {
			return fmt.Errorf("WithSlowAfter: the limit is %v, want more than 0", d)
		}
		s.slowAfter = d
		return nil
	}
}

// A filter decides which events get to a handler. It stands outside the
// middleware. A subscription that needs none has none, and costs nothing.
type filter struct {
	queues uint8 // a bit for each queue whose events pass; 0 for all
	where  []func(Event) bool
	once   bool
	limit  int64 // the failures in a row that disable; 0 for no limit

	streak   atomic.Int64 // of failures
	closed   atomic.Bool  // nothing passes any more
	disabled atomic.Bool  // taken out of the table
}

func (s *Subscription) needFilter() *filter {
	if s.filter == nil {
		s.filter = new(filter)
	}
	return s.filter
}

// filtered returns call behind the filter. It counts and logs the calls itself,
// since the processor does not know which events pass. If the logger panics, the
// processor calls it once more, and it does not ask the filters again.
func (s *Subscription) filtered(call func(context.Context, Event) error) func(context.Context, Event) error {
	f := s.filter
	return func(ctx context.Context, e Event) error {
		p := ctx.(*handlerContext).proc
		if !p.turn.passed {
			if !s.passes(p, e) {
				return nil
			}
			p.turn.passed = true
			if p.requests.Load()&logCalls != 0 {
				p.tellCall(s, e.Type)
			}
		}
		p.turn.passed = false
		if f.once && !s.claim() {
			return nil
		}
		s.calls.Add(1)
		p.turn.reached = p.turn.reached || !s.isTap()
		err := call(ctx, e)
		if err == nil && f.limit > 0 {
			f.streak.Store(0)
		}
		return err
	}
}

// passes reports whether the filters let e through. One that panics has been asked
// in vain, which counts as a call.
func (s *Subscription) passes(p *processor, e Event) bool {
	f := s.filter
	if f.closed.Load() || f.queues != 0 && f.queues&(1<<p.turn.queue.id) == 0 {
		return false
	}
	returned := false
	defer func() {
		if !returned {
			s.calls.Add(1)
			p.turn.reached = p.turn.reached || !s.isTap()
		}
	}()
	for _, accept := range f.where {
		if !accept(e) {
			returned = true
			return false
		}
	}
	returned = true
	return true
}

// claim ends the subscription and reports whether the caller is the one who may
// call the handler.
func (s *Subscription) claim() bool {
	if !s.filter.closed.CompareAndSwap(false, true) {
		return false
	}
	s.Unsubscribe()
	return true
}

// fail notes a failure and reports whether it took the handler out.
func (s *Subscription) fail() (disabled bool) {
	f := s.filter
	if f == nil || f.limit == 0 || f.streak.Add(1) < f.limit {
		return false
	}
	return f.closed.CompareAndSwap(false, true) && s.bus.disable(s)
}

// SubscribeMatch makes h handle the events of every type that pattern matches, by the
// rules of [path.Match]: order_* matches order_placed, and * matches every type
// without a slash. Types that are published for the first time later count as well. h
// has its place among the other handlers, taps included, as if it had subscribed to
// each type with [Bus.Subscribe], and an event that it gets counts as handled. [Once]
// is one call across all types. In [HandlerStats] the type is empty, and Pattern holds
// the pattern.
//
// A type is matched when its first event comes, and its handlers are then remembered:
// so an event costs what it costs with handlers of its type alone. The bus remembers
// 4,096 types that nobody has subscribed to by name; an event of a further one is
// matched anew.
//
// SubscribeMatch panics if pattern is empty or malformed, h is nil, or an option is
// invalid, as [WithLast] is: a pattern has no last event. After [Bus.Shutdown] no
// handler is called any more: see [Bus.Subscribe].
func (b *Bus) SubscribeMatch(pattern string, h Handler, opts ...SubscribeOption) *Subscription {
	if pattern == "" {
		panic("eventbus: SubscribeMatch: the pattern is empty")
	}
	if _, err := path.Match(pattern, ""); err != nil {
		panic(fmt.Sprintf("eventbus: SubscribeMatch: the pattern %q is malformed", pattern))
	}
	s := newSubscription(&Subscription{bus: b, pattern: pattern}, "SubscribeMatch to "+quoted(pattern), h, opts)
	b.subscribe(s)
	return s
}

// isWide reports whether s is for more than one type: it is a tap, or has a pattern.
func (s *Subscription) isWide() bool { return s.eventType == "" }

// isTap reports whether s only watches: an event that nobody else gets is unhandled.
func (s *Subscription) isTap() bool { return s.eventType == "" && s.pattern == "" }

// matches reports whether s, which is wide, gets the events of type t.
func (s *Subscription) matches(t EventType) bool {
	if s.pattern == "" {
		return true
	}
	ok, _ := path.Match(s.pattern, string(t)) // it was checked by SubscribeMatch
	return ok
}

// allWide returns the wide subscriptions in their order. The slice never changes.
func (t *table) allWide() []*Subscription {
	if wide := t.wide.Load(); wide != nil {
		return *wide
	}
	return nil
}

// matching returns the wide subscriptions that get the events of type typ, in their order.
func (t *table) matching(typ EventType) (subs []*Subscription) {
	for _, s := range t.allWide() {
		if s.matches(typ) {
			subs = append(subs, s)
		}
	}
	return subs
}

// addWideLocked puts s, which is wide, into the table and into the routes that it matches.
func (t *table) addWideLocked(s *Subscription) {
	if t.orphans >= maxOrphans {
		t.forgetOrphansLocked() // other types may be at hand by now
	}
	wide := insert(slices.Clone(t.allWide()), s)
	t.wide.Store(&wide)
	t.changeMatchingLocked(s, insert)
}

// removeWideLocked takes s out. Without wide subscriptions there is nothing to remember
// of a type that nobody has subscribed to.
func (t *table) removeWideLocked(s *Subscription) {
	wide := remove(slices.Clone(t.allWide()), s)
	if t.wide.Store(&wide); len(wide) == 0 {
		t.wide.Store(nil)
	}
	if len(wide) == 0 || t.orphans >= maxOrphans {
		t.forgetOrphansLocked()
	}
	t.changeMatchingLocked(s, remove)
}

// changeMatchingLocked changes the wide subscriptions of each route that s matches.
func (t *table) changeMatchingLocked(s *Subscription, change func([]*Subscription, *Subscription) []*Subscription) {
	t.routes.Range(func(_, v any) bool {
		if r := v.(*route); s.matches(r.eventType) {
			r.wide = change(r.wide, s)
			r.giveUpListLocked()
		}
		return true
	})
}

// forgetOrphansLocked takes the routes without a subscription of their own out. makeList
// makes them again when an event asks for them.
func (t *table) forgetOrphansLocked() {
	t.routes.Range(func(_, v any) bool {
		if r := v.(*route); len(r.subs) == 0 {
			r.giveUpListLocked()
			t.routes.Delete(r.eventType)
		}
		return true
	})
	t.orphans = 0
}
