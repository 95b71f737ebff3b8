package journal_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/journal"
)

// trade subscribes handlers that make an order of every tick whose price has risen.
func trade(bus *eventbus.Bus, placed *[]order) {
	last := 0.0
	ticks.Subscribe(bus, func(ctx context.Context, k tick) error {
		defer func() { last = k.Price }()
		if k.Price > last {
			return signals.Publish(ctx, bus, signal{k.ID})
		}
		return nil
	})
	signals.Subscribe(bus, func(ctx context.Context, s signal) error {
		return orders.Publish(ctx, bus, order{ID: fmt.Sprint(s.Tick)})
	})
	orders.Subscribe(bus, func(_ context.Context, o order) error {
		*placed = append(*placed, o)
		return nil
	})
}

// recordTrades records a session of n ticks, a millisecond apart, and returns its orders.
func recordTrades(t *testing.T, path string, n int, opts ...eventbus.Option) (placed []order) {
	j := open(t, path)
	bus := newBus(t, opts...)
	j.Record(bus)
	trade(bus, &placed)
	for i := range n {
		require.NoError(t, ticks.PublishEvent(limited(t), bus, tickAt(i)))
		step(t, bus)
	}
	require.NoError(t, j.Close())
	return placed
}

var dayStart = time.Date(2026, 3, 16, 14, 30, 0, 0, time.UTC)

func tickAt(i int) eventbus.Event {
	return eventbus.Event{Type: ticks.Type(), Source: "feed", Time: dayStart.Add(time.Duration(i) * time.Millisecond),
		Data: tick{uint64(i), float64(i * 7 % 10)}}
}

func TestReplayPublishesWhatCameFromOutside(t *testing.T) {
	path := tempPath(t)
	live := recordTrades(t, path, 100)
	require.NotEmpty(t, live)
	var again []order
	var events []eventbus.Event
	bus := newBus(t)
	bus.SubscribeFunc("tick", func(_ context.Context, e eventbus.Event) error {
		events = append(events, e)
		return nil
	})
	trade(bus, &again)
	done, err := journal.Replay(limited(t), bus, path, replayTopics()...)
	require.NoError(t, err)
	require.Equal(t, journal.Replayed{Published: 100, Handled: 100 + 2*uint64(len(live)), Sessions: 1}, done)
	require.Equal(t, live, again)
	for i, e := range events {
		require.Equal(t, tickAt(i), e)
	}
	require.Len(t, bus.Stats().Handlers, 4, "the tap has left")
}

// The clock shows the time of the event from outside at hand, to its handlers and to those of
// what they publish, and never that of an event that is published ahead. So nothing expires
// that had not.
func TestReplayClockShowsTheDataTime(t *testing.T) {
	path := tempPath(t)
	recordTrades(t, path, 50)
	clock := journal.NewClock()
	require.True(t, clock.Now().IsZero())
	young := eventbus.QueueConfig{Capacity: 100, MaxAge: time.Microsecond}
	bus := newBus(t, eventbus.WithClock(clock.Now), eventbus.WithQueue(eventbus.DataQueue, young), eventbus.WithQueue(eventbus.SignalQueue, young))
	var placed []order
	trade(bus, &placed)
	i, now := 0, time.Time{}
	bus.SubscribeMatch("*", eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
		if e.Type == "tick" {
			now = tickAt(i).Time
			i++
		}
		require.Equal(t, now, clock.Now(), "%v", e)
		require.Equal(t, now, e.Time, "what is published inside is stamped with it")
		return nil
	}))
	done, err := journal.Replay(limited(t), bus, path, replayTopics(journal.WithReplayClock(clock))...)
	require.NoError(t, err)
	require.Zero(t, done.Diverged)
	require.Equal(t, 50, i)
	require.NotEmpty(t, placed)
	require.Zero(t, bus.Stats().Queues[eventbus.DataQueue].Expired)
}

func TestReplayAtTheSpeedOfTheData(t *testing.T) {
	path := tempPath(t)
	recordTrades(t, path, 100) // 99 ms
	bus := newBus(t)
	began := time.Now()
	var times []time.Duration
	ticks.Subscribe(bus, func(context.Context, tick) error { times = append(times, time.Since(began)); return nil })
	_, err := journal.Replay(limited(t), bus, path, replayTopics(journal.WithSpeed(0.5))...)
	require.NoError(t, err)
	require.Len(t, times, 100)
	for i, at := range times {
		require.GreaterOrEqual(t, at, time.Duration(2*i)*time.Millisecond, "tick %d is early", i)
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	slow := newBus(t)
	ticks.Subscribe(slow, func(context.Context, tick) error { cancel(); return nil })
	done, err := journal.Replay(ctx, slow, path, replayTopics(journal.WithSpeed(1e-9))...)
	require.ErrorIs(t, err, context.Canceled)
	require.LessOrEqual(t, done.Handled, uint64(2))
}

func TestReplayOfSeveralSessions(t *testing.T) {
	path := tempPath(t)
	live := [][]order{recordTrades(t, path, 30), recordTrades(t, path, 20)}
	for session, want := range live {
		var again []order
		bus := newBus(t)
		trade(bus, &again)
		done, err := journal.Replay(limited(t), bus, path, replayTopics(journal.WithSession(uint64(session+1)))...)
		require.NoError(t, err)
		require.Equal(t, 1, done.Sessions)
		require.Zero(t, done.Diverged)
		require.Equal(t, want, again)
	}
	bus := newBus(t)
	n := 0
	ticks.Subscribe(bus, func(context.Context, tick) error { n++; return nil })
	done, err := journal.Replay(limited(t), bus, path, replayTopics()...)
	require.NoError(t, err)
	require.Equal(t, 2, done.Sessions)
	require.Equal(t, 50, n)
	require.NotZero(t, done.Diverged, "nothing trades")
	_, err = journal.Replay(limited(t), bus, path, replayTopics(journal.WithSession(3))...)
	require.EqualError(t, err, fmt.Sprintf("journal: Replay: %s has no session 3", path))
}

// Nothing is published if the journal cannot be replayed.
func TestReplayRefuses(t *testing.T) {
	path := tempPath(t)
	recordTrades(t, path, 10)
	withTopics := replayTopics()
	for want, opts := range map[string][]journal.ReplayOption{
		"record 1: nothing says how to decode tick: give its topic with WithTopic": nil,
		"WithSpeed: the factor is 0, want more than 0":                             {journal.WithSpeed(0)},
		"WithReplayClock: the clock is nil":                                        {journal.WithReplayClock(nil)},
		"WithSession: the session is 0, want 1 or more":                            {journal.WithSession(0)},
		"WithTopic: given twice for tick":                                          {journal.WithTopic(ticks), journal.WithTopic(ticks)},
		"an option is nil":                                                         {nil},
	} {
		bus := newBus(t)
		_, err := journal.Replay(limited(t), bus, path, opts...)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "journal: Replay: ")
		require.Zero(t, bus.Stats().Queues[eventbus.DataQueue].Accepted)
	}

	bus := newBus(t)
	_, err := journal.Replay(limited(t), bus, path+".none", withTopics...)
	require.Error(t, err)
	require.NoError(t, ticks.Publish(limited(t), bus, tick{}))
	_, err = journal.Replay(limited(t), bus, path, withTopics...)
	require.EqualError(t, err, "journal: Replay: the data queue holds 1 events, want a bus without any")
	step(t, bus)
	require.NoError(t, bus.Pause(eventbus.DataQueue))
	_, err = journal.Replay(limited(t), bus, path, withTopics...)
	require.ErrorIs(t, err, eventbus.ErrPaused)
	require.NoError(t, bus.Resume(eventbus.DataQueue))
	require.NoError(t, bus.Start(context.Background()))
	_, err = journal.Replay(limited(t), bus, path, withTopics...)
	require.ErrorIs(t, err, eventbus.ErrRunning)
	require.NoError(t, bus.Shutdown(limited(t)))
	_, err = journal.Replay(limited(t), bus, path, withTopics...)
	require.ErrorIs(t, err, eventbus.ErrClosed)

	inside := newBus(t)
	signals.Subscribe(inside, func(ctx context.Context, _ signal) error {
		_, err := journal.Replay(ctx, inside, path, withTopics...)
		return err
	})
	require.NoError(t, signals.Publish(limited(t), inside, signal{}))
	step(t, inside)
	require.EqualValues(t, 1, inside.Stats().Queues[eventbus.SignalQueue].Failed)
	require.Zero(t, inside.Stats().Queues[eventbus.DataQueue].Accepted)
}

// A payload that cannot be decoded ends a replay, with the number of its record.
func TestReplayEndsAtABadPayload(t *testing.T) {
	path := tempPath(t)
	recordTrades(t, path, 10)
	bus := newBus(t)
	bad := errors.New("bad")
	n := 0
	codec := journal.JSON[tick]()
	decode := codec.Decode
	codec.Decode = func(b []byte) (tick, error) {
		if n++; n == 5 {
			return tick{}, bad
		}
		return decode(b)
	}
	done, err := journal.Replay(limited(t), bus, path, journal.WithTopic(ticks, codec))
	require.ErrorIs(t, err, bad)
	require.ErrorContains(t, err, "the payload of tick")
	require.EqualValues(t, 4, done.Published)
}

// Where causes are unknown, what handlers published would be published twice: Replay ends at
// the first such event.
func TestReplayNeedsCauses(t *testing.T) {
	without := func(t *testing.T) *eventbus.Bus {
		bus, err := eventbus.New()
		require.NoError(t, err)
		t.Cleanup(func() { _ = bus.Shutdown(ended()) })
		return bus
	}
	var placed []order
	t.Run("recorded without", func(t *testing.T) {
		path := tempPath(t)
		j := open(t, path)
		bus := without(t)
		j.Record(bus)
		trade(bus, &placed)
		require.NoError(t, ticks.PublishEvent(limited(t), bus, tickAt(1)))
		step(t, bus)
		require.NoError(t, j.Close())
		again := newBus(t)
		placed = nil
		trade(again, &placed)
		_, err := journal.Replay(limited(t), again, path, replayTopics()...)
		require.ErrorIs(t, err, journal.ErrNoCauses)
		require.ErrorContains(t, err, "WithFeedOnly")
		require.NotContains(t, err.Error()[1:], "journal:", "it names the package once")
		require.LessOrEqual(t, len(placed), 2)
	})
	t.Run("replayed without", func(t *testing.T) {
		path := tempPath(t)
		recordTrades(t, path, 10)
		again := without(t)
		trade(again, &placed)
		_, err := journal.Replay(limited(t), again, path, replayTopics()...)
		require.ErrorIs(t, err, journal.ErrNoCauses)
		require.ErrorContains(t, err, "the bus needs eventbus.WithCauses")
	})
	t.Run("a handler with another context", func(t *testing.T) {
		path := tempPath(t)
		j := open(t, path)
		bus := newBus(t)
		stray := func(bus *eventbus.Bus) {
			ticks.Subscribe(bus, func(_ context.Context, k tick) error {
				return fills.Publish(context.Background(), bus, fill{})
			})
		}
		stray(bus)
		j.Record(bus)
		require.NoError(t, ticks.PublishEvent(limited(t), bus, tickAt(1)))
		step(t, bus)
		require.NoError(t, j.Close())
		again := newBus(t)
		stray(again)
		_, err := journal.Replay(limited(t), again, path, replayTopics()...)
		require.ErrorIs(t, err, journal.ErrNoCauses)
		require.ErrorContains(t, err, "handlers publish with their own context")
	})
	t.Run("a feed alone", func(t *testing.T) {
		path := tempPath(t)
		j := open(t, path)
		bus := newBus(t)
		j.Record(bus)
		for i := range 10 {
			require.NoError(t, ticks.PublishEvent(limited(t), bus, tickAt(i)))
		}
		step(t, bus)
		require.NoError(t, j.Close())
		again := newBus(t)
		placed = nil
		trade(again, &placed)
		_, err := journal.Replay(limited(t), again, path, replayTopics(journal.WithFeedOnly())...)
		require.NoError(t, err)
		require.NotEmpty(t, placed)
	})
}

// What the handlers do otherwise than on the recorded day is counted, and the first such
// record is told.
func TestReplayCountsWhatDiverges(t *testing.T) {
	path := tempPath(t)
	live := recordTrades(t, path, 50)
	var first journal.Record
	for _, r := range read(t, path) {
		if r.Type == signals.Type() {
			first = r
			break
		}
	}
	bus := newBus(t)
	ticks.Subscribe(bus, func(context.Context, tick) error { return nil })
	done, err := journal.Replay(limited(t), bus, path, replayTopics()...)
	require.NoError(t, err)
	require.EqualValues(t, 50, done.Published)
	require.Equal(t, first, done.First)
	require.GreaterOrEqual(t, done.Diverged, uint64(2*len(live)))

	var again []order
	more := newBus(t)
	trade(more, &again)
	ticks.Subscribe(more, func(ctx context.Context, k tick) error { // one order more
		if k.ID == 49 {
			return orders.Publish(ctx, more, order{"extra"})
		}
		return nil
	})
	done, err = journal.Replay(limited(t), more, path, replayTopics()...)
	require.NoError(t, err)
	require.EqualValues(t, 1, done.Diverged)
	require.Len(t, again, len(live)+1)
}

// The first record that was not the next is told, though the session before it has ended
// with an event more than it had that day.
func TestReplayTellsTheFirstRecordThatDiverges(t *testing.T) {
	path := tempPath(t)
	recordTrades(t, path, 1)
	recordTrades(t, path, 50)
	var first journal.Record
	for _, r := range read(t, path) {
		if r.Session == 2 && r.Type == signals.Type() {
			first = r
			break
		}
	}
	bus, session := newBus(t), 0
	ticks.Subscribe(bus, func(ctx context.Context, k tick) error { // one order more in the first session, no signal in the second
		if session++; session == 1 {
			return orders.Publish(ctx, bus, order{ID: "more"})
		}
		return nil
	})
	done, err := journal.Replay(limited(t), bus, path, replayTopics(journal.WithFeedOnly())...)
	require.NoError(t, err)
	require.Equal(t, first, done.First)
}
