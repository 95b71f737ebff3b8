// Package eventbuswatermill is a Pub/Sub of Watermill over
// [github.com/eventbus-go/eventbus]: ordered, bounded, inside one process. Publishers
// and subscribers connect to a [Broker], as they would to one in another process.
//
//	broker, err := eventbuswatermill.NewBroker(eventbuswatermill.Config{})
//	router.AddMiddleware(eventbuswatermill.CarryContext)
//	router.AddHandler("risk", "signals", broker.Subscriber("risk"), "orders", broker.Publisher(), check)
//	err = router.Run(ctx)
//	err = broker.Shutdown(ctx)
//
// # Groups
//
// Subscribers with the same name are a group: each message of a topic goes to every
// group of it, and within a group to one subscriber. A group has a bus, a queue and a
// goroutine of its own for each topic, so that no group waits for what another one has
// not acknowledged. It begins with the first Subscribe or SubscribeInitialize and lives
// as long as the broker: what is published while nobody subscribes waits for the next
// subscriber. A subscriber without a name is a group of its own and lives as long as
// its subscription; what it has not acknowledged by its end is discarded and counted.
//
// # What is promised
//
//   - A group gets the messages of one publisher in the order in which they were
//     published, one at a time: the next one after the Ack of the one before.
//   - After a Nack, and when a subscriber leaves without an Ack, the same message comes
//     again, ahead of all others, to the first subscriber of the group that takes it.
//   - A message that was acknowledged in time is not delivered again.
//   - Queues are bounded: a publish at a full group waits until there is room or the
//     message's context ends.
//   - A subscriber that publishes with the context of its message never waits for
//     itself, around a cycle of full topics neither. See [CarryContext].
//   - Close and the end of a subscription let the outstanding message be acknowledged
//     for a grace time. Its context ends with the Ack, the Nack or that time.
//   - [Broker.Shutdown] lets the subscribers finish and hands back in order what was
//     not acknowledged.
//
// # What is not
//
//   - A message is in memory: it dies with the process.
//   - Delivery is at least once: an Ack that comes after the grace time, or after
//     Shutdown gave up, is too late.
//   - A Nack has no delay: a message that fails always comes again at once. Put
//     Watermill's Retry and PoisonQueue around handlers.
//   - Different publishers' messages may be in a different order in each group.
//   - A publish to several groups is not one step: see [PublishError].
//   - If handlers publish more into a cycle of topics than they take out, it fills up,
//     and their publishes fail with [eventbus.ErrQueueFull].
package eventbuswatermill
