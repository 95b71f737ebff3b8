package journal_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/journal"
)

var rejects = eventbus.NewTopic[string]("reject", eventbus.OrderQueue)

func orderID(o order) string { return o.ID }

// fillID is that of the order which a fill completes.
func fillID(f fill) string {
	if !f.Done {
		return ""
	}
	return f.Order
}

func rejectID(id string) string { return id }

// pending returns the identifiers of the orders that are pending.
func pending(t *testing.T, path string) (ids []string) {
	t.Helper()
	intents, err := journal.Pending(path, journal.By(orders, orderID), journal.By(fills, fillID), journal.By(rejects, rejectID))
	require.NoError(t, err)
	for _, i := range intents {
		require.Equal(t, i.ID, i.Data.ID)
		require.Equal(t, orders.Type(), i.Record.Type)
		ids = append(ids, i.ID)
	}
	return ids
}

// record records what publish publishes, as a session.
func record(t *testing.T, path string, publish func(ctx context.Context, bus *eventbus.Bus) error) {
	t.Helper()
	j := open(t, path)
	bus := newBus(t)
	j.Record(bus)
	require.NoError(t, publish(limited(t), bus))
	step(t, bus)
	require.NoError(t, j.Close())
}

// Pending lists the intents without an outcome, in order, over all sessions.
func TestPendingListsIntentsWithoutOutcome(t *testing.T) {
	path := tempPath(t)
	place := func(ids ...string) {
		record(t, path, func(ctx context.Context, bus *eventbus.Bus) (err error) {
			for _, id := range ids {
				err = errors.Join(err, orders.Publish(ctx, bus, order{id}))
			}
			return err
		})
	}
	end := func(f ...fill) {
		record(t, path, func(ctx context.Context, bus *eventbus.Bus) (err error) {
			for _, f := range f {
				err = errors.Join(err, fills.Publish(ctx, bus, f))
			}
			return err
		})
	}
	place("A", "B", "C", "D")
	require.Equal(t, []string{"A", "B", "C", "D"}, pending(t, path))
	end(fill{"B", true}, fill{"C", false}, fill{"unknown", true})
	require.Equal(t, []string{"A", "C", "D"}, pending(t, path), "an order that is filled in part is open")
	record(t, path, func(ctx context.Context, bus *eventbus.Bus) error { return rejects.Publish(ctx, bus, "D") })
	require.Equal(t, []string{"A", "C"}, pending(t, path))
	place("A", "B")
	require.Equal(t, []string{"C", "A", "B"}, pending(t, path), "an order that is changed takes its own place, and one that is placed again is open")
	end(fill{"A", true}, fill{"B", true}, fill{"C", true})
	require.Empty(t, pending(t, path))
}

// A torn tail is nothing that was acted on; of damage Pending cannot tell what it hides.
func TestPendingOfAFileThatIsNotWhole(t *testing.T) {
	path := tempPath(t)
	record(t, path, func(ctx context.Context, bus *eventbus.Bus) error { return orders.Publish(ctx, bus, order{"A"}) })
	info, err := os.Stat(path)
	require.NoError(t, err)
	record(t, path, func(ctx context.Context, bus *eventbus.Bus) error { return fills.Publish(ctx, bus, fill{"A", true}) })
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, b[:info.Size()+30], 0o600))
	require.Equal(t, []string{"A"}, pending(t, path))
	b[50] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o600))
	_, err = journal.Pending(path, journal.By(orders, orderID))
	var damage *journal.DamageError
	require.ErrorAs(t, err, &damage)
	_, err = journal.Pending(path+".none", journal.By(orders, orderID))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// An intent that cannot be read or told from others is an error: it may be out.
func TestPendingNeedsToKnowEachIntent(t *testing.T) {
	bad := errors.New("bad")
	codec := journal.JSON[order]()
	codec.Decode = func([]byte) (order, error) { return order{}, bad }
	path := tempPath(t)
	record(t, path, func(ctx context.Context, bus *eventbus.Bus) error { return orders.Publish(ctx, bus, order{""}) })
	_, err := journal.Pending(path, journal.By(orders, orderID))
	require.EqualError(t, err, fmt.Sprintf("journal: Pending: %s: record 1: the intent has no identifier", path))
	_, err = journal.Pending(path, journal.By(orders, orderID, codec))
	require.ErrorIs(t, err, bad)
	_, err = journal.Pending(path, journal.By(fills, fillID), journal.By(orders, orderID, codec))
	require.ErrorIs(t, err, bad)
}

// An intent whose payload could not be encoded was not carried out, and hides no others. An
// outcome of that kind ends none.
func TestPendingPassesOverWhatWasNotRecorded(t *testing.T) {
	path := tempPath(t)
	j := open(t, path, journal.WithErrorHandler(func(error) {}))
	bus := newBus(t)
	j.Record(bus)
	sent := 0
	bus.Subscribe("order", eventbus.HandlerFunc(func(context.Context, eventbus.Event) error { sent++; return nil }), eventbus.Use(j.Before("order")))
	publish := func(e eventbus.Event) { require.NoError(t, bus.Publish(limited(t), eventbus.OrderQueue, e)) }
	require.NoError(t, orders.Publish(limited(t), bus, order{"A"}))
	publish(eventbus.Event{Type: "order", Data: make(chan int)})
	publish(eventbus.Event{Type: "fill", Data: math.NaN()})
	require.NoError(t, orders.Publish(limited(t), bus, order{"B"}))
	require.NoError(t, fills.Publish(limited(t), bus, fill{"B", true}))
	step(t, bus)
	require.Equal(t, 2, sent)
	require.NoError(t, j.Close())
	require.EqualValues(t, 2, j.Stats().Unencoded)
	require.Equal(t, []string{"A"}, pending(t, path))
}
