package inspect

import (
	"time"

	"github.com/eventbus-go/eventbus"
)

// A frame is what the page shows at one time, as JSON. Durations are in seconds.
type frame struct {
	At        int64          `json:"at"`    // ms since 1970
	First     bool           `json:"first"` // there is none before it, so no rate is known
	Running   bool           `json:"running"`
	Closed    bool           `json:"closed"`
	Abandoned int            `json:"abandoned"`
	Controls  bool           `json:"controls"`
	Queues    []queueFrame   `json:"queues"`
	Handlers  []handlerFrame `json:"handlers"`
	Hidden    int            `json:"hidden"` // handlers beyond maxHandlers
	Failures  []failure      `json:"failures"`
	Events    []sample       `json:"events"`
}

// maxHandlers bounds what a browser is given to show twice a second.
const maxHandlers = 300

type queueFrame struct {
	Name        eventbus.Queue    `json:"name"`
	Paused      bool              `json:"paused"`
	Overflow    eventbus.Overflow `json:"overflow"`
	Depth       int               `json:"depth"`
	Capacity    int               `json:"capacity"`
	HighWater   int               `json:"highWater"`
	Deferred    int               `json:"deferred"`
	In          float64           `json:"in"` // accepted events a second
	Out         float64           `json:"out"`
	Wait        quantiles         `json:"wait"`
	Oldest      float64           `json:"oldest"`
	Waiting     int               `json:"waiting"`
	LongestWait float64           `json:"longestWait"`
	Calling     *call             `json:"calling"`
	Losses      []loss            `json:"losses"`
}

// A call is that of a handler.
type call struct {
	Handler string             `json:"handler"`
	Type    eventbus.EventType `json:"type"`
	For     float64            `json:"for"` // at least, since somebody looks
}

// A loss is how many events have gone in one way other than through a handler that
// succeeded.
type loss struct {
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
}

type handlerFrame struct {
	Name     string             `json:"name"`
	Type     eventbus.EventType `json:"type"`
	Rate     float64            `json:"rate"` // calls a second
	Calls    uint64             `json:"calls"`
	Failed   uint64             `json:"failed"`
	Panicked uint64             `json:"panicked"`
	Disabled bool               `json:"disabled"`
	Took     quantiles          `json:"took"`
	FromRoot quantiles          `json:"fromRoot"`
}

// quantiles are zero where nothing was measured.
type quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// newQueueFrame returns what s tells by itself.
func newQueueFrame(s eventbus.QueueStats) queueFrame {
	f := queueFrame{
		Name: s.Queue, Paused: s.Paused, Overflow: s.Overflow, Depth: s.Depth, Capacity: s.Capacity, HighWater: s.HighWater,
		Deferred: s.Deferred, Oldest: s.Oldest.Seconds(), Waiting: s.Waiting, LongestWait: s.LongestWait.Seconds(), Losses: []loss{},
	}
	for _, l := range []loss{
		{"dropped", s.Dropped}, {"rejected", s.Rejected}, {"evicted", s.Evicted}, {"conflated", s.Conflated},
		{"expired", s.Expired}, {"withdrawn", s.Withdrawn}, {"unhandled", s.Unhandled}, {"failed calls", s.Failed}, {"panicked calls", s.Panicked},
	} {
		if l.Count > 0 {
			f.Losses = append(f.Losses, l)
		}
	}
	return f
}

// A history is what a frame compares with.
type history struct {
	at    time.Time // of the last frame; zero before the first
	stats eventbus.Stats
	calls [3]struct {
		eventbus.Calling
		since time.Time // it has been at hand in every frame
	}

	// Quantiles are of what was measured since base. middle becomes base when it is a window
	// old, so base is one to two windows old; the zero base of the first frames stands for
	// the time since the bus was made.
	base, middle eventbus.Latencies
	middleAt     time.Time
}

// next returns the frame of now, and makes it the last one.
func (h *history) next(now time.Time, s eventbus.Stats, l eventbus.Latencies) frame {
	f := frame{At: now.UnixMilli(), First: h.at.IsZero(), Running: s.Running, Closed: s.Closed, Abandoned: s.Abandoned, Handlers: []handlerFrame{}}
	elapsed := now.Sub(h.at).Seconds()
	for i, q := range s.Queues {
		qf := newQueueFrame(q)
		qf.Wait = quantilesSince(l.Wait[i], h.base.Wait[i])
		qf.Calling = h.callAt(i, now, q.Calling)
		if !h.at.IsZero() {
			before := h.stats.Queues[i]
			qf.In, qf.Out = float64(grown(q.Accepted, before.Accepted))/elapsed, float64(grown(q.Handled, before.Handled))/elapsed
		}
		f.Queues = append(f.Queues, qf)
	}
	f.Hidden = max(0, len(s.Handlers)-maxHandlers)
	f.Handlers = append(f.Handlers, h.handlers(s.Handlers[:len(s.Handlers)-f.Hidden], l, elapsed)...)
	h.at, h.stats = now, s
	if h.middleAt.IsZero() {
		h.middle, h.middleAt = l, now
	} else if now.Sub(h.middleAt) >= window {
		h.base, h.middle, h.middleAt = h.middle, l, now
	}
	return f
}

// grown returns how much more now is than before: 0 if less, since counters that belong
// together may have been read a moment apart.
func grown(now, before uint64) uint64 { return now - min(now, before) }

// callAt returns the call that the i-th queue is at, nil if none.
func (h *history) callAt(i int, now time.Time, c eventbus.Calling) *call {
	last := &h.calls[i]
	if c != last.Calling {
		last.Calling, last.since = c, now
	}
	if c.Handler == "" {
		return nil
	}
	return &call{Handler: c.Handler, Type: c.Type, For: now.Sub(last.since).Seconds()}
}

// handlers returns what stats tell, and what l does of the same subscriptions.
func (h *history) handlers(stats []eventbus.HandlerStats, l eventbus.Latencies, elapsed float64) (frames []handlerFrame) {
	calls := make(map[uint64]uint64, len(h.stats.Handlers))
	for _, s := range h.stats.Handlers {
		calls[s.ID] = s.Calls
	}
	latencies, base := byID(l), byID(h.base)
	for _, s := range stats {
		f := handlerFrame{Name: s.Name, Type: s.Type, Calls: s.Calls, Failed: s.Failed, Panicked: s.Panicked, Disabled: s.Disabled}
		if before, ok := calls[s.ID]; ok {
			f.Rate = float64(grown(s.Calls, before)) / elapsed
		}
		f.Took = quantilesSince(latencies[s.ID].Took, base[s.ID].Took)
		f.FromRoot = quantilesSince(latencies[s.ID].FromRoot, base[s.ID].FromRoot)
		frames = append(frames, f)
	}
	return frames
}

func byID(l eventbus.Latencies) map[uint64]eventbus.HandlerLatency {
	ids := make(map[uint64]eventbus.HandlerLatency, len(l.Handlers))
	for _, h := range l.Handlers {
		ids[h.ID] = h
	}
	return ids
}

// quantilesSince returns those of what h has counted since base.
func quantilesSince(h, base eventbus.Histogram) quantiles {
	d := eventbus.Histogram{First: h.First, Counts: append([]uint64(nil), h.Counts...)}
	for i, n := range base.Counts {
		d.Counts[base.First+i-h.First] -= n // a histogram only grows
	}
	if d.Count() == 0 {
		return quantiles{}
	}
	return quantiles{P50: d.Quantile(.5).Seconds(), P99: d.Quantile(.99).Seconds()}
}
