package soak

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// The lanes of the load soak: the queues of one bus, and one of another.
const (
	dataLane = iota
	signalLane
	orderLane
	tapeLane
	numLanes

	maxSources = numLanes + 12 // the lanes' handlers and the feeds
)

// A lane is a queue, and what its handlers have seen. They run one at a time,
// so it needs no lock.
type lane struct {
	soak  *soak
	bus   *eventbus.Bus
	queue eventbus.Queue
	topic eventbus.EventType
	index int

	busy             atomic.Bool
	handled          uint64
	finished         uint64 // those that got to the last handler
	sum              uint64 // of the numbers handled
	last             [maxSources]uint64
	failed, panicked uint64
	slow             uint64

	tallies [numLanes]tally // what the handlers publish
	sent    uint64
}

// A tally counts how publishes to a lane ended.
type tally struct {
	accepted, unheard         uint64 // and those of a type that has no handler
	dropped, full, late, shut uint64
	sum                       uint64 // of the numbers accepted, but for those unheard
}

func (t *tally) add(o tally) {
	t.accepted += o.accepted
	t.unheard += o.unheard
	t.dropped += o.dropped
	t.full += o.full
	t.late += o.late
	t.shut += o.shut
	t.sum += o.sum
}

const unheard eventbus.EventType = "unheard"

// scatter makes sums of numbers differ that are of the same size.
func scatter(n uint64) uint64 { return (n + 1) * 0x9e3779b97f4a7c15 >> 3 * 0xbf58476d1ce4e5b9 }

// take counts an event that was handed back.
func (t *tally) take(e eventbus.Event) {
	t.accepted++
	if e.Type == unheard {
		t.unheard++
	} else {
		t.sum += scatter(e.Data.(uint64))
	}
}

func newLane(s *soak, index int) *lane {
	return &lane{soak: s, index: index, queue: eventbus.Queue(index % 3), topic: bustest.Topic(index)}
}

func (l *lane) stats() eventbus.QueueStats { return l.bus.Stats().Queues[l.queue] }

func (l *lane) subscribe() {
	l.subscribeOne("first", l.first)
	l.subscribeOne("trouble", l.trouble)
	l.subscribeOne("cascade", l.cascade)
	l.subscribeOne("final", l.final)
}

// subscribeOne makes sure that the handlers of the lane run one at a time, and
// that who has found none running sees what they have done.
func (l *lane) subscribeOne(name string, f func(context.Context, eventbus.Event) error) {
	l.bus.SubscribeFunc(l.topic, func(ctx context.Context, e eventbus.Event) error {
		if !l.busy.CompareAndSwap(false, true) {
			l.soak.t.Errorf("two handlers of lane %d run at a time", l.index)
		}
		defer l.busy.Store(false)
		return f(ctx, e)
	}, eventbus.WithName(name))
}

// first keeps the accounts of what is handled.
func (l *lane) first(_ context.Context, e eventbus.Event) error {
	l.handled++
	l.sum += scatter(e.Data.(uint64))
	l.inOrder(e)
	return nil
}

// inOrder sees to it that a source's events come in order, and none twice. A
// number is the source's, above that of the publish.
func (l *lane) inOrder(e eventbus.Event) {
	n := e.Data.(uint64)
	source, number := n>>numberBits, n&(1<<numberBits-1)
	if l.last[source] >= number {
		l.soak.t.Errorf("lane %d: event %d of source %d comes after %d", l.index, number, source, l.last[source])
	}
	l.last[source] = number
}

const numberBits = 48

// trouble fails at four of a thousand events, and is slow at one of 20,000.
func (l *lane) trouble(context.Context, eventbus.Event) error {
	switch n := l.handled; {
	case n%20_000 == 19_999:
		l.slow++
		time.Sleep(12 * time.Millisecond)
	case n%1000 == 100:
		l.failed++
		return bustest.ErrHandler
	case n%1000 == 300:
		l.failed++
		l.panicked++
		panic(bustest.ErrHandler)
	case n%1000 == 500:
		l.failed++
		l.panicked++
		panic(nil)
	case n%1000 == 700:
		l.failed++
		runtime.Goexit()
	}
	return nil
}

// cascade answers some events, around a cycle of full queues and to another bus.
func (l *lane) cascade(ctx context.Context, _ eventbus.Event) error {
	n := l.handled
	switch {
	case l.index == dataLane && n%20 == 1:
		l.answer(ctx, signalLane)
	case l.index == dataLane && n%50 == 2:
		l.answer(ctx, tapeLane)
	case l.index == signalLane && n%4 == 1:
		l.answer(ctx, orderLane)
	case l.index == orderLane && n%10 == 1: // an order is filled
		l.answer(ctx, orderLane)
	case l.index == orderLane && n%50 == 2:
		l.answer(ctx, dataLane)
	case l.index == orderLane && n%50_000 == 3:
		l.bus.Stop()
		l.soak.start(0)
	}
	return nil
}

func (l *lane) answer(ctx context.Context, to int) {
	l.sent++
	err := l.soak.lanes[to].send(ctx, &l.tallies, uint64(l.index)<<numberBits|l.sent, false)
	if to == orderLane && err != nil && !errors.Is(err, eventbus.ErrClosed) && ctx.Err() == nil {
		l.soak.t.Errorf("the answer to an event of lane %d was refused with %v", l.index, err)
	}
}

func (l *lane) final(context.Context, eventbus.Event) error {
	l.finished++
	return nil
}

// send publishes an event to l and counts how that ends.
func (l *lane) send(ctx context.Context, tallies *[numLanes]tally, number uint64, try bool) error {
	e := eventbus.Event{Type: l.topic, Data: number}
	if l.index != tapeLane && number%200 == 5 {
		e.Type = unheard
	}
	method := l.bus.Publish
	if try {
		method = l.bus.TryPublish
	}
	err := method(ctx, l.queue, e)
	switch t := &tallies[l.index]; {
	case err == nil:
		t.take(e)
	case errors.Is(err, eventbus.ErrDropped):
		t.dropped++
	case errors.Is(err, eventbus.ErrQueueFull):
		t.full++
	case errors.Is(err, eventbus.ErrClosed):
		t.shut++
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		t.late++
	default:
		l.soak.t.Errorf("lane %d: Publish returned %v", l.index, err)
	}
	return err
}

// A feed publishes to a lane from outside.
type feed struct {
	soak      *soak
	lane      *lane
	source    int
	published int
	sent      uint64
	tallies   [numLanes]tally
}

func (f *feed) next() uint64 {
	f.sent++
	return uint64(f.source)<<numberBits | f.sent
}

// publish publishes one event: some with a deadline, some without waiting.
func (f *feed) publish() error {
	f.published++
	ctx := context.Background()
	if f.published%1000 == 7 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 100*time.Microsecond)
		defer cancel()
	}
	return f.lane.send(ctx, &f.tallies, f.next(), f.published%100 == 9)
}

// tallied returns how the publishes to a lane ended.
func (s *soak) tallied(lane int) (sum tally) {
	for _, f := range s.feeds {
		sum.add(f.tallies[lane])
	}
	for _, l := range s.lanes {
		sum.add(l.tallies[lane])
	}
	return sum
}

// verify compares the accounts of buses at rest with the test's own; back is
// what was handed back. Each event that was accepted is handled or handed back,
// and nothing else is: their numbers have the same sum.
func (s *soak) verify(back [numLanes]tally, killed bool) {
	s.t.Helper()
	failures := int64(0)
	for i, l := range s.lanes {
		q, own := l.stats(), s.tallied(i)
		unheard := own.unheard - back[i].unheard
		want := eventbus.QueueStats{
			Queue: q.Queue, Overflow: q.Overflow, Timeout: q.Timeout, Capacity: q.Capacity, HighWater: q.HighWater,
			Depth: int(back[i].accepted), Accepted: own.accepted, Handled: l.handled + unheard, Unhandled: unheard,
			Failed: l.failed, Panicked: l.panicked, Dropped: own.dropped, Rejected: own.full + own.late + own.shut,
		}
		if i == tapeLane {
			want.Evicted = own.accepted - l.handled
		} else {
			require.Equal(s.t, own.sum, l.sum+back[i].sum, "lane %d: not the accepted events are handled or handed back", i)
		}
		require.Equal(s.t, want, q)
		require.LessOrEqual(s.t, q.HighWater, q.Capacity)
		if i < tapeLane && killed {
			l.finished = min(l.finished+1, l.handled) // one event may have been cut short
		}
		require.Equal(s.t, l.handled, l.finished, "lane %d: not all handlers were called", i)
		failures += int64(l.failed)
	}
	require.Equal(s.t, failures, s.reports.Load(), "reports to the error handler")
}

func (s *soak) totals() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "lane\tpublished\taccepted\thandled\tdropped\tevicted\tqueue full\tdeadline\tfailed\tpanicked\tslow\tmean depth\tof\t")
	for i, l := range s.lanes {
		n, q := s.tallied(i), l.stats()
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", []string{"data", "signal", "order", "tape"}[i],
			n.accepted+n.dropped+n.full+n.late+n.shut, n.accepted, q.Handled, n.dropped, q.Evicted, n.full, n.late, q.Failed, q.Panicked,
			l.slow, s.depths[i]/max(s.depthsTaken, 1), q.Capacity)
	}
	w.Flush()
	fmt.Fprintf(&b, "%d subscribed and left, %d starts, %v of log", s.subscribed, s.started.Load(), &s.lines)
	return "\n" + b.String()
}

// A lineCounter counts log records by level.
type lineCounter struct{ info, warn, slow, error, above atomic.Int64 }

func (c *lineCounter) logger() eventbus.Option { return eventbus.WithLogger(slog.New(c)) }

func (c *lineCounter) Enabled(_ context.Context, level slog.Level) bool {
	return level > slog.LevelDebug
}
func (c *lineCounter) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c *lineCounter) WithGroup(string) slog.Handler      { return c }

func (c *lineCounter) Handle(_ context.Context, r slog.Record) error {
	switch {
	case r.Level > slog.LevelError:
		c.above.Add(1)
	case r.Level == slog.LevelError:
		c.error.Add(1)
	case strings.Contains(r.Message, "slow handler"):
		c.slow.Add(1)
	case r.Level == slog.LevelWarn:
		c.warn.Add(1)
	default:
		c.info.Add(1)
	}
	return nil
}

func (c *lineCounter) String() string {
	return fmt.Sprintf("%d INFO, %d WARN of losses, %d WARN of slow handlers, %d ERROR lines",
		c.info.Load(), c.warn.Load(), c.slow.Load(), c.error.Load())
}

// verifyLog sees to it that there is not more log than the limits a second
// allow, however much has gone wrong. One more second may have begun, and the
// counts of what was withheld come on top.
func (s *soak) verifyLog(took time.Duration) {
	seconds := int64(took/time.Second) + 2
	require.Zero(s.t, s.lines.above.Load(), "failures of a processor")
	require.LessOrEqual(s.t, s.lines.error.Load(), numLanes*11*seconds+s.started.Load()*numLanes)
	require.LessOrEqual(s.t, s.lines.warn.Load(), numLanes*2*seconds+s.started.Load()*numLanes)
	require.LessOrEqual(s.t, s.lines.info.Load(), s.started.Load()*3*2)
	// A call is reported as slow after 7.5 ms at the earliest, at most twice.
	require.LessOrEqual(s.t, s.lines.slow.Load(), int64(numLanes*2)*int64(took/(7500*time.Microsecond)+1))
}
