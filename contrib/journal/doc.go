// Package journal records the events of a bus of [github.com/eventbus-go/eventbus] in a
// file, so that they survive the process and, where that is asked for, the machine. A day can
// be read, followed while it goes on, and replayed into the handlers that it was recorded
// with, or others.
//
//	bus, err := eventbus.New(eventbus.WithCauses())
//	j, err := journal.Open("day.journal", journal.WithTopic(ticks), journal.WithTopic(orders))
//	j.Record(bus)
//	orders.Subscribe(bus, send, eventbus.Use(j.Before(orders.Type()))) // stored and synced, or not called
//	err = bus.Start(ctx)
//	// …
//	err = bus.Shutdown(ctx)
//	err = j.Close()
//
// # What is promised
//
//   - [Journal.Record] drops nothing: where the disk is too slow, the bus is.
//   - What [Journal.Before] or [Journal.Sync] has let pass survives the process and the
//     machine. The rest survives the process after the flush interval, longer while the writer
//     is busy with a sync, and the machine after the next sync.
//   - No handler behind Before acts on what is not stored, whatever fails.
//   - Records are numbered without gaps, over all sessions of a file. None is there twice,
//     unless Before is combined with eventbus.WithLast.
//   - What a writer that was killed had not finished is cut off, and nothing else ever is.
//     Damage is an error that says where, and [Recover] reads on behind it.
//   - [Replay] calls the handlers in the recorded order if one goroutine ran the bus. One case
//     is excepted: an event from outside that came between two publishes of one handler on one
//     queue comes after both.
//   - [Pending] lists the intents without an outcome.
//
// # What is not promised
//
//   - Nothing is done exactly once. An intent that was stored may have been carried out, or
//     not: ask the other side.
//   - There is one file on one machine. Whoever loses the disk loses the journal.
//   - A tap cannot veto: what has no Before is handled, though its record is lost.
//   - A fsync that lies, as disks with a volatile cache do, is believed.
//
// # The file
//
// It is JSON, a line a record, compressed with zstd: zstdcat, pandas and DuckDB read it. Each
// flush is a zstd frame with a checksum, behind a skippable frame that holds its length and
// CRCs of both. The first line of a session is its manifest. Times are integers, in
// nanoseconds since 1970. Errors begin with "journal: ".
package journal
