package eventbustest

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/eventbus-go/eventbus"
)

// reportMissing says what Expect and ExpectInAnyOrder did not find.
func (r *Recorder) reportMissing(matchers []Matcher, ordered bool, f finding) string {
	entries := append(r.tape.all()[:f.from], f.entries...)
	c := compare(matchers, ordered, entries, f.places)
	head := fmt.Sprintf("%d of %s met no event%s", c.missing(), count(len(matchers), "matcher"), r.within())
	if f.end != nil {
		head = f.end.Error()
	}
	return r.report(head, entries, c.rows())
}

// reportUnwanted says which unclaimed events meet one of the matchers or,
// without matchers, are there at all; "" if there are none.
func (r *Recorder) reportUnwanted(matchers []Matcher) string {
	entries := r.tape.all()
	var rows []row
	n := 0
	for i, x := range entries {
		m := slices.IndexFunc(matchers, func(m Matcher) bool { return m.match(x.event) })
		switch {
		case x.claimed:
		case m >= 0 || len(matchers) == 0:
			got := eventRow("+", "got", i, x.event)
			got.number = m + 1
			rows = append(rows, got)
			n++
		default:
			rows = append(rows, eventRow(" ", "other", i, x.event))
		}
	}
	if n == 0 {
		return ""
	}
	return r.report("not expected, but recorded: "+count(n, "event"), entries, rows)
}

// reportWait says what Wait waited for in vain.
func (r *Recorder) reportWait(n int) string {
	entries := r.tape.all()
	var rows []row
	for i, x := range entries {
		rows = append(rows, eventRow(" ", "got", i, x.event))
	}
	head := fmt.Sprintf("eventbustest: Wait: %d of %s recorded%s", len(entries), count(n, "event"), r.within())
	return r.report(head, nil, rows)
}

// report puts head over the rows, and below them says what they leave out.
func (r *Recorder) report(head string, entries []entry, rows []row) string {
	msg := head + table(rows)
	claimed := 0
	for _, x := range entries {
		if x.claimed {
			claimed++
		}
	}
	switch {
	case claimed > 0:
		msg += fmt.Sprintf("\n    not shown: %s that earlier calls have claimed", count(claimed, "event"))
	case !hasEvent(rows) && len(r.types) == 0:
		msg += "\n    nothing was recorded"
	case !hasEvent(rows):
		msg += fmt.Sprintf("\n    nothing was recorded of %s", list(r.types))
	}
	return msg
}

func (r *Recorder) within() string {
	if r.timeout <= 0 {
		return ""
	}
	return fmt.Sprintf(" within %v", r.timeout)
}

// A row is a matcher or an event.
type row struct {
	mark    string // "-" is expected and missing, "+" is there and not expected
	number  int    // the matcher's; 0 for none
	word    string
	place   int // the event's; nowhere if the row is not an event
	subject string
	payload string
	note    string // stands behind the payload
	caret   int    // under which character of payload to put one; nowhere for none
	differs string // stands behind the caret
}

func eventRow(mark, word string, place int, e eventbus.Event) row {
	return row{mark: mark, word: word, place: place, subject: string(e.Type), payload: clip(describePayload(e.Data)), note: describeSource(e), caret: nowhere}
}

func wantRow(m int, matcher Matcher, note string) row {
	subject := string(matcher.eventType)
	if subject == "" {
		subject = "any type"
	}
	return row{mark: "-", number: m + 1, word: "want", place: nowhere, subject: subject, payload: matcher.about, note: note, caret: nowhere}
}

func hasEvent(rows []row) bool {
	for _, r := range rows {
		if r.place != nowhere {
			return true
		}
	}
	return false
}

// insteadOf returns the row of the event that came instead of what m asks for in
// row want. If m asks for a payload, both are written in full, with a caret under
// the first difference and the names of the parts that differ, which also tell
// when the lines are too long for the caret. Payloads that differ and read the same, such as an int
// and an int64 in a field of type any, are written as Go writes them.
func insteadOf(want *row, m Matcher, place int, e eventbus.Event) row {
	got := eventRow("+", "got", place, e)
	if !m.exact {
		return got
	}
	got.payload = describePayload(e.Data)
	if got.payload == want.payload {
		want.payload, got.payload = oneLine(fmt.Sprintf("%#v", m.want)), oneLine(fmt.Sprintf("%#v", e.Data))
	}
	got.caret, got.differs = firstDifference(want.payload, got.payload), whereDifferent(m.want, e.Data)
	return got
}

func firstDifference(a, b string) int {
	x, y := []rune(a), []rune(b)
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return i
		}
	}
	return min(len(x), len(y))
}

// A run of like rows that is longer than maxRun is cut down to its ends of
// keepRun rows.
const (
	maxRun  = 8
	keepRun = 3
)

// table writes the rows in columns, each on a line of its own after a line break.
func table(rows []row) string {
	var b strings.Builder
	numbers, places, subjects := 0, 0, 0
	for _, r := range rows {
		numbers = max(numbers, len(r.numberText()))
		places = max(places, len(r.placeText()))
		subjects = max(subjects, utf8.RuneCountInString(r.subject))
	}
	for len(rows) > 0 {
		n := runLength(rows)
		for i, r := range rows[:n] {
			if n > maxRun && i >= keepRun && i < n-keepRun {
				if i == keepRun {
					fmt.Fprintf(&b, "\n      ... %d more", n-2*keepRun)
				}
				continue
			}
			before := fmt.Sprintf("    %s %*s  %-5s  %*s  %-*s  ", r.mark, numbers, r.numberText(), r.word, places, r.placeText(), subjects, r.subject)
			b.WriteString("\n" + strings.TrimRight(before+r.text(), " "))
			if r.caret != nowhere {
				b.WriteString("\n" + strings.Repeat(" ", utf8.RuneCountInString(before)+r.caret) + strings.TrimRight("^ "+r.differs, " "))
			}
		}
		rows = rows[n:]
	}
	return b.String()
}

// runLength returns how many rows from the first on differ in the event only.
func runLength(rows []row) int {
	n := 1
	for n < len(rows) && rows[n].place != nowhere && rows[n].word != "met" && rows[n].word == rows[0].word && rows[n].mark == rows[0].mark {
		n++
	}
	return n
}

func (r row) text() string {
	if r.payload == "" || r.note == "" {
		return r.payload + r.note
	}
	return r.payload + "  " + r.note
}

func (r row) numberText() string {
	if r.number == 0 {
		return ""
	}
	return fmt.Sprint(r.number)
}

func (r row) placeText() string {
	if r.place == nowhere {
		return ""
	}
	return fmt.Sprintf("#%d", r.place+1)
}
