package eventbustest

import (
	"fmt"
	"slices"
)

// A comparison sets the matchers of a call against what was recorded.
type comparison struct {
	matchers []Matcher
	ordered  bool
	entries  []entry

	// By matcher, the place of the event that meets it, and, for one that has
	// none, of an event of its type that came instead; nowhere if there is none.
	at, near []int
}

func compare(matchers []Matcher, ordered bool, entries []entry, at []int) *comparison {
	c := &comparison{matchers: matchers, ordered: ordered, entries: entries, at: at}
	if ordered {
		c.goOn()
	}
	c.pair()
	return c
}

// goOn finds events for the matchers after the first that has none, as if that
// had not been asked for, so that one missing event does not make all after it
// look missing.
func (c *comparison) goOn() {
	last := nowhere
	for m := range c.matchers {
		for i := last + 1; c.at[m] == nowhere && i < len(c.entries); i++ {
			if c.free(i) && c.matchers[m].match(c.entries[i].event) {
				c.at[m] = i
			}
		}
		last = max(last, c.at[m])
	}
}

// pair finds the events that came instead of the missing ones. In order, they
// lie between the events of the matchers before and after.
func (c *comparison) pair() {
	c.near = slices.Repeat([]int{nowhere}, len(c.matchers))
	low := nowhere
	for m, matcher := range c.matchers {
		for i := low + 1; c.at[m] == nowhere && c.near[m] == nowhere && i < c.high(m); i++ {
			if c.free(i) && c.owner(i) == nowhere && c.entries[i].event.Type == matcher.eventType {
				c.near[m] = i
			}
		}
		if c.ordered {
			low = max(low, c.at[m], c.near[m])
		}
	}
}

// high returns the place before which an event for matcher m is to lie.
func (c *comparison) high(m int) int {
	for _, i := range c.at[m:] {
		if c.ordered && i != nowhere {
			return i
		}
	}
	return len(c.entries)
}

func (c *comparison) free(i int) bool { return !c.entries[i].claimed }

// owner returns the matcher that has the event at place i or is paired with it,
// nowhere if none is.
func (c *comparison) owner(i int) int {
	for m := range c.matchers {
		if c.at[m] == i || c.near[m] == i {
			return m
		}
	}
	return nowhere
}

// missing returns how many matchers have no event.
func (c *comparison) missing() int {
	n := 0
	for _, i := range c.at {
		if i == nowhere {
			n++
		}
	}
	return n
}

// whyNot tells why an event that meets matcher m, which has none, is not its
// event; "" if there is none.
func (c *comparison) whyNot(m int) string {
	why := ""
	for i, x := range c.entries {
		if !c.matchers[m].match(x.event) {
			continue
		}
		owner := c.owner(i)
		switch {
		case x.claimed:
			why = fmt.Sprintf("(#%d meets it, but an earlier call has claimed it)", i+1)
		case owner != nowhere && c.at[owner] == i:
			why = fmt.Sprintf("(#%d meets it, but it counts for matcher %d)", i+1, owner+1)
		default:
			return fmt.Sprintf("(#%d meets it, but not in this order)", i+1)
		}
	}
	return why
}

// rows returns the comparison in the order of the events. In order, what is
// missing stands where it would have had to come, and otherwise at the end.
func (c *comparison) rows() []row {
	var rows []row
	shown := make([]bool, len(c.matchers))
	want := func(m int) {
		if !shown[m] {
			shown[m] = true
			rows = append(rows, wantRow(m, c.matchers[m], c.whyNot(m)))
		}
	}
	for i, x := range c.entries {
		m := c.owner(i)
		switch {
		case x.claimed:
			continue
		case m == nowhere:
			rows = append(rows, eventRow(" ", "other", i, x.event))
			continue
		}
		for k := 0; c.ordered && k < m; k++ {
			want(k)
		}
		if c.at[m] == i {
			shown[m] = true
			met := eventRow(" ", "met", i, x.event)
			met.number = m + 1
			rows = append(rows, met)
			continue
		}
		want(m)
		rows = append(rows, insteadOf(&rows[len(rows)-1], c.matchers[m], i, x.event))
	}
	for m := range c.matchers {
		want(m)
	}
	return rows
}
