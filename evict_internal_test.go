package eventbus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

var (
	mayGo    = &rule{overflow: DropOldest}
	mustStay = &rule{overflow: Block}
)

// mixedBus returns a bus with a queue of capacity 3, and its handler's log. A
// handler call waits for a receive from step.
func mixedBus(t *testing.T, cfg QueueConfig) (b *Bus, got *[]string, step chan struct{}) {
	b, err := New(WithLogger(slog.New(slog.DiscardHandler)), WithQueue(DataQueue, cfg))
	require.NoError(t, err)
	got, step = new([]string), make(chan struct{})
	b.SubscribeFunc("e", func(ctx context.Context, e Event) error {
		*got = append(*got, e.Data.(string))
		select {
		case <-step:
		case <-ctx.Done():
		}
		return nil
	})
	require.NoError(t, b.Start(context.Background()))
	return b, got, step
}

func send(t *testing.T, b *Bus, r *rule, data ...string) {
	t.Helper()
	for _, d := range data {
		require.NoError(t, b.publish(context.Background(), DataQueue, Event{Type: "e", Data: d}, r), d)
	}
}

func datas(events []Event) (list []string) {
	for _, e := range events {
		list = append(list, e.Data.(string))
	}
	return list
}

// What must not be dropped is not, beside what may be, whichever of the two the
// queue's own rule is; and all come first in, first out.
func TestMixedRulesEvictOnlyWhatMayGo(t *testing.T) {
	for _, own := range []Overflow{Block, DropNewest, DropOldest} {
		synctest.Test(t, func(t *testing.T) {
			b, got, step := mixedBus(t, QueueConfig{Capacity: 3, Overflow: own})
			send(t, b, mustStay, "first")
			synctest.Wait()
			send(t, b, mayGo, "u0", "u1", "u2", "u3")
			var waiting sync.WaitGroup
			waiting.Go(func() { send(t, b, mustStay, "closed") })
			synctest.Wait()
			send(t, b, mayGo, "u4", "u5", "u6", "u7")
			q := b.Stats().Queues[DataQueue]
			require.Equal(t, []int{3, 3, 2}, []int{q.Depth, q.Deferred, int(q.Evicted)}, own)
			close(step)
			waiting.Wait()
			require.NoError(t, b.Shutdown(context.Background()))
			require.Equal(t, []string{"first", "u0", "u1", "u2", "closed", "u5", "u6", "u7"}, *got, own)
		})
	}
}

// What Shutdown hands back is in order, detached events too; those who wait are
// refused. A shutdown that drains handles the detached events.
func TestDetachedEventsSurviveShutdown(t *testing.T) {
	for _, drain := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b, got, step := mixedBus(t, QueueConfig{Capacity: 2})
			send(t, b, nil, "a")
			synctest.Wait()
			send(t, b, nil, "b", "c")
			send(t, b, mayGo, "d", "e")
			refused := make(chan error, 1)
			go func() { refused <- b.Publish(context.Background(), DataQueue, Event{Type: "e", Data: "f"}) }()
			synctest.Wait()
			send(t, b, mayGo, "g") // evicts d
			if drain {
				close(step)
				require.NoError(t, <-refused)
				require.NoError(t, b.Shutdown(context.Background()))
				require.Equal(t, []string{"a", "b", "c", "e", "f", "g"}, *got)
				return
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			var left *ShutdownError
			require.ErrorAs(t, b.Shutdown(ctx), &left)
			require.ErrorIs(t, <-refused, ErrClosed)
			require.Equal(t, []string{"b", "c", "e", "g"}, datas(left.Remaining[DataQueue]))
			q := b.Stats().Queues[DataQueue]
			require.Equal(t, []int{4, 0, 1}, []int{q.Depth, q.Deferred, int(q.Evicted)})
		})
	}
}

// A handler's publishes to its own full queue stay in order whatever their
// rules, and what must stay takes the place of what may go.
func TestAHandlersMixedPublishesStayInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(WithLogger(slog.New(slog.DiscardHandler)), WithQueue(DataQueue, QueueConfig{Capacity: 3}))
		require.NoError(t, err)
		var got []string
		b.SubscribeFunc("e", func(_ context.Context, e Event) error {
			got = append(got, e.Data.(string))
			return nil
		})
		b.SubscribeFunc("burst", func(ctx context.Context, _ Event) error {
			put := func(r *rule, data string) error {
				return b.publish(ctx, DataQueue, Event{Type: "e", Data: data}, r)
			}
			for i := range 4 {
				require.NoError(t, put(mayGo, fmt.Sprint("u", i)))
				require.NoError(t, put(mustStay, fmt.Sprint("c", i)))
			}
			require.ErrorIs(t, put(mayGo, "u4"), ErrDropped)
			return nil
		})
		require.NoError(t, b.Start(context.Background()))
		require.NoError(t, b.Publish(context.Background(), DataQueue, Event{Type: "burst"}))
		require.NoError(t, b.Shutdown(context.Background()))
		require.Equal(t, []string{"u0", "c0", "u1", "c1", "c2", "c3"}, got)
		q := b.Stats().Queues[DataQueue]
		require.Equal(t, []int{2, 1}, []int{int(q.Evicted), int(q.Dropped)})
	})
}

// Publishers mix their rules against a busy handler: each one's events stay in
// order, none that must stay is lost, and the accounts balance.
func TestMixedRulesUnderLoad(t *testing.T) {
	type item struct {
		by, n int
		stays bool
	}
	for _, cfg := range []QueueConfig{
		{Capacity: 3}, {Capacity: 3, Overflow: DropOldest}, {Capacity: 20, Overflow: DropOldest},
		{Capacity: 3, Overflow: DropOldest, ConflateBy: func(e Event) string {
			if i := e.Data.(item); i.by == 3 {
				return fmt.Sprint(i.n % 7)
			}
			return ""
		}},
	} {
		b, err := New(WithLogger(slog.New(slog.DiscardHandler)), WithQueue(DataQueue, cfg))
		require.NoError(t, err)
		var got [4][]item
		b.SubscribeFunc("e", func(_ context.Context, e Event) error {
			i := e.Data.(item)
			got[i.by] = append(got[i.by], i)
			return nil
		})
		require.NoError(t, b.Start(context.Background()))
		const each = 2000
		var wg sync.WaitGroup
		for p := range 4 {
			wg.Go(func() {
				for n := range each {
					r := mayGo
					if n%3 == 0 {
						r = mustStay
					}
					_ = b.publish(context.Background(), DataQueue, Event{Type: "e", Data: item{p, n, n%3 == 0}}, r)
				}
			})
		}
		wg.Wait()
		require.NoError(t, b.Shutdown(context.Background()))
		q := b.Stats().Queues[DataQueue]
		require.EqualValues(t, 4*each, q.Accepted+q.Dropped)
		require.Equal(t, q.Accepted, q.Handled+q.Evicted+q.Conflated)
		for p, items := range got {
			last, stayed := -1, 0
			for _, i := range items {
				if p < 3 || cfg.ConflateBy == nil {
					require.Greater(t, i.n, last, "publisher %d", p)
				}
				last = i.n
				if i.stays {
					stayed++
				}
			}
			if p < 3 || cfg.ConflateBy == nil {
				require.Equal(t, (each+2)/3, stayed, "publisher %d", p)
			}
		}
	}
}
