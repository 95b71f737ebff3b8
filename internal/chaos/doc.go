// Package chaos tests the bus as a black box, with random programs.
//
// A seed makes a schedule: one to three buses, their configurations, their
// handlers, the publishers and everybody else who calls a bus. The machine runs
// the schedule and keeps a ledger of each bus. When the buses are at rest, and
// after Shutdown, it compares the ledgers with what the buses say.
//
//	go test -race ./internal/chaos -seeds 2000        runs 2,000 new schedules
//	go test -race ./internal/chaos -seed 7 -count 20  runs one schedule 20 times
//	go test ./internal/chaos -seeds 500 -off peers    leaves a feature out
//
// A schedule is the same each time, its interleaving is not: replay a failure
// several times, with the same -cpu. Three of four schedules run in a synctest
// bubble, where nothing but the bus decides how long a call takes.
//
// The files:
//
//   - schedule, decode, feature: what chance decides.
//   - machine, subject: the run, and one bus in it.
//   - publish, batch, context, handler, peer, aside, trouble, noise, subscribe,
//     control: what happens in a run.
//   - permitted: which error a publish may return.
//   - ledger and its files: what must be true of a run.
//   - line: random programs of handlers, and who overtakes whom at a full queue.
//   - drain, halt: programs in which Shutdown gives up, or the bus stops, at any moment.
package chaos
