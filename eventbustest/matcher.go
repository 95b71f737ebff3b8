package eventbustest

import (
	"fmt"
	"reflect"

	"github.com/eventbus-go/eventbus"
)

// A Matcher says which events are expected. Make one with [Type], [Payload],
// [PayloadFunc] or [Func]; the zero Matcher is invalid. Matchers may be shared
// and used again.
type Matcher struct {
	eventType eventbus.EventType // "" for any
	about     string             // the rest of what it asks for; a payload if exact
	exact     bool
	want      any // the payload that an exact matcher asks for
	match     func(eventbus.Event) bool
	giveUp    func(eventbus.Event) error // nil for a matcher that never gives up
}

// Type returns a matcher that every event of type t meets. It panics if t is
// empty.
func Type(t eventbus.EventType) Matcher {
	return ofType("Type", t, func(eventbus.Event) bool { return true })
}

// Payload returns a matcher that the events of type t meet whose Data has the
// same type and value as want, as [reflect.DeepEqual] sees it: pointers are
// equal if what they point to is, and a [time.Time] only if it also has the same
// location and monotonic clock reading. To compare in another way, use
// [PayloadFunc]. Payload panics if t is empty.
func Payload[T any](t eventbus.EventType, want T) Matcher {
	m := ofType("Payload", t, func(e eventbus.Event) bool { return reflect.DeepEqual(e.Data, any(want)) })
	m.about, m.exact, m.want = describePayload(want), true, want
	return m
}

// PayloadFunc returns a matcher that the events of type t meet whose Data has
// type T, or implements it, and for which f returns true. about says in a few
// words what f asks for; a failure prints it beside what came instead. f may be
// called several times for an event. PayloadFunc panics if t is empty or f is
// nil.
func PayloadFunc[T any](t eventbus.EventType, about string, f func(payload T) bool) Matcher {
	if f == nil {
		panic(fmt.Sprintf("eventbustest: PayloadFunc of %q: the function is nil", t))
	}
	m := ofType("PayloadFunc", t, func(e eventbus.Event) bool {
		payload, ok := e.Data.(T)
		return ok && f(payload)
	})
	m.about = fmt.Sprintf("%v: %s", reflect.TypeFor[T](), about)
	return m
}

// Func returns a matcher that the events meet, of any type, for which f returns
// true. about says in a few words what f asks for. f may be called several
// times for an event. Func panics if f is nil.
func Func(about string, f func(eventbus.Event) bool) Matcher {
	if f == nil {
		panic(fmt.Sprintf("eventbustest: Func of %q: the function is nil", about))
	}
	return Matcher{about: about, match: f}
}

// Unless returns a matcher that the same events meet as m, and that gives up when
// f returns an error: what m asks for can never come. [Recorder.Expect] and
// [Recorder.ExpectInAnyOrder] then end their test at once with that error, and do
// not wait out their time.
//
// While the matcher has no event, f is called with every unclaimed event of the
// recorder, in the order of recording: those of other types, those recorded before
// the call and those that other matchers have met, too. An event that meets the
// matcher at its turn is not shown to f. The recorder must be made for the types
// that f looks for. f runs on the goroutine of the test, and may be called several
// times for an event. [Recorder.ExpectNone] does not call it.
//
// Given several times, the functions are asked in that order until one returns an
// error. Unless panics if f is nil.
func (m Matcher) Unless(f func(eventbus.Event) error) Matcher {
	if f == nil {
		panic(fmt.Sprintf("eventbustest: Unless of %q: the function is nil", m))
	}
	before := m.giveUp
	m.giveUp = func(e eventbus.Event) error {
		if before != nil {
			if err := before(e); err != nil {
				return err
			}
		}
		return f(e)
	}
	return m
}

// ofType returns a matcher of the events of type t for which f returns true.
func ofType(constructor string, t eventbus.EventType, f func(eventbus.Event) bool) Matcher {
	if t == "" {
		panic(fmt.Sprintf("eventbustest: %s: the event type is empty", constructor))
	}
	return Matcher{eventType: t, match: func(e eventbus.Event) bool { return e.Type == t && f(e) }}
}

// String describes what m asks for, as failures print it.
func (m Matcher) String() string {
	switch {
	case m.match == nil:
		return "the zero Matcher"
	case m.eventType == "":
		return m.about
	case m.about == "":
		return string(m.eventType)
	}
	return fmt.Sprintf("%s  %s", m.eventType, m.about)
}
