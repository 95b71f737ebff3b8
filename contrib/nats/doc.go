// Package eventbusnats takes events of [github.com/eventbus-go/eventbus] out of the
// process and back: into streams of NATS JetStream, in a server inside the process
// ([Embedded]) or in a cluster ([Connect]). The code after that is the same.
//
//	node, err := eventbusnats.Embedded("data")
//	orders, err := eventbusnats.Open(ctx, node, placed, eventbusnats.WithID(func(o Order) string { return o.ID }))
//	bus, err := eventbus.New(eventbus.WithCarry(eventbusnats.Carry))
//	importer, err := orders.Import(ctx, bus, "broker")
//	stored, err := orders.Publish(ctx, Order{ID: "o1"})
//
//	err = importer.Close(ctx)
//	err = bus.Shutdown(ctx)
//	err = node.Close(ctx)
//
// A program ends in that order: then no handler is cut off, and exporters store what the
// buses have handled to the end.
//
// # What is promised
//
//   - [Topic.Publish] returns nil once the event is stored. All its retries have one
//     message id, so that the stream keeps the event once within the window of
//     [WithDuplicates].
//   - [Topic.Export] stores a bus's events in the order in which they were handled, each
//     once within the window of [WithDuplicates], up to the first that cannot be stored,
//     and hands back the rest.
//   - [Topic.Import] publishes stored events in the order of the stream, one at a time. It
//     acknowledges an event after all handlers have succeeded, or after the event is
//     stored among the dead letters; so each event is handled at least once.
//   - A second importer of a group is refused.
//   - Permanent failures return at once: [ErrFull], [ErrTooLarge], [ErrNoStream].
//     Temporary ones are tried again until the context ends. A disk that fails is one of
//     them: the server does not answer then, and only its log says why.
//   - [Open] creates what is absent and refuses what differs. Nothing is ever updated or
//     deleted.
//   - [Node.Close] lets what is in flight end, and answers it.
//
// # What is not
//
//   - Nothing is handled exactly once. Acknowledgements are not durable, and a retry calls
//     all handlers again: handlers that act on the world look at the [Message] they carry.
//   - What "stored" means is up to the server. An embedded one syncs its files every
//     100 ms: a killed process loses nothing, a power cut what was stored in the last
//     100 ms. [WithSyncAlways] loses nothing, and costs a sync a publish. In a cluster,
//     [WithReplicas] of 3 keeps what the majority has in memory. Without WithReplicas an
//     event is on one machine, and its power cut loses what was stored since the last
//     sync, by NATS's own default up to two minutes before.
//   - Duplicates are found within a window, of two minutes without [WithDuplicates]. A
//     Publish or an Export that is tried again for longer than that may store the event
//     twice.
//   - Nothing is ordered between topics, nor between different publishers.
//   - The package has no consensus of its own, and no more than one importer works for a
//     group. While the network of a cluster is cut in two, each part may have one.
//   - An event that kills the process comes again each time: attempts are counted in memory.
//
// # Names and headers
//
// A topic of the type order.placed has the stream EVENTBUS_order=2Eplaced with the
// subject eventbus.order=2Eplaced, and its dead letters have EVENTBUSDEAD_order=2Eplaced.
// A group is a durable consumer of the stream, with its name escaped in the same way, and
// its importer listens at eventbusimporter.EVENTBUS_order=2Eplaced.group. Where permissions
// are locked, allow to publish to eventbus.>, eventbusdead.>, eventbusimporter.>, $JS.API.>,
// $JS.ACK.> and _INBOX.>, and to subscribe to eventbusimporter.> and _INBOX.>.
//
// Messages are CloudEvents 1.0 in the binary mode of its NATS binding: ce-id, ce-source,
// ce-type, ce-time, ce-specversion and ce-datacontenttype are headers, and the data is the
// payload.
package eventbusnats
