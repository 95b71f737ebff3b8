// Package latency counts durations in a histogram that one goroutine writes and any may
// read. It knows nothing of events.
package latency

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/internal/race"
)

// The bounds of the buckets grow by a factor of 2^(1/8), 9 %: those of a native histogram
// of schema 3 in Prometheus, and of an exponential one of scale 3 in OpenTelemetry, of
// seconds. So both take the counts as they are.
const (
	scale = 3

	// First is the index of the first bucket, which ends at 2^((First+1)/8) s, 2 ns.
	First = -232

	// Buckets is how many there are; the last ends at 2^14 s, 4.5 hours, and holds what is
	// longer too.
	Buckets = 14<<scale - First
)

// bounds are the upper bounds in ns, rounded down: a duration is a whole number of them.
var bounds = func() (b [Buckets]uint64) {
	for i := range b {
		b[i] = uint64(math.Exp2(float64(i+First+1)/(1<<scale)) * 1e9)
	}
	return b
}()

// least is the first bucket that a duration with so many bits can be in.
var least = func() (l [65]uint16) {
	for n := range l {
		shortest := uint64(0)
		if n > 0 {
			shortest = 1 << (n - 1)
		}
		for int(l[n]) < Buckets-1 && bounds[l[n]] < shortest {
			l[n]++
		}
	}
	return l
}()

// Bucket returns the bucket of d.
func Bucket(d time.Duration) int {
	v := uint64(max(0, d))
	i := int(least[bits.Len64(v)])
	for i < Buckets-1 && bounds[i] < v {
		i++
	}
	return i
}

// Bound returns the longest duration of bucket i.
func Bound(i int) time.Duration { return time.Duration(bounds[i]) }

// A Recorder counts durations. Its zero value is empty.
type Recorder struct {
	counts [Buckets]uint64
	sum    uint64 // ns
}

// Record counts n durations of d; one that is less than 0 counts as 0. One goroutine at a
// time may.
func (r *Recorder) Record(d time.Duration, n int) {
	d = max(0, d)
	add(&r.counts[Bucket(d)], uint64(n))
	add(&r.sum, uint64(d)*uint64(n))
}

// add adds to a word that other goroutines read. A plain store costs a twentieth of an
// atomic one; a racing reader sees the count before or after.
func add(word *uint64, n uint64) {
	if race.Enabled {
		atomic.AddUint64(word, n)
		return
	}
	*word += n
}

// Counts returns how many durations each bucket holds, and their sum.
func (r *Recorder) Counts() (counts [Buckets]uint64, sum time.Duration) {
	for i := range r.counts {
		counts[i] = atomic.LoadUint64(&r.counts[i])
	}
	return counts, time.Duration(atomic.LoadUint64(&r.sum))
}

// A Wait records how long the items of a queue wait that are taken out in batches, each of
// which may know when its first item was put in. It belongs to one goroutine; the Recorder
// may be read by any.
type Wait struct {
	Recorder

	open   bool          // the batch at hand has a stamp
	opened time.Duration // when the batch was
	waited time.Duration // how long its first item had waited by then
	last   time.Duration // when items of it were recorded last
}

// Open begins a batch at now, the first item of which was put in at born.
func (w *Wait) Open(born, now time.Duration) {
	w.open, w.opened, w.waited, w.last = true, now, now-born, now
}

// Resume says that the next item is about to be taken: until now none was.
func (w *Wait) Resume(now time.Duration) { w.last = now }

// Close ends the batch at hand.
func (w *Wait) Close() { w.open = false }

// IsOpen reports whether the batch at hand is recorded.
func (w *Wait) IsOpen() bool { return w.open }

// parts is in how many groups items are recorded that were taken over a long time.
const parts = 8

// Take records n items of the batch at hand, which were taken since the last call, at even
// distances up to now. Each counts with the time since the first item of the batch was put
// in, which is never less than its own.
func (w *Wait) Take(now time.Duration, n int) {
	if !w.open || n <= 0 {
		return
	}
	first, took := w.waited+w.last-w.opened, now-w.last
	w.last = now
	if n == 1 || took < first>>scale { // one bucket, or the next
		w.Record(first, n)
		return
	}
	done := 0
	for i := 1; i <= parts; i++ {
		if upTo := n * i / parts; upTo > done {
			w.Record(first+took*time.Duration(done)/time.Duration(n), upTo-done)
			done = upTo
		}
	}
}
