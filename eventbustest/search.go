package eventbustest

import (
	"slices"

	"github.com/eventbus-go/eventbus"
)

// nowhere is the place of an event that has not been found.
const nowhere = -1

// A search finds an event for each of its matchers. It takes the events in the
// order of recording.
type search interface {
	take(i int, e eventbus.Event) // the event at place i
	missing() int                 // how many matchers have no event
	places() []int                // where the events are, by matcher; nowhere for those without
}

func newSearch(matchers []Matcher, ordered bool) search {
	at := slices.Repeat([]int{nowhere}, len(matchers))
	if ordered {
		return &sequence{matchers: matchers, at: at}
	}
	return &assignment{matchers: matchers, at: at, meets: make(map[int][]int)}
}

// A sequence gives each matcher the first event after that of the matcher
// before. If any events in the order of the matchers meet them, those do.
type sequence struct {
	matchers []Matcher
	at       []int
	next     int // the matcher that waits for an event
}

func (s *sequence) take(i int, e eventbus.Event) {
	if s.next < len(s.matchers) && s.matchers[s.next].match(e) {
		s.at[s.next] = i
		s.next++
	}
}

func (s *sequence) missing() int  { return len(s.matchers) - s.next }
func (s *sequence) places() []int { return s.at }

// An assignment gives as many matchers as possible an event of their own. Each
// event that it takes may push others on to matchers that they meet as well,
// until one is free: the augmenting path of a bipartite matching. An event for
// which there is none is of no use later either.
type assignment struct {
	matchers []Matcher
	at       []int
	meets    map[int][]int // by place, which matchers the event meets
}

func (a *assignment) take(i int, e eventbus.Event) {
	for m := range a.matchers {
		if a.matchers[m].match(e) {
			a.meets[i] = append(a.meets[i], m)
		}
	}
	if !a.put(i, make([]bool, len(a.matchers))) {
		delete(a.meets, i)
	}
}

// put gives the event at place i to a matcher that it meets, and moves others to
// make room. tried tells which matchers it is no use to try again.
func (a *assignment) put(i int, tried []bool) bool {
	for _, m := range a.meets[i] {
		if tried[m] {
			continue
		}
		tried[m] = true
		if a.at[m] == nowhere || a.put(a.at[m], tried) {
			a.at[m] = i
			return true
		}
	}
	return false
}

func (a *assignment) missing() int {
	n := 0
	for _, i := range a.at {
		if i == nowhere {
			n++
		}
	}
	return n
}

func (a *assignment) places() []int { return a.at }
