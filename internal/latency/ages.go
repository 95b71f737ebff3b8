package latency

import (
	"slices"
	"time"
)

// Ages tell how long the items of a queue have waited: how many had been accepted when. If
// more had been accepted by some time than have left by now, one of those still waits.
// One goroutine at a time may use it. The zero value knows nothing.
type Ages struct {
	marks []mark // ascending; none of a time by which all that was accepted has left
}

type mark struct {
	at       time.Time
	accepted uint64
}

// maxMarks bounds what is kept of a queue that stands still.
const maxMarks = 64

// Note notes how many items were accepted by now, and drops what tells nothing any more,
// since so many have left. Where there are too many marks, every second one goes: the first
// stays, which says the most.
func (a *Ages) Note(now time.Time, accepted, left uint64) {
	a.marks = slices.DeleteFunc(a.marks, func(m mark) bool { return m.accepted <= left })
	if n := len(a.marks); accepted <= left || n > 0 && a.marks[n-1].accepted == accepted {
		return
	}
	if a.marks = append(a.marks, mark{now, accepted}); len(a.marks) > maxMarks {
		i := 0
		a.marks = slices.DeleteFunc(a.marks, func(mark) bool { i++; return i%2 == 0 })
	}
}

// Oldest returns how long an item has waited at least by now, if so many have left; 0 if
// that is unknown.
func (a *Ages) Oldest(now time.Time, left uint64) time.Duration {
	for _, m := range a.marks {
		if m.accepted > left {
			return now.Sub(m.at)
		}
	}
	return 0
}
