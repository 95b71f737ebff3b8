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
			q.count(1)
			flushed := once(func() error { return b.Flush(context.Background()) })
			synctest.Wait()
			q.count(-1)
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

// Stats blocks nobody: it takes no lock but those that are held for a few steps.
func TestStatsTakesNoLockOfTheBus(t *testing.T) {
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
