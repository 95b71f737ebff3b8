package journal_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/journal"
)

func TestRecordStoresEventsAndCauses(t *testing.T) {
	path := tempPath(t)
	j := open(t, path)
	bus := newBus(t)
	j.Record(bus)
	signals.Subscribe(bus, func(ctx context.Context, s signal) error { return orders.Publish(ctx, bus, order{"A<1>"}) })
	ticks.Subscribe(bus, func(ctx context.Context, k tick) error {
		return bus.Publish(ctx, eventbus.SignalQueue, eventbus.Event{Type: signals.Type(), Data: signal{k.ID}, Source: "strategie \"ü\"", Time: time.Unix(5, 6)})
	})
	at := time.Date(2026, 3, 16, 14, 30, 0, 1, time.FixedZone("", 3600))
	require.NoError(t, ticks.PublishEvent(limited(t), bus, eventbus.Event{Type: "tick", Data: tick{7, 1.5}, Time: at}))
	require.NoError(t, bus.Publish(limited(t), eventbus.DataQueue, eventbus.Event{Type: "halt"}))
	step(t, bus)
	require.NoError(t, j.Close())

	records := read(t, path)
	require.Len(t, records, 4)
	require.NotZero(t, records[2].Time)
	records[2].Time = 0 // of the clock
	root := journal.Origin{Queue: eventbus.DataQueue, Seq: 1, Type: "tick", Time: at.UnixNano()}
	require.Equal(t, []journal.Record{
		{N: 1, Session: 1, Queue: eventbus.DataQueue, Seq: 1, Type: "tick", Time: at.UnixNano(), Data: json.RawMessage(`{"id":7,"price":1.5}`)},
		{N: 2, Session: 1, Queue: eventbus.SignalQueue, Seq: 1, Type: "signal", Source: "strategie \"ü\"", Time: 5e9 + 6, Data: json.RawMessage(`{"tick":7}`),
			Cause: &journal.Cause{Queue: eventbus.DataQueue, Seq: 1, Root: root, Hops: 1}},
		{N: 3, Session: 1, Queue: eventbus.OrderQueue, Seq: 1, Type: "order", Data: json.RawMessage(`{"id":"A\u003c1\u003e"}`),
			Cause: &journal.Cause{Queue: eventbus.SignalQueue, Seq: 1, Root: root, Hops: 2}},
		{N: 4, Session: 1, Queue: eventbus.DataQueue, Seq: 2, Type: "halt"},
	}, records)
	require.True(t, records[0].EventTime().Equal(at))
	require.True(t, records[3].EventTime().IsZero())
	require.True(t, records[0].FromOutside())
	require.False(t, records[1].FromOutside())
}

func TestOpenBeginsASession(t *testing.T) {
	path := tempPath(t)
	for i := range 3 {
		j := open(t, path, journal.WithMeta(map[string]int{"run": i}))
		bus := newBus(t, eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 9, Overflow: eventbus.DropNewest, MaxAge: time.Hour}))
		j.Record(bus)
		require.EqualValues(t, i+1, j.Session())
		require.Equal(t, path, j.Path())
		for range 2 {
			require.NoError(t, ticks.Publish(limited(t), bus, tick{}))
		}
		step(t, bus)
		require.NoError(t, j.Close())
	}
	for i, r := range read(t, path) {
		require.EqualValues(t, i+1, r.N, "numbers go on")
		require.EqualValues(t, i/2+1, r.Session)
		require.EqualValues(t, i%2+1, r.Seq, "those of the queues begin anew")
	}
	manifests, err := journal.Manifests(path)
	require.NoError(t, err)
	require.Len(t, manifests, 3)
	m := manifests[2]
	require.JSONEq(t, `{"run":2}`, string(m.Meta))
	require.EqualValues(t, 3, m.Session)
	require.Equal(t, 1, m.Version)
	require.WithinDuration(t, time.Now(), m.StartTime(), time.Minute)
	require.Equal(t, journal.QueueInfo{Queue: eventbus.DataQueue, Capacity: 9, Overflow: eventbus.DropNewest, MaxAge: time.Hour}, m.Queues[0])
	require.Len(t, m.Queues, 3)
	require.Equal(t, journal.TopicInfo{Type: "tick", Queue: eventbus.DataQueue, ContentType: "application/json"}, m.Topics[0])
	require.Len(t, m.Topics, 4)
}

func TestOpenLocksTheFile(t *testing.T) {
	path := tempPath(t)
	j := open(t, path)
	_, err := journal.Open(path)
	require.ErrorIs(t, err, journal.ErrLocked)
	require.EqualError(t, err, "journal: another Journal, perhaps of another process, writes it: "+path)
	require.NoError(t, j.Close())
	again, err := journal.Open(path)
	require.NoError(t, err, "Close gives up the lock")
	require.NoError(t, again.Close())
}

func TestOpenRefusesWhatIsNoJournal(t *testing.T) {
	zeros := string(make([]byte, 3000))
	for _, text := range []string{
		"a", "some notes", "a text that is longer than a header, and no journal at all",
		"a database" + zeros + "its pages", "a program" + zeros, "its name\x00\x00\x00\x00",
		zeros + "an image, behind an empty sector", "\x5e" + zeros + "a number, and more", "\x5e\x2a\x4d\x18\x0c\x00\x00\x00" + zeros + "more",
	} {
		path := tempPath(t)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := journal.Open(path)
		var damage *journal.DamageError
		require.ErrorAs(t, err, &damage)
		left, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, text, string(left), "it is left alone")
		for _, err := range journal.Read(path) {
			require.ErrorAs(t, err, &damage)
		}
		report, err := journal.Verify(path)
		require.NoError(t, err)
		require.Zero(t, report.Torn)
		require.Len(t, report.Damage, 1)
	}
	_, err := journal.Open(filepath.Join(t.TempDir(), "none", "day.journal"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestOpenRefusesInvalidOptions(t *testing.T) {
	for want, opt := range map[string]journal.Option{
		"an option is nil": nil,
		"WithFlushInterval: the interval is -1ns, want 0 or more":        journal.WithFlushInterval(-1),
		"WithSync: the policy is 7, want SyncOnDemand or SyncEveryFlush": journal.WithSync(7),
		"WithBuffer: the number of events is 0, want 1 to 16777216":      journal.WithBuffer(0),
		"WithErrorHandler: the function is nil":                          journal.WithErrorHandler(nil),
		"WithMeta: json: unsupported type: chan int":                     journal.WithMeta(make(chan int)),
		"WithMeta: it takes 9000002 bytes, want 8388608 at most":         journal.WithMeta(string(make8(9_000_000))),
		"WithTopic: given twice for tick":                                journal.WithTopic(ticks),
		"a TopicOption is empty; make it with WithTopic":                 journal.TopicOption{},
	} {
		path := tempPath(t)
		_, err := journal.Open(path, append(topics(), opt)...)
		require.EqualError(t, err, "journal: Open: "+want)
		require.NoFileExists(t, path)
	}
}

func TestMisusePanics(t *testing.T) {
	j := open(t, tempPath(t))
	bus := newBus(t)
	j.Record(bus)
	id := func(order) string { return "" }
	var none eventbus.Topic[order]
	var noContext context.Context
	for want, misuse := range map[string]func(){
		"journal: Record: the bus is nil":                                                 func() { j.Record(nil) },
		"journal: Record: the journal records a bus already; open one for each bus":       func() { j.Record(bus) },
		"journal: Before: an event type is empty":                                         func() { j.Before("") },
		"journal: Sync: the context is nil":                                               func() { _ = j.Sync(noContext) },
		"journal: Follow: the context is nil":                                             func() { journal.Follow(noContext) },
		"journal: Read: an option is nil":                                                 func() { journal.Read("", nil) },
		"journal: Replay: the context is nil":                                             func() { _, _ = journal.Replay(noContext, bus, "") },
		"journal: Replay: the bus is nil":                                                 func() { _, _ = journal.Replay(context.Background(), nil, "") },
		"journal: WithTopic: the topic has no event type; make it with eventbus.NewTopic": func() { journal.WithTopic(none) },
		"journal: WithTopic: the codec of order has no Encode":                            func() { journal.WithTopic(orders, journal.Codec[order]{}) },
		"journal: WithTopic: 2 codecs for order, want one or none":                        func() { journal.WithTopic(orders, journal.JSON[order](), journal.JSON[order]()) },
		"journal: By: the function is nil":                                                func() { journal.By(orders, nil) },
		"journal: Pending: the intent is empty; make it with By":                          func() { _, _ = journal.Pending("", journal.Key[order]{}) },
		"journal: Pending: an outcome is nil":                                             func() { _, _ = journal.Pending("", journal.By(orders, id), nil) },
		"journal: Pending: an outcome is empty; make it with By":                          func() { _, _ = journal.Pending("", journal.By(orders, id), journal.Key[fill]{}) },
		"journal: Pending: fill is an outcome twice": func() {
			_, _ = journal.Pending("", journal.By(orders, id), journal.By(fills, fillID), journal.By(fills, fillID))
		},
		"journal: Pending: order is the intent and an outcome": func() { _, _ = journal.Pending("", journal.By(orders, id), journal.By(orders, id)) },
	} {
		require.PanicsWithValue(t, want, misuse)
	}
}

func TestCloseRefusesWhatComesLater(t *testing.T) {
	path := tempPath(t)
	j := open(t, path)
	bus := newBus(t)
	j.Record(bus)
	called := 0
	orders.Subscribe(bus, func(context.Context, order) error { called++; return nil }, eventbus.Use(j.Before()))
	require.NoError(t, j.Close())
	require.NoError(t, j.Close())
	require.NoError(t, j.Sync(limited(t)), "all is stored")
	require.NoError(t, orders.Publish(limited(t), bus, order{"A1"}))
	step(t, bus)
	require.Zero(t, called)
	require.EqualValues(t, 2, bus.Stats().Queues[eventbus.OrderQueue].Failed, "the tap, and the handler behind Before")
	require.EqualValues(t, 1, j.Stats().Failed)
	require.Empty(t, read(t, path))
	manifests, err := journal.Manifests(path)
	require.NoError(t, err)
	require.Len(t, manifests, 1, "Close writes the manifest of a session without events")
}

func TestStatsCount(t *testing.T) {
	path := tempPath(t)
	j := open(t, path, journal.WithFlushInterval(time.Hour))
	bus := newBus(t)
	j.Record(bus)
	for range 10 {
		require.NoError(t, ticks.Publish(limited(t), bus, tick{}))
	}
	step(t, bus)
	require.NoError(t, j.Sync(limited(t)))
	s := j.Stats()
	require.EqualValues(t, 10, s.Records)
	require.Zero(t, s.Waiting+int(s.Failed+s.Unencoded))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, info.Size(), s.Bytes)
}

func TestSyncEndsWithItsContext(t *testing.T) {
	j := open(t, tempPath(t), journal.WithErrorHandler(func(error) {}))
	require.NoError(t, j.Sync(limited(t)), "nothing to wait for")
	bus := newBus(t)
	j.Record(bus)
	block, blocked := make(chan struct{}), make(chan struct{})
	require.NoError(t, bus.Publish(limited(t), eventbus.DataQueue, eventbus.Event{Type: "slow", Data: slowJSON{blocked, block}}))
	step(t, bus)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- j.Sync(ctx) }()
	goOn := sync.OnceFunc(func() { close(block) })
	defer goOn()
	await(t, blocked)
	cancel()
	require.ErrorIs(t, await(t, done), context.Canceled)
	goOn()
	require.NoError(t, j.Sync(limited(t)))
}

// slowJSON is a payload whose encoding begins by closing the first channel and waits for the
// second.
type slowJSON struct{ begun, goOn chan struct{} }

func (s slowJSON) MarshalJSON() ([]byte, error) {
	close(s.begun)
	<-s.goOn
	return []byte("{}"), nil
}

// Record drops nothing: where the disk is too slow, the bus is.
func TestRecordBlocksWhileTheWriterIsBusy(t *testing.T) {
	path := tempPath(t)
	j := open(t, path, journal.WithBuffer(2), journal.WithFlushInterval(0))
	bus := newBus(t)
	j.Record(bus)
	block, blocked := make(chan struct{}), make(chan struct{})
	require.NoError(t, bus.Publish(limited(t), eventbus.DataQueue, eventbus.Event{Type: "slow", Data: slowJSON{blocked, block}}))
	step(t, bus)
	goOn := sync.OnceFunc(func() { close(block) })
	defer goOn()
	await(t, blocked) // the writer is stuck with the first event
	for i := range 5 {
		require.NoError(t, ticks.Publish(limited(t), bus, tick{ID: uint64(i)}))
	}
	done := make(chan error, 1)
	go func() {
		_, err := bus.RunUntilIdle(context.Background())
		done <- err
	}()
	require.Eventually(t, func() bool { return j.Stats().Waiting == 2 }, patience, time.Millisecond)
	require.Never(t, func() bool { return len(done) > 0 || j.Stats().Waiting != 2 }, 50*time.Millisecond, 5*time.Millisecond)
	goOn()
	require.NoError(t, await(t, done))
	require.NoError(t, j.Close())
	require.Len(t, read(t, path), 6)
	require.Zero(t, j.Stats().Failed)
}

// A payload that cannot be encoded leaves no gap: its record says why it is missing.
func TestRecordKeepsTheRecordOfABadPayload(t *testing.T) {
	var told []error
	path := tempPath(t)
	j := open(t, path, journal.WithErrorHandler(func(err error) { told = append(told, err); panic("contained") }))
	bus := newBus(t)
	j.Record(bus)
	called := 0
	handler := eventbus.HandlerFunc(func(context.Context, eventbus.Event) error { called++; return nil })
	bus.Subscribe("tick", handler, eventbus.Use(j.Before("tick")))
	bad := map[string]eventbus.Event{
		"json: unsupported value: NaN":                                          {Type: "tick", Data: tick{Price: math.NaN()}},
		"the event carries a int, the topic tick takes a journal_test.tick":     {Type: "tick", Data: 7},
		"the event carries a <nil>, the topic tick takes a journal_test.tick":   {Type: "tick"},
		"its time is 1066-10-14 00:00:00 +0000 UTC, want one from 1678 to 2261": {Type: "tick", Data: tick{}, Time: time.Date(1066, 10, 14, 0, 0, 0, 0, time.UTC)},
		"its encoding panicked: no":                                             {Type: "wild", Data: panicking{}},
		"it takes 9000002 bytes, want 8388608 at most":                          {Type: "large", Data: string(make8(9_000_000))},
		"its type takes 4 bytes and its source 70000, want 65536 at most":       {Type: "tick", Data: tick{}, Source: string(make8(70_000))},
	}
	for range 2 {
		for _, e := range bad {
			require.NoError(t, bus.Publish(limited(t), eventbus.DataQueue, e))
		}
	}
	require.NoError(t, ticks.Publish(limited(t), bus, tick{}))
	step(t, bus)
	require.NoError(t, j.Close())
	require.Equal(t, 1, called, "the good one")
	require.EqualValues(t, 14, j.Stats().Unencoded)
	records := read(t, path)
	require.Len(t, records, 15)
	for _, r := range records[:14] {
		require.Contains(t, bad, r.Error)
		require.Empty(t, r.Data)
	}
	require.Empty(t, records[14].Error)
	require.Len(t, told, 3, "once a type")
	for _, err := range told {
		require.ErrorIs(t, err, journal.ErrNotStored)
	}
}

type panicking struct{}

func (panicking) MarshalJSON() ([]byte, error) { panic("no") }

// make8 returns n letters.
func make8(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'x'
	}
	return b
}

// A codec that ends the writer's goroutine ends the journal, and not the program or its wait.
func TestJournalOutlivesGoexitInACodec(t *testing.T) {
	told := make(chan error, 1)
	j := open(t, tempPath(t), journal.WithErrorHandler(func(err error) { told <- err }))
	bus := newBus(t)
	j.Record(bus)
	for range 3 {
		require.NoError(t, bus.Publish(limited(t), eventbus.DataQueue, eventbus.Event{Type: "wild", Data: exiting{}}))
	}
	step(t, bus)
	require.ErrorIs(t, j.Sync(limited(t)), journal.ErrNotStored)
	require.ErrorIs(t, j.Close(), journal.ErrNotStored)
	require.ErrorIs(t, await(t, told), journal.ErrNotStored)
	require.False(t, errors.Is(j.Close(), journal.ErrClosed))
	require.EqualValues(t, 3, j.Stats().Failed, "the one at hand, and those behind it")
}

// A manifest that no reader would accept is not written: it would hide the records behind it.
func TestJournalFailsRatherThanWriteTooLargeABlock(t *testing.T) {
	path := tempPath(t)
	topic := eventbus.NewTopic[tick](eventbus.EventType(make8(11_000_000)), eventbus.DataQueue)
	j, err := journal.Open(path, journal.WithTopic(topic), journal.WithErrorHandler(func(error) {}))
	require.NoError(t, err)
	require.ErrorContains(t, j.Close(), "no reader accepts it")
	require.Empty(t, read(t, path))
}

type exiting struct{}

func (exiting) MarshalJSON() ([]byte, error) {
	runtime.Goexit()
	return nil, nil
}
