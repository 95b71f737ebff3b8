package eventbus

import (
	"fmt"
	"path"
	"slices"
)

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
			r.list.Store(nil)
		}
		return true
	})
}

// forgetOrphansLocked takes the routes without a subscription of their own out. makeList
// makes them again when an event asks for them.
func (t *table) forgetOrphansLocked() {
	t.routes.Range(func(_, v any) bool {
		if r := v.(*route); len(r.subs) == 0 {
			r.list.Store(nil)
			t.routes.Delete(r.eventType)
		}
		return true
	})
	t.orphans = 0
}
