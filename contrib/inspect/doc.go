// Package inspect serves a live page about a bus of
// [github.com/eventbus-go/eventbus]: its queues, the handlers, what fails, a sample of
// the events, and from which tick an order comes.
//
//	var failures inspect.Failures
//	bus, err := eventbus.New(eventbus.WithErrorHandler(failures.Record),
//		eventbus.WithLatencies(), eventbus.WithCauses())
//	page := inspect.New(bus, inspect.WithFailures(&failures))
//	mux.Handle("/debug/eventbus/", page)
//	server.RegisterOnShutdown(page.Close)
//
// The page needs none of the three options of the bus. Without them it has no last
// failures, no p50 and p99, and no causes.
//
// # What it costs
//
//   - While nobody looks the package has no goroutine, no timer and no subscription. A
//     failure that [Failures] records costs under a microsecond.
//   - While somebody looks a tap called "inspect" is subscribed, which costs under 30 ns an
//     event: see BenchmarkTap. Middleware of the bus is around it, as around each handler.
//     The state of the bus is read twice a second, once for all who look.
//   - A stack is a goroutine profile, which stops the program for a moment. It is taken
//     only when somebody asks for it.
//
// # What it shows to whom
//
//   - An import mounts nothing. The program says where the page is, and puts in front of it
//     what keeps strangers out: the page itself asks nobody for a name.
//   - The page is read-only without [WithControls].
//   - Payloads are shown only as the function given to [WithPayloads] writes them. Error
//     texts, sources, types and names of handlers are shown as they are.
//   - Requests from pages of other sites are refused, apart from links to the page.
//   - What comes from the program is shown as text, never as markup, under a content
//     security policy that allows nothing from elsewhere.
package inspect
