package record_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus/contrib/journal"
	"github.com/eventbus-go/eventbus/examples/candles"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
	"github.com/eventbus-go/eventbus/examples/tradingengine/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flip buys and sells at every second candle.
type flip struct{ n int }

func (s *flip) OnClose(engine.Candle) (engine.Side, bool) {
	s.n++
	return []engine.Side{engine.Buy, "", engine.Sell, ""}[s.n%4], s.n%2 == 0
}

// A counter is a broker that takes orders over it, and refuses every third.
type counter struct {
	engine.Broker
	taken []engine.Order
	open  []engine.Order
}

func (b *counter) OnOrder(ctx context.Context, bus *eventbus.Bus, o engine.Order) error {
	b.taken = append(b.taken, o)
	if o.ID%3 == 0 {
		return engine.OrderUpdate.Publish(ctx, bus, engine.Cancellation{Order: o, Reason: "refused"})
	}
	b.open = append(b.open, o)
	return nil
}

// A market is a feed of candles from one number to another, and fills what the counter has taken in two parts.
type market struct {
	*counter
	from, to int
}

func (m *market) Run(_ context.Context, bus *eventbus.Bus) error {
	ctx := context.Background()
	for i := m.from; i < m.to; i++ {
		price := decimal.MustFromInt64(int64(100+i%7), 0)
		at := time.Unix(int64(i), 0).UTC()
		if err := engine.CandleClosed.Publish(ctx, bus, engine.Candle{Candle: candles.Candle{Time: at, Open: price, High: price, Low: price, Close: price}}); err != nil {
			return err
		}
		if _, err := bus.RunUntilIdle(ctx); err != nil {
			return err
		}
		for _, o := range m.open {
			half, _ := o.Quantity.Div(decimal.MustParse("2"))
			f := engine.Fill{Order: o, Time: at, Price: price, Quantity: half, Partial: true}
			if err := engine.OrderPartiallyFilled.Publish(ctx, bus, f); err != nil {
				return err
			}
			f.Partial = false
			if err := engine.OrderFilled.Publish(ctx, bus, f); err != nil {
				return err
			}
		}
		m.open = nil
		if _, err := bus.RunUntilIdle(ctx); err != nil {
			return err
		}
	}
	return nil
}

// newEngine is stepped, and trades with m.
func newEngine(t *testing.T, m *market, clock *record.Clock, change func(*engine.Config)) (*engine.Engine, *engine.Ledger) {
	t.Helper()
	ledger := engine.NewLedger(decimal.MustParse("10000"), 0)
	m.counter = &counter{Broker: engine.NewPaperBroker(decimal.MustParse("2"))}
	c := engine.Config{
		Feed: m, Strategies: []engine.Strategy{&flip{}}, Broker: m.counter, Portfolio: ledger,
		Cash: decimal.MustParse("10000"), Lot: decimal.MustParse("2"), Stepped: true,
		Options: []eventbus.Option{eventbus.WithLogger(slog.New(slog.DiscardHandler)), eventbus.WithCauses(), eventbus.WithClock(clock.Now)},
	}
	change(&c)
	e, err := engine.New(c)
	require.NoError(t, err)
	return e, ledger
}

var testRun = record.Run[string]{Program: "test"}

// session restores an engine from the journal at path, and lets it trade on.
func session(t *testing.T, path string, from, to int) (restored record.Restored, e *engine.Engine, m *market, ledger *engine.Ledger) {
	t.Helper()
	j, err := record.Open(path, testRun, journal.WithFlushInterval(0))
	require.NoError(t, err)
	m = &market{from: from, to: to}
	clock := &record.Clock{}
	e, ledger = newEngine(t, m, clock, func(c *engine.Config) { c.BrokerOptions = []eventbus.SubscribeOption{eventbus.Use(j.Before())} })
	restored, err = record.Restore(t.Context(), e, path, clock)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), clock.Now(), time.Minute)
	require.Empty(t, m.taken, "nothing is sent")
	j.Record(e.Bus())
	engine.SignalGenerated.Subscribe(e.Bus(), func(ctx context.Context, _ engine.Signal) error { return j.Sync(ctx) }) // so that a cut can part it from its order
	for _, o := range restored.Open {                                                                                  // nobody knows them
		require.NoError(t, engine.OrderUpdate.Publish(t.Context(), e.Bus(), engine.Cancellation{Order: o.Order, Reason: "it never arrived"}))
	}
	require.NoError(t, e.Run(t.Context()))
	require.NoError(t, j.Close())
	return restored, e, m, ledger
}

// encoded is for comparing what has decimals, which have several forms of one number.
func encoded(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	require.NoError(t, err)
	return string(text)
}

// intents are the orders in a journal.
func intents(t *testing.T, path string) (orders []engine.Order) {
	t.Helper()
	for r, err := range journal.Read(path) {
		require.NoError(t, err)
		if r.Type == engine.OrderPlaced.Type() {
			var o engine.Order
			require.NoError(t, json.Unmarshal(r.Data, &o))
			orders = append(orders, o)
		}
	}
	return orders
}

func TestRestoreGoesOnFromAnyTornTail(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	_, _, m, _ := session(t, whole, 0, 24)
	require.Equal(t, encoded(t, m.taken), encoded(t, intents(t, whole)))
	require.Greater(t, len(m.taken), 5)
	data, err := os.ReadFile(whole)
	require.NoError(t, err)
	open, unrecorded := 0, 0
	const cuts = 29
	for i := range cuts {
		path := filepath.Join(dir, fmt.Sprint("cut", i))
		require.NoError(t, os.WriteFile(path, data[:len(data)*i/cuts], 0o666))
		before := intents(t, path)
		restored, e, second, ledger := session(t, path, 100, 104)
		open += len(restored.Open)
		if n := len(restored.Open); n > 0 && (len(before) == 0 || restored.Open[n-1].ID > before[len(before)-1].ID) {
			unrecorded++
		}
		seen := map[int]bool{}
		for _, o := range append(before, second.taken...) {
			require.False(t, seen[o.ID], "order %d is sent twice", o.ID)
			seen[o.ID] = true
		}
		require.Equal(t, encoded(t, append(before, second.taken...)), encoded(t, intents(t, path)))

		_, again, third, books := session(t, path, 200, 200)
		require.Empty(t, third.taken)
		require.Equal(t, e.Counts(), again.Counts())
		require.Equal(t, encoded(t, e.Working()), encoded(t, again.Working()))
		require.Equal(t, encoded(t, ledger.Books()), encoded(t, books.Books()))
		require.Equal(t, ledger.Equity().String(), books.Equity().String())
	}
	require.Positive(t, open, "some orders were open")
	require.Positive(t, unrecorded, "some orders are in no record, and were never sent")
}

func TestRestoreRefusesTheJournalOfOtherComponents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	session(t, path, 0, 8)
	for want, other := range map[string]func(*engine.Config){
		"when the journal is played, and was":            func(c *engine.Config) { c.Budget = decimal.MustParse("5000") },
		"is not what comes of the records before it: is": func(c *engine.Config) { c.Strategies = []engine.Strategy{engine.NewBreakout(50, 50)} },
	} {
		clock := &record.Clock{}
		e, _ := newEngine(t, &market{}, clock, other)
		_, err := record.Restore(t.Context(), e, path, clock)
		require.ErrorContains(t, err, want)
	}
}

func TestFirstSaysWhatAJournalHolds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	require.NoError(t, os.WriteFile(path, nil, 0o666))
	_, err := record.First[string](path, "test")
	require.ErrorIs(t, err, record.ErrEmpty)
	for _, parameters := range []string{"first", "second"} {
		j, err := record.Open(path, record.Run[string]{Program: "test", Name: "name", Parameters: parameters})
		require.NoError(t, err)
		require.NoError(t, j.Close())
	}
	run, err := record.First[string](path, "test")
	require.NoError(t, err)
	require.Equal(t, record.Run[string]{Program: "test", Name: "name", Parameters: "first"}, run)
	_, err = record.First[int](path, "test")
	require.ErrorContains(t, err, "the parameters of the run: json: cannot unmarshal string")
	_, err = record.First[string](path, "other")
	require.EqualError(t, err, path+`: is a journal of "test": want one of other`)
}
