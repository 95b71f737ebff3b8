package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryCaseHandlesEveryEvent(t *testing.T) {
	for _, c := range cases() {
		t.Run(c.Name, func(t *testing.T) { runBothSides(t, c, 20) })
	}
	for _, s := range allSeries() {
		for _, p := range s.points {
			t.Run(s.name+"="+p.label, func(t *testing.T) {
				_, err := p.measure(t.Name(), config{rounds: 1, fraction: 100, progress: io.Discard})
				require.NoError(t, err)
			})
		}
	}
}

func TestEveryWayToStepHandlesEveryEvent(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			s, err := way.run(2_000)
			require.NoError(t, err)
			require.Positive(t, s.ns)
		})
	}
}

func TestPlayerReportsAnEventThatWasNotHandled(t *testing.T) {
	b, err := newBus()
	require.NoError(t, err)
	p := player{bus: b, system: newSystem(), tape: newTape(), batch: 10}
	wirePlain(b, p.system)
	_, err = p.play(t.Context(), 100)
	require.NoError(t, err)
	require.NoError(t, p.check())
	p.system.handled[filled]--
	require.ErrorContains(t, p.check(), "order_filled")
	p.system.handled[filled]++
	p.total--
	require.ErrorContains(t, p.check(), "RunUntilIdle says")
}

func TestEventsAreAsLargeAsTheTextsSay(t *testing.T) {
	require.EqualValues(t, 72, unsafe.Sizeof(template))
	require.EqualValues(t, 64, unsafe.Sizeof(candle{}))
}

func TestBusKeepsWithinItsMemory(t *testing.T) {
	for _, f := range fillings {
		got, err := f.measure()
		require.NoError(t, err)
		require.LessOrEqual(t, got.heap, f.bar(), f.name)
		require.Positive(t, got.heap, f.name)
	}
}

func TestNotesAreShownOnlyWhenThereAreAny(t *testing.T) {
	was := notes
	defer func() { notes = was }()
	for _, tt := range []struct{ notes, want string }{
		{"", ""},
		{" \n\n", ""},
		{"The copies.\n", "## What stands in the way\n\nThe copies.\n\n"},
	} {
		notes = tt.notes
		var got strings.Builder
		require.NoError(t, reportNotes(config{}, &got))
		require.Equal(t, tt.want, got.String())
	}
}

func runBothSides(t *testing.T, c Case, events int) {
	t.Helper()
	for name, run := range map[string]runner{"bus": c.Bus, "hand": c.Hand} {
		s, err := run(events)
		require.NoError(t, err, name)
		require.Positive(t, s.ns, name)
		require.Zero(t, s.lost, name)
	}
}

// eventsFor returns how many events the tests of p publish: n, or as many as surely fit into moby/pubsub, which waits 100 ms
// for room and then loses the event. On a busy machine that is soon over.
func eventsFor(p peer, n int) int {
	if p.name == moby.name {
		return dataCapacity / 2
	}
	return n
}

func TestEveryPeerHandlesEveryEvent(t *testing.T) {
	for _, p := range peers() {
		for _, work := range peerLoads {
			if !p.can(work.load) {
				continue
			}
			t.Run(p.name+"/"+work.name, func(t *testing.T) {
				s, err := work.load.run(p.open)(eventsFor(p, 2*dataCapacity))
				require.NoError(t, err)
				require.Zero(t, s.lost)
			})
		}
	}
}

// All are measured in a mode that keeps the order of one publisher.
func TestEveryPeerKeepsOnePublishersOrder(t *testing.T) {
	was := template
	defer func() { template = was }()
	for _, p := range peers() {
		t.Run(p.name, func(t *testing.T) {
			events := eventsFor(p, 3*dataCapacity)
			const handlers = 3
			got := make([][]int, handlers)
			done := make(chan struct{}, handlers)
			var hs []handler
			for i := range got {
				hs = append(hs, func(_ context.Context, e eventbus.Event) error {
					if got[i] = append(got[i], sequence(t, e)); len(got[i]) == events {
						done <- struct{}{}
					}
					return nil
				})
			}
			c, err := p.open(hs)
			require.NoError(t, err)
			for i := range events {
				template.Source = strconv.Itoa(i)
				require.NoError(t, c.publish(1))
			}
			for range handlers {
				<-done
			}
			require.NoError(t, c.close())
			for _, seen := range got {
				for i, n := range seen {
					require.Equal(t, i, n)
				}
			}
		})
	}
}

// sequence reads the number that the test put into the event.
func sequence(t *testing.T, e eventbus.Event) int {
	text := e.Source
	if m, ok := e.Data.(*message.Message); ok {
		text = strings.TrimSpace(string(m.Payload))
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Errorf("event without a number: %v", err)
	}
	return n
}

func TestPeersStateWhatTheyGuarantee(t *testing.T) {
	for _, p := range peers() {
		for _, text := range []string{p.use, p.order, p.bound, p.isolation, p.cycle, p.source} {
			require.NotEmpty(t, text, p.name)
			require.NotContains(t, text, "|", p.name)
		}
	}
}

func TestReportWritesTablesAndPlots(t *testing.T) {
	dir := t.TempDir()
	cfg := config{
		rounds: 1, fraction: 100, progress: io.Discard, out: filepath.Join(dir, "RESULTS.md"),
		only: regexp.MustCompile(`latency|open|memory|figures|growth/payload|growth/GOMAXPROCS`),
	}
	var stdout bytes.Buffer
	require.NoError(t, run(cfg, &stdout))
	written, err := os.ReadFile(cfg.out)
	require.NoError(t, err)
	require.Equal(t, stdout.String(), string(written))
	for _, want := range []string{"latency into an idle bus", "full and deferred", "plain events, a candle a call", "polls for 20 µs", "the publisher alone", "geometric mean", "Plain events beside", "A publish at a full queue", "come and go", "1 KiB value", "plots/GOMAXPROCS.svg"} {
		require.Contains(t, string(written), want)
	}
	require.NotContains(t, string(written), "4 publishers, 10 handlers")
	for _, name := range []string{"payload", "GOMAXPROCS"} {
		svg, err := os.ReadFile(filepath.Join(dir, "plots", name+".svg"))
		require.NoError(t, err)
		require.Contains(t, string(svg), "by hand")
	}
}
