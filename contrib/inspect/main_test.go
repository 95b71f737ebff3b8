package inspect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/inspect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	mount    = "/debug/eventbus/"
	interval = 500 * time.Millisecond // between frames
	patience = 20 * time.Second       // for what must happen: long for a machine under load
)

var (
	background = context.Background()
	errRisky   = errors.New("<b>too risky</b>")
)

// newBus returns a bus that runs until the test ends.
func newBus(t testing.TB, opts ...eventbus.Option) *eventbus.Bus {
	opts = append([]eventbus.Option{eventbus.WithLogger(slog.New(slog.DiscardHandler))}, opts...)
	bus, err := eventbus.New(opts...)
	require.NoError(t, err)
	require.NoError(t, bus.Start(background))
	t.Cleanup(func() { _ = bus.Shutdown(ended()) })
	return bus
}

// ended returns a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(background)
	cancel()
	return ctx
}

func publish(t testing.TB, bus *eventbus.Bus, q eventbus.Queue, typ eventbus.EventType, data any) {
	require.NoError(t, bus.Publish(background, q, eventbus.NewEvent(typ, data, "test")))
}

// ask sends a request to the page, without a network.
func ask(page http.Handler, method, name string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, mount+name, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	page.ServeHTTP(w, r)
	return w
}

// hasTap reports whether the page's tap is subscribed.
func hasTap(bus *eventbus.Bus) bool {
	for _, h := range bus.Stats().Handlers {
		if h.Name == "inspect" && h.Type == "" {
			return true
		}
	}
	return false
}

// A frame is what tests look at of a frame.
type frame struct {
	First, Running, Closed, Controls bool
	Queues                           []struct {
		Name, Overflow                                string
		Paused                                        bool
		Depth, Capacity, HighWater, Deferred, Waiting int
		In, Out, Oldest, LongestWait                  float64
		Wait                                          struct{ P50, P99 float64 }
		Calling                                       *struct {
			Handler, Type string
			For           float64
		}
		Losses []struct {
			Reason string
			Count  uint64
		}
	}
	Handlers []struct {
		Name, Type     string
		Rate           float64
		Calls, Failed  uint64
		Took, FromRoot struct{ P50, P99 float64 }
	}
	Hidden   int
	Failures []struct {
		Queue, Type, Handler, Error string
		ID, Seq, Count              uint64
		Panicked                    bool
		Cause                       *cause
	}
	Events []event
}

type event struct {
	Queue, Type, Source, Payload string
	Seq                          uint64
	Age                          *float64
	Cause                        *cause
}

type cause struct {
	Queue string
	Seq   uint64
	Hops  int
	Root  struct {
		Queue, Type string
		Seq         uint64
		Before      *float64
	}
}

// A viewer looks at the page: it is the other end of a stream.
type viewer struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the stream has ended
	code   int

	mu     sync.Mutex
	header http.Header
	text   bytes.Buffer
	err    error // of the next writes
}

// look opens a stream, which ends with the test.
func look(t testing.TB, page http.Handler) *viewer {
	ctx, cancel := context.WithCancel(background)
	v := &viewer{cancel: cancel, done: make(chan struct{}), header: http.Header{}}
	go func() {
		defer close(v.done)
		page.ServeHTTP(v, httptest.NewRequestWithContext(ctx, "GET", mount+"stream", nil))
	}()
	t.Cleanup(func() { v.leave() })
	return v
}

func (v *viewer) leave() {
	v.cancel()
	<-v.done
}

func (v *viewer) Header() http.Header  { return v.header }
func (v *viewer) WriteHeader(code int) { v.code = code }
func (v *viewer) Flush()               {}

func (v *viewer) Write(b []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return 0, v.err
	}
	return v.text.Write(b)
}

// frames returns the frames that have come since it was last called.
func (v *viewer) frames(t testing.TB) (frames []frame) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, text := range bytes.Split(bytes.TrimSpace(v.text.Bytes()), []byte("\n\n")) {
		var f frame
		require.NoError(t, json.Unmarshal(bytes.TrimPrefix(text, []byte("data: ")), &f))
		frames = append(frames, f)
	}
	v.text.Reset()
	return frames
}

// next sleeps for an interval of a bubble and returns the last frame.
func (v *viewer) next(t testing.TB) frame {
	time.Sleep(interval)
	synctest.Wait()
	frames := v.frames(t)
	return frames[len(frames)-1]
}

// fail makes a handler that fails with err.
func fail(err error) func(context.Context, eventbus.Event) error {
	return func(context.Context, eventbus.Event) error { return err }
}

// newPage returns the page of a bus that records failures.
func newPage(t testing.TB, opts []inspect.Option, busOpts ...eventbus.Option) (*eventbus.Bus, *inspect.Page) {
	var failures inspect.Failures
	bus := newBus(t, append(busOpts, eventbus.WithErrorHandler(failures.Record))...)
	return bus, inspect.New(bus, append(opts, inspect.WithFailures(&failures))...)
}
