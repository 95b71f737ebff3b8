package eventbusprometheus_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	eventbusprometheus "github.com/eventbus-go/eventbus/contrib/prometheus"
)

// A dashboard is what the tests need of dashboard.json.
type dashboard struct {
	Panels []struct {
		Title   string
		Targets []struct{ Expr, LegendFormat string }
	}
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
}

func readDashboard(t testing.TB) (d dashboard) {
	data, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &d))
	require.NotEmpty(t, d.Panels)
	return d
}

// fill puts values in the place of Grafana's variables.
var fill = strings.NewReplacer("$__rate_interval", "3s", "$job", ".*", "$bus", "main").Replace

// Each query of the dashboard has an answer, about the chosen bus alone, of a server that
// scrapes native histograms and of one that scrapes classic ones. Each name in a legend is
// a label of the answer.
func TestDashboardQueriesHaveAnswers(t *testing.T) {
	program := lookForPrometheus(t)
	target := serve(t, busyRegistry(t))
	for name, flags := range map[string][]string{
		"native":  {"--enable-feature=native-histograms"},
		"classic": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startPrometheus(t, program, target, flags...)
			d := readDashboard(t)
			for _, p := range d.Panels {
				for _, q := range p.Targets {
					for _, labels := range server.ask(t, fill(q.Expr)) {
						require.Equal(t, "main", labels["bus"], "%s: %s", p.Title, q.Expr)
						for _, label := range labelsIn(q.LegendFormat) {
							require.NotEmpty(t, labels[label], "%s: %s: label %s", p.Title, q.Expr, label)
						}
					}
				}
			}
			natives := server.query(t, `eventbus_queue_wait_seconds{bus="main"}`)
			require.Equal(t, name == "native", len(natives) > 0)
			for _, labels := range server.ask(t, stuckRule) {
				require.Equal(t, "stuck", labels["bus"])
				require.Equal(t, "order", labels["queue"])
			}
			for _, v := range d.Templating.List {
				if v.Type == "query" {
					require.NotEmpty(t, server.labelValues(t, fill(v.Query)), v.Name)
				}
			}
		})
	}
}

// stuckRule is the rule for a stuck handler. README.md has it with a longer time.
const stuckRule = `eventbus_queue_busy == 1 and rate(eventbus_events_handled_total[3s]) == 0`

func labelsIn(legend string) (names []string) {
	for _, m := range regexp.MustCompile(`{{(\w+)}}`).FindAllStringSubmatch(legend, -1) {
		names = append(names, m[1])
	}
	return names
}

// The dashboard asks for no metric that the collector does not have, also where no server
// is there to try.
func TestDashboardKnowsTheMetrics(t *testing.T) {
	has := map[string]bool{}
	ch := make(chan *prometheus.Desc, 100)
	collector(newBus(t)).Describe(ch)
	close(ch)
	for d := range ch {
		has[regexp.MustCompile(`fqName: "(\w+)"`).FindStringSubmatch(d.String())[1]] = true
	}
	asked := map[string]bool{}
	for _, p := range readDashboard(t).Panels {
		for _, q := range p.Targets {
			for _, name := range regexp.MustCompile(`eventbus_\w+`).FindAllString(q.Expr, -1) {
				name = regexp.MustCompile(`_seconds_(bucket|sum|count)$`).ReplaceAllString(name, "_seconds")
				require.True(t, has[name], "%s: %s", p.Title, name)
				asked[name] = true
			}
		}
	}
	require.Greater(t, len(asked), len(has)/2)

	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.Contains(t, string(readme), strings.Replace(stuckRule, "3s", "1m", 1))
}

// busyRegistry returns the registry of two buses. In main ticks become signals, and signals
// orders, until the test ends; some of them fail. The other one is stuck at an order.
func busyRegistry(t *testing.T) *prometheus.Registry {
	return registry(t,
		eventbusprometheus.NewCollector(busyBus(t), prometheus.Labels{"bus": "main"}),
		eventbusprometheus.NewCollector(stuckBus(t), prometheus.Labels{"bus": "stuck"}))
}

func stuckBus(t *testing.T) *eventbus.Bus {
	b, release := newBus(t), make(chan struct{})
	b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { <-release; return nil })
	require.NoError(t, b.Start(context.Background()))
	require.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, eventbus.Event{Type: "order"}))
	t.Cleanup(func() { close(release) })
	return b
}

func busyBus(t *testing.T) *eventbus.Bus {
	b := newBus(t, eventbus.WithLatencies(), eventbus.WithCauses())
	forward := func(q eventbus.Queue, to eventbus.EventType) eventbus.HandlerFunc {
		n := 0
		return func(ctx context.Context, _ eventbus.Event) error {
			if n++; n%10 == 0 {
				return errors.New("no")
			}
			return b.Publish(ctx, q, eventbus.NewEvent(to, nil, "test"))
		}
	}
	b.SubscribeFunc(tick, forward(eventbus.SignalQueue, "signal"), eventbus.WithName("strategy"))
	b.SubscribeFunc("signal", forward(eventbus.OrderQueue, "order"), eventbus.WithName("risk"))
	b.SubscribeFunc("order", nothing, eventbus.WithName("broker"))
	require.NoError(t, b.Start(context.Background()))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = b.Publish(ctx, eventbus.DataQueue, eventbus.NewEvent(tick, nil, "feed"))
			time.Sleep(time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return b
}
