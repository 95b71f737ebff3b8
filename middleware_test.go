package eventbus_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

func TestMiddlewareRunsOutermostFirstTheBusesBeforeTheSubscriptions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var trace journal[string]
		made := 0
		note := func(who string) eventbus.Middleware {
			return func(next eventbus.Handler) eventbus.Handler {
				made++
				return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
					trace.add(who)
					defer trace.add("/" + who)
					return next.Handle(ctx, e)
				})
			}
		}
		b := startedBus(t, eventbus.WithMiddleware(note("a"), note("b")), eventbus.WithMiddleware(note("c")))
		b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { trace.add("tick"); return nil },
			eventbus.Use(note("d"), note("e")), eventbus.Where(even))
		eventbus.NewTopic[int]("topic", eventbus.DataQueue).Subscribe(b, func(context.Context, int) error { trace.add("topic"); return nil })
		require.Equal(t, 8, made)
		publish(t, b, eventbus.DataQueue, "tick", 1, 2)
		publish(t, b, eventbus.DataQueue, "topic", 1)
		flush(t, b)
		require.Equal(t, []string{"a", "b", "c", "d", "e", "tick", "/e", "/d", "/c", "/b", "/a", "a", "b", "c", "topic", "/c", "/b", "/a"}, trace.all())
		require.Equal(t, 8, made, "once a subscription")
	})
}

func TestInsideMiddlewareAHandlerKeepsItsNameAndItsFailures(t *testing.T) {
	for name, fail := range failureKinds {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var reports journal[*eventbus.HandlerError]
				log := &logbook{level: slog.LevelWarn}
				wrapped := errors.New("wrapped")
				b := startedBus(t, reporting(&reports), log.logger(), eventbus.WithMiddleware(joining(wrapped)))
				b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return fail() })
				own := b.Stats().Handlers[0].Name
				require.Contains(t, own, "eventbus_test.TestInsideMiddleware")
				require.NotContains(t, own, "joining")
				publish(t, b, eventbus.DataQueue, "tick", 1)
				flush(t, b)
				require.Len(t, reports.all(), 1)
				require.Equal(t, own, reports.all()[0].Handler)
				require.Equal(t, name == "error", errors.Is(reports.all()[0], wrapped))
				require.Equal(t, own, log.find("eventbus: slow handler is still running")[0].attrs["handler"])
			})
		})
	}
}

// joining is a middleware that adds err to what the handler returns.
func joining(err error) eventbus.Middleware {
	return func(next eventbus.Handler) eventbus.Handler {
		return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
			return errors.Join(err, next.Handle(ctx, e))
		})
	}
}
