// Package eventbus is the in-process event bus of a trading engine. Market data,
// strategy signals and exchange orders travel through three bounded queues. Each is
// backed by a channel and drained by a goroutine of its own, its processor, which
// calls the handlers of an event's type one after another and keeps the failure of
// each from the others.
//
//	bus, err := eventbus.New()
//	fills := eventbus.NewTopic[Fill]("fill", eventbus.OrderQueue)
//	fills.Subscribe(bus, func(ctx context.Context, f Fill) error { return book(f) })
//	err = bus.Start(context.Background())
//	err = fills.Publish(ctx, bus, Fill{"AAPL", 100})
//	err = bus.Shutdown(ctx)
//
// The queues differ in what [Bus.Publish] does when they are full. [DataQueue], of
// 1000 events, waits up to 1 s and then drops the new event. [SignalQueue], of 100,
// waits up to 5 s and then refuses it. [OrderQueue], of 50, waits until the context
// is done and never drops. [WithQueue] changes that, from [DefaultQueueConfig] on.
//
// Each sentence below is held by a test whose comment begins with it.
//
// # Order
//
//   - Events that one goroutine publishes to one queue are handled in that order.
//   - The handlers of an event run one at a time, in the order in which they
//     subscribed, and the next event of that queue begins after the last of them.
//   - Publishes that wait are let in first come, first served, handlers before others.
//   - A waiting handler is overtaken by about as many events as the capacity at most.
//
// # Publishing
//
//   - nil means that the event will be handled, or that [Bus.Shutdown] hands it back.
//   - After an error the event is not in the queue and never will be.
//   - Errors name the queue and the type, and work with [errors.Is].
//   - From outside, a context that has ended is refused, though there is room.
//   - Publishing before [Bus.Start] and after [Bus.Stop] queues.
//   - From outside, a publish that waits leaves when its context ends or Shutdown begins.
//   - A publish at a full queue waits for one handler, or a millisecond more than it.
//   - A publish that finds room allocates nothing, reads no clock and starts no timer.
//   - No lock is held while user code runs: it may call every method.
//   - [Bus.TryPublish] never waits and neither drops, evicts nor defers.
//   - A [Bus.PublishBatch] takes one place in line, and what is accepted is a prefix.
//   - A queue with [DropOldest] keeps the newest events, and a topic's rule never does.
//   - With ConflateBy a queue holds one event a key, and the last of each is handled.
//   - An event that is older than MaxAge when its turn comes reaches no handler.
//   - A topic's rules are those of its publishes, and no other's.
//   - A [Topic] publishes its own type and payload, in each way that the bus has.
//
// # Publishing inside handlers
//
//   - A handler that publishes with the context it was given never deadlocks the bus.
//   - Where it must not wait, its event is deferred: accepted, and ahead of all from
//     outside. It must not where it would wait for itself, on a bus that does not run,
//     at a paused queue, and to its own bus with [WithSingleThread].
//   - A queue defers at most twice its capacity and 3 events, then tells [ErrQueueFull].
//   - A handler's own context ends none of its publishes.
//   - A call that [Async] has given up on publishes nothing more.
//   - A bus that is stepped inside a handler is a part of that handler.
//
// # PublishWait
//
//   - [Bus.PublishWait] returns when all handlers are done, with their errors.
//   - Its [ErrNotRunning], [ErrPaused], [ErrClosed], [ErrDropped] and [ErrExpired] mean
//     that no handler was or will be called, and that nobody is handed the event.
//   - [ErrUnhandled] means that nobody but taps was called.
//   - Inside a handler it never waits for itself: it returns [ErrWouldDeadlock].
//
// # Failures
//
//   - A handler's error, its panic, even of nil, and its [runtime.Goexit] are counted,
//     logged and passed to the error handlers, and the other handlers still run.
//   - A panic is reported with a stack that reaches the line that panicked.
//   - A failure is counted once, for whoever failed.
//   - Loggers and error handlers that panic are contained, and may publish.
//   - An [Async] call past its timeout has failed, and is counted until it returns.
//   - [WithHandlerTimeout] is Async for one subscription, a topic's too.
//   - A handler that runs for longer than [WithSlowHandler] is named while it runs.
//   - [WithSlowAfter] is that limit for one subscription.
//   - A publish that waits for longer than [WithSlowPublish] is logged.
//   - However much is lost or fails, the log stays short, and every count is told.
//
// # Subscribing
//
//   - Handlers come and go at any time, anywhere, effective from the next event.
//   - After [Subscription.Unsubscribe] no call begins, and the handler is let go of.
//   - [Subscription.Done] is closed when no call of it runs or can begin any more.
//   - A subscription made after Shutdown is logged, and its Done is closed.
//   - The bus never writes to an event, but for the Time that MaxAge needs.
//   - An event that only taps of [Bus.SubscribeAll] see counts as unhandled.
//   - [Bus.SubscribeMatch] handles the types that its pattern matches, later ones too.
//   - [WithPriority] calls a handler before those of the same event with a lower one.
//   - An event of a [Topic] with another payload fails with [ErrPayloadType].
//   - While a topic's handler lives, one with another payload panics in Subscribe.
//   - [Once] is exactly one call, though several queues carry the type.
//   - What [Where] or [OnQueue] turns away reaches neither middleware nor handler.
//   - [WhereData] is Where on the payload, and hides no wrong one from a topic.
//   - [DisableAfter] takes a handler out after so many failures in a row.
//   - [WithMiddleware] is around [Use], the first outermost.
//   - [HandlerInfo] tells a middleware whose handler it wraps.
//   - A subscription [WithLast] misses no event, gets none twice, and none too old.
//   - [DeliveryFrom] tells a handler its event, queue, number and name.
//
// # Life cycle
//
//   - A bus starts and stops any number of times. The end of Start's context is a Stop.
//   - Stop lets the event at hand go through its handlers and keeps the rest.
//   - The handlers' context ends with Start's, and when the last has returned.
//   - [Bus.Flush] waits for all that was accepted, cascades included.
//   - [Bus.Pause] keeps a queue's events from being begun until [Bus.Resume].
//   - Calls at the wrong time get a typed error: no panic, no hang.
//   - With a handler's context Flush and Shutdown return [ErrWouldDeadlock].
//   - An idle bus wakes once a poll, so that a lost wake-up costs one poll.
//
// # Shutdown
//
//   - Shutdown refuses what comes from outside and accepts what its handlers publish.
//   - It returns nil only if nothing was refused to a handler, cut or left.
//   - When its context ends it returns at once, names the handlers that run, and hands
//     back in order what was not begun. With an ended context it is the kill switch.
//   - What is left is handed over once, however many call it.
//   - Events that handlers were at are told with the handlers that were not called.
//
// # Stepping
//
//   - [Bus.RunUntilIdle] handles orders before signals before data, on its goroutine.
//   - The same events give the same calls, every day: without [WithClock] nothing expires.
//   - On a stepped bus a publish from outside that finds no room does not wait.
//   - With [WithSingleThread] handlers never run concurrently, and orders come first.
//
// # Accounts
//
//   - At rest, Accepted = Handled + Evicted + Conflated + Expired + Withdrawn + Depth +
//     Deferred, and what Dropped and Rejected count was never accepted.
//   - Memory and goroutines stay flat, however long a consumer is stuck.
//   - [WithCarry] takes a value from a publish to the handlers, wherever the event waits.
//   - With [WithCauses], Delivery.Cause leads from an order to its tick, on this bus.
//   - With [WithLatencies], Latencies tells how long events wait and handlers take.
//   - Stats tell what a processor is at, how long events wait, and who waits for room.
//
// # What is not guaranteed
//
//   - Nothing is ordered across queues. Keep an order's life on one queue.
//   - A goroutine that a handler starts is not the handler: with the handler's context,
//     its wait may be taken for that of a later handler.
//   - A handler that publishes with [context.Background] can wait for itself.
//   - The values of a publisher's context do not reach handlers without WithCarry.
//   - A handler that never returns blocks its queue, unless Async gives up on it.
//   - Go cannot end a goroutine: an abandoned call goes on, and Flush does not wait for it.
//   - Events that answer themselves may keep others out until their time or context ends.
//   - Events are in memory. What is queued when the process dies is lost.
package eventbus
