package eventbus

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Each of these wake-ups is lost on purpose, which cannot be done from outside.
func TestALostWakeUpCostsOnePoll(t *testing.T) {
	for name, lose := range map[string]func(*Bus) (done <-chan error){
		"to stop": func(b *Bus) <-chan error {
			b.mu.Lock()
			defer b.mu.Unlock()
			p := b.processors[DataQueue]
			p.attention.Or(stopped)
			return once(func() error {
				for b.isAlive(p) {
					time.Sleep(time.Millisecond)
				}
				return nil
			})
		},
		"to let a publish in": func(b *Bus) <-chan error {
			lineMu.Lock()
			defer lineMu.Unlock()
			return b.queues[DataQueue].joinLocked(nil, Event{Type: "tick"}).done
		},
		"of who waits for rest": func(b *Bus) <-chan error {
			q := b.queues[DataQueue]
			q.accepted.Add(1)
			flushed := once(func() error { return b.Flush(context.Background()) })
			synctest.Wait()
			q.accepted.Add(^uint64(0))
			return flushed
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, err := New(WithLogger(slog.New(slog.DiscardHandler)))
				require.NoError(t, err)
				require.NoError(t, b.Start(t.Context()))
				time.Sleep(50 * time.Millisecond)
				began := time.Now()
				require.NoError(t, <-lose(b))
				require.LessOrEqual(t, time.Since(began), defaultPoll)
				require.Positive(t, time.Since(began), "the wake-up was not lost")
				_ = b.Shutdown(t.Context())
			})
		})
	}
}

func once(f func() error) <-chan error {
	result := make(chan error, 1)
	go func() { result <- f() }()
	return result
}

func (b *Bus) isAlive(p *processor) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return p.alive
}

// Who takes no lock blocks nobody.
func TestStatsTakesNoLock(t *testing.T) {
	b, err := New()
	require.NoError(t, err)
	b.SubscribeFunc("tick", func(context.Context, Event) error { return nil })
	for _, l := range []interface {
		Lock()
		Unlock()
	}{&b.mu, &lineMu, &b.subMu, &b.changeMu, &b.watch.mu} {
		l.Lock()
		defer l.Unlock()
	}
	done := once(func() error { _ = b.Stats(); return nil })
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("Stats waits for a lock")
	}
}

// A count that is taken back may have been all that kept somebody from seeing
// the bus at rest.
func TestACountThatIsTakenBackWakesFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(WithLogger(slog.New(slog.DiscardHandler)), WithPollInterval(time.Hour))
		require.NoError(t, err)
		require.NoError(t, b.Start(context.Background()))
		q := b.queues[OrderQueue]
		q.accepted.Add(1) // a publish that will be refused
		flushed := make(chan error, 1)
		go func() { flushed <- b.Flush(context.Background()) }()
		synctest.Wait()
		require.Empty(t, flushed)
		q.takeBack()
		synctest.Wait()
		require.Len(t, flushed, 1)
		require.NoError(t, <-flushed)
		require.NoError(t, b.Shutdown(context.Background()))
	})
}
