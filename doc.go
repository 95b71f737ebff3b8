// Package eventbus is the in-process event bus of a trading engine. Market data,
// strategy signals and exchange orders travel through three bounded queues, each
// backed by a channel and drained by a goroutine of its own, its processor. A
// processor calls the handlers of an event's type one after another, in the order
// in which they subscribed, and keeps each handler's failure from the others.
//
// The queues differ in how they lose events when they are full:
//
//   - [DataQueue], 1000 events: [Bus.Publish] waits up to 1 s and then drops the
//     new event with [ErrDropped]. The next tick is on its way.
//   - [SignalQueue], 100 events: it waits up to 5 s and then refuses the event
//     with [ErrQueueFull], so that the strategy knows.
//   - [OrderQueue], 50 events: it waits until its context is done. It never
//     drops an order.
//
// # What the bus guarantees
//
// Order:
//
//   - Events that one goroutine publishes to one queue are handled in that order.
//   - The handlers of an event run one at a time, in the order in which they
//     subscribed. The next event of that queue starts after the last of them has
//     returned.
//
// Publishing:
//
//   - Publish checks the queue and the type, and then looks for room without
//     waiting: where there is room, it does so even with an ended context.
//   - nil from Publish means that the event will be handled, or that
//     [Bus.Shutdown] hands it back. After an error the event is not in the queue
//     and never will be: [ErrDropped], [ErrQueueFull], [ErrClosed],
//     [ErrUnknownQueue], [ErrInvalidEvent] or the context's.
//   - Publishing before [Bus.Start] or after [Bus.Stop] queues.
//   - A publish that waits leaves when its context ends and when Shutdown begins.
//     It waits its turn: publishes from outside are let in first come, first
//     served, and while one waits a later one does not get ahead of it. Handlers
//     that publish go ahead of those outside.
//   - A publish that gets through at once allocates nothing, reads no clock and
//     starts no timer. That of a [Topic] reads the clock, for the event's time,
//     and allocates if the payload is not a pointer. With a ConflateBy or MaxAge,
//     of the queue or of a topic, it allocates until the queue has been as full
//     before.
//   - A topic's [WithOverflow], [WithConflateBy] and [WithMaxAge] are its publishes'
//     rules in place of the queue's, and no other's.
//   - Errors name the queue and the type, and work with [errors.Is].
//   - The bus holds no lock while user code runs or a publish waits: handlers,
//     error handlers and loggers may call every method.
//   - Where topics have other rules than their queue, [DropOldest] evicts only
//     events that were published with it, and never one that is in the queue by
//     then: what finds no room waits beyond the queue, counted as Deferred, in
//     line with the publishes that wait, and the oldest of it is evicted when
//     there are as many as the capacity. A handler's events go where its deferred
//     ones go; if all of those must stay, the new one is dropped with ErrDropped.
//   - [Bus.PublishWait] returns when all handlers of its event are done, with
//     their errors. Inside a handler it never waits for itself, nor around a cycle
//     of handlers that wait: it returns [ErrWouldDeadlock], and the event is not
//     accepted. Other handlers defer what they publish rather than wait for a
//     handler that waits for them.
//   - The events of a [Bus.PublishBatch] enter the queue together and in order:
//     no other event gets between them. Each counts for the capacity. The batch
//     waits until there is room for all of it; when its wait ends, as many of the
//     first as there is room for are accepted, and the call says how many.
//   - With [QueueConfig].ConflateBy a queue holds one event a key at most: a new
//     one takes the place of the one that waits, at once and without a wait. The
//     events of a key are handled in order, and the last of them always is, if it
//     is not evicted.
//   - With [QueueConfig].MaxAge an event that is too old when its turn comes is
//     not handled: it is counted, logged at WARN as drops are, and passed to the
//     error handler with [ErrExpired]. Only such a queue reads the clock. What
//     Shutdown hands back has not expired, however old it is.
//
// Publishing inside handlers:
//
//   - A handler that publishes with the context it was given never deadlocks the
//     bus: not to its own full queue, not around a cycle of full queues, not
//     through several buses. Where waiting would be waiting for itself, the event
//     is deferred: accepted, and put into the queue before any event from outside.
//     Deferred events keep their order.
//   - A queue defers as many events as its capacity, and beyond that no more than
//     one for each event that is taken. A handler that answers each event with two
//     of the same is told ErrQueueFull in the end.
//   - A handler's publish to a bus that does not run is deferred as well, since
//     nobody would make room for it.
//
// Failures:
//
//   - A handler's error, its panic, even of nil, and its [runtime.Goexit] are
//     counted, logged at ERROR and passed to the function of [WithErrorHandler].
//     The other handlers still run, for the same event and for the next.
//   - A panic is reported with a stack that reaches the line that panicked.
//   - An error handler or a logger that panics is contained too. On a
//     processor's goroutine that is a failure of the processor itself: it is
//     logged 4 above ERROR, and the processor goes on.
//   - All this holds for the handlers of [Async] as well, which run on goroutines
//     of their own and which the processor waits for. After its timeout such a
//     call has failed with [ErrHandlerTimeout], its context has ended, and the
//     processor goes on; Stats counts it as abandoned until it returns, and
//     Shutdown waits for it.
//   - A handler that runs for longer than [WithSlowHandler] is logged at WARN
//     while it still runs, by name, with queue, type, elapsed time and depth of
//     the queue, once a call, and again when it has ended. Elapsed time counts
//     from when the bus first saw the call, at most a quarter of the limit after
//     it began. 10 ms is the limit without that option, and 0 turns it off.
//     Watching reads no clock for an event.
//   - A handler is called by the name of [WithName], else by its function's, such
//     as main.(*Engine).onCandle, else by its type.
//   - Processor starts and stops are logged at INFO, handler calls at DEBUG. While
//     DEBUG is off, that costs a call nothing.
//   - Drops are logged at WARN: the first, then a count at most once a second. Of
//     a handler's failures up to ten a second are logged, then a count; the error
//     handler gets every one.
//
// Subscribing:
//
//   - Handlers come and go at any time, anywhere, inside handlers too. Who
//     subscribes while an event is being dispatched sees the next one. After
//     [Subscription.Unsubscribe] returns no call starts, apart from one for an
//     event that its processor has begun to dispatch.
//   - Handlers get an event by value. The bus never writes to it, but for the
//     Time that MaxAge needs, and handlers, who share its Data, must not either.
//   - An event without a handler is counted and logged at DEBUG, even if taps of
//     [Bus.SubscribeAll] see it. They see every event, in their place among the
//     handlers.
//   - The compiler checks the payloads of a [Topic]. An event of its type with
//     another one fails the topic's handlers with [ErrPayloadType].
//   - A handler subscribed with [Once] is called exactly once, though several
//     queues carry its type.
//   - What [Where] or [OnQueue] turns away reaches neither middleware nor handler,
//     and is not counted as a call. A filter that panics is a failure.
//   - After the k-th failure in a row, [DisableAfter] takes a handler out: no call
//     begins any more. Stats shows it until it is unsubscribed.
//   - Middleware is applied once, when a handler subscribes: [WithMiddleware]
//     around [Use], the first outermost. Handlers keep their names.
//   - Of a topic with [Retain], a subscription [WithLast] first gets the last
//     event, on the processor of the topic's queue, and then all that follow: no
//     event is missed and none comes twice.
//   - [DeliveryFrom] tells a handler's context its event, queue, handler and the
//     event's number, which counts those that the queue has begun without gaps.
//
// Life cycle:
//
//   - A bus is started and stopped any number of times and shut down once. Stop
//     lets the event at hand go through its handlers, begins no further one, and
//     keeps the rest. The end of Start's context is a Stop.
//   - Starting a bus that runs returns [ErrRunning]. After Shutdown, Start and
//     Publish return [ErrClosed].
//   - The handlers' context ends with Start's, when Shutdown gives up, and when
//     the last handler has returned after a Stop. A program that drains on a
//     signal starts the bus with a context that the signal does not end.
//   - Processors leave at once when told. Idle, they wake once a poll, 100 ms,
//     and look again at all they could have been woken for, so that a lost
//     wake-up would cost one poll and not a hang.
//   - Shutdown refuses what comes from outside and accepts what handlers publish,
//     so that cascades arrive. It ends when nothing is left and no handler runs.
//   - When its context ends first, it returns at once, begins nothing further,
//     not even the next handler of an event, names the handlers that still run,
//     and hands back every event that was not begun, deferred ones too, in order.
//     With a context that has already ended it is the kill switch.
//   - On a bus that does not run, Shutdown runs nothing and hands back at once
//     what is queued.
//   - Later calls of Shutdown wait for the first and return its result.
//   - A handler cannot wait for itself: with its context Shutdown begins and
//     returns [ErrWouldDeadlock], and Flush returns that too.
//   - [Bus.Flush] returns when all that was accepted is handled, with all that
//     handlers published meanwhile.
//   - [Bus.Pause] keeps a queue's events from being begun, from its return to
//     [Bus.Resume]. The queue accepts within its capacity, and the others go on.
//     Flush does not wait for what it holds, and returns [ErrPaused]; Shutdown
//     hands it back.
//
// Stepping and single thread:
//
//   - [Bus.RunUntilIdle] handles what is queued, and what that publishes, on the
//     caller's goroutine: orders before signals before data, one event at a time,
//     without a goroutine or a clock. The same events give the same calls.
//   - On a bus that is stepped, a publish from outside that finds its queue full
//     returns an error and does not wait.
//   - With [WithSingleThread] one goroutine serves the queues in the same order:
//     handlers never run concurrently, and an order is the next event handled.
//
// Accounts:
//
//   - When the bus is at rest, the [QueueStats] of each queue balance:
//     Accepted = Handled + Evicted + Conflated + Expired + Depth + Deferred. What
//     Dropped and Rejected count was never accepted. HighWater never exceeds
//     Capacity. [Bus.Stats] waits for no handler, and holds publishers up for a
//     few steps at most.
//
// # What it does not guarantee
//
//   - Nothing is ordered across queues. Keep an order's life on one queue. A
//     handler whose type is published to two queues may run concurrently with
//     itself, but not with WithSingleThread.
//   - A goroutine that a handler starts is not the handler. It should publish
//     with a context of its own: with the handler's it may be told ErrQueueFull
//     where it could have waited.
//   - A handler that publishes with another context than its own, such as
//     [context.Background], is taken for somebody outside and can wait for itself.
//   - A handler that never returns blocks its queue. It is reported, and never
//     detached, unless it is wrapped in Async with a timeout.
//   - Go cannot end a goroutine. A call that Async has abandoned and that does not
//     heed its context goes on beside later calls of the same handler, and Flush
//     does not wait for it.
//   - Events are in memory. What is queued when the process dies is lost.
package eventbus
