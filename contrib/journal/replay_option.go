package journal

import (
	"errors"
	"fmt"
	"math"
)

// A ReplayOption changes a [Replay], which returns an error for an invalid one. [WithTopic]
// is one, too.
type ReplayOption interface{ applyToReplay(*replayConfig) error }

type replayOption func(*replayConfig) error

func (o replayOption) applyToReplay(c *replayConfig) error { return o(c) }

type replayConfig struct {
	payloads payloads
	speed    float64 // 0: as fast as it goes
	clock    *Clock
	session  uint64 // 0: all
	feedOnly bool
}

// WithSpeed replays in the time of the data: 1 at its speed, 2 at twice that. An event from
// outside is not handled before its Time is due, counted from the first one of its session.
// Without this option, Replay does not wait.
func WithSpeed(factor float64) ReplayOption {
	return replayOption(func(c *replayConfig) error {
		if !(factor > 0) || math.IsInf(factor, 0) {
			return fmt.Errorf("WithSpeed: the factor is %v, want more than 0", factor)
		}
		c.speed = factor
		return nil
	})
}

// WithReplayClock makes clock show the time of the data. Without it Replay keeps a clock
// that nobody sees.
func WithReplayClock(clock *Clock) ReplayOption {
	return replayOption(func(c *replayConfig) error {
		if clock == nil {
			return errors.New("WithReplayClock: the clock is nil")
		}
		c.clock = clock
		return nil
	})
}

// WithSession replays one session. Without it Replay replays all, one after the other.
func WithSession(n uint64) ReplayOption {
	return replayOption(func(c *replayConfig) error {
		if n == 0 {
			return errors.New("WithSession: the session is 0, want 1 or more")
		}
		c.session = n
		return nil
	})
}

// WithFeedOnly says that no handler published anything while the journal was recorded, as
// when it holds the data of a feed to try strategies on. Without it Replay refuses to go on
// where a handler publishes something and the session holds no cause at all: on a bus
// without eventbus.WithCauses, what handlers publish is recorded as from outside, and Replay
// would publish it a second time.
func WithFeedOnly() ReplayOption {
	return replayOption(func(c *replayConfig) error {
		c.feedOnly = true
		return nil
	})
}

func newReplayConfig(opts []ReplayOption) (*replayConfig, error) {
	c := &replayConfig{clock: NewClock()}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("an option is nil")
		}
		if err := opt.applyToReplay(c); err != nil {
			return nil, err
		}
	}
	return c, nil
}
