package chaos

import (
	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// verifyPriority sees to it that a goroutine that serves all queues begins no
// event while another one waits on a queue that comes first: one that had been
// accepted when the handlers before the first event were done.
func (l *ledger) verifyPriority() {
	if l.plan.mode == live {
		return
	}
	for _, first := range bustest.EveryQueue {
		if l.pauses[first].happened() {
			continue
		}
		for lower := range first {
			l.verifyPrecedence(l.queues[first].begun, l.inOrder(lower))
		}
	}
}

// A begunEvent is an event, and when the handlers of the event before it, of any
// queue, were done.
type begunEvent struct {
	*entry
	idle int64
}

// inOrder returns what was begun on q.
func (l *ledger) inOrder(q eventbus.Queue) (list []begunEvent) {
	var others [3]int // how many events of each queue were begun before
	for _, e := range l.queues[q].begun {
		idle := int64(0)
		for _, other := range bustest.EveryQueue {
			begun := l.queues[other].begun
			for others[other] < len(begun) && begun[others[other]].turn() < e.turn() {
				others[other]++
			}
			if n := others[other]; n > 0 {
				idle = max(idle, begun[n-1].done())
			}
		}
		list = append(list, begunEvent{e, idle})
	}
	return list
}

// done returns when the last handler of e had returned.
func (e *entry) done() int64 {
	if len(e.calls) == 0 {
		return e.expired
	}
	return e.calls[len(e.calls)-1].ended
}

func (l *ledger) verifyPrecedence(first []*entry, after []begunEvent) {
	earliest := make([]*entry, len(first)+1) // of those from the i-th on, the one that was accepted first
	for i := len(first) - 1; i >= 0; i-- {
		earliest[i] = first[i]
		if next := earliest[i+1]; next != nil && next.settled < first[i].settled {
			earliest[i] = next
		}
	}
	i := 0
	for _, e := range after {
		for i < len(first) && first[i].turn() < e.turn() {
			i++
		}
		if y := earliest[i]; y != nil && y.settled < e.idle {
			l.violated("%v is begun while %v waits", e.entry, y)
		}
	}
}
