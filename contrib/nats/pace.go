package eventbusnats

import "time"

// A pace decides whether an exporter stores events one by one or as a batch, by what either
// has taken. A batch of a file in the same process costs some files and syncs, as long as a
// hundred single events; to a cluster, or with a sync an event, it is a bargain from a few
// events on. One goroutine uses it.
type pace struct {
	single time.Duration // of one event alone, smoothed
	batch  time.Duration // of a batch, smoothed
}

const (
	firstBatch = 5 * time.Millisecond // of an embedded server with an idle disk

	// forget is the part of what a batch takes that each single event takes off: after one
	// that took seconds, for a server that was gone, batches are tried again in time.
	forget = 4096
)

func newPace() *pace { return &pace{batch: firstBatch} }

// together reports whether n events are sooner stored as a batch.
func (p *pace) together(n int) bool { return time.Duration(n)*p.single > p.batch && n > 1 }

func (p *pace) noteSingle(took time.Duration) {
	p.single = smooth(p.single, took)
	p.batch -= p.batch / forget
}

func (p *pace) noteBatch(took time.Duration) { p.batch = smooth(p.batch, took) }

// smooth moves a part of the way from old to d, so that no stall of the disk counts for much;
// the first d counts whole.
func smooth(old, d time.Duration) time.Duration {
	if old == 0 {
		return d
	}
	return old + (d-old)/16
}
