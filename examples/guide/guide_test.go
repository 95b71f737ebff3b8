// Package guide is the code of docs/guide.md, compiled and run.
package guide

import (
	"context"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	signal = eventbus.NewTopic[string](eventbus.SignalGenerated, eventbus.SignalQueue)
	order  = eventbus.NewTopic[string](eventbus.OrderPlaced, eventbus.OrderQueue)
)

func newBus() *eventbus.Bus {
	bus, err := eventbus.New(eventbus.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	return bus
}

func start(bus *eventbus.Bus) {
	if err := bus.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// publish returns when the candle, and all that it sets off, is handled, if the bus runs.
func publish(bus *eventbus.Bus, c Candle) {
	ctx := context.Background()
	if err := candleClosed.Publish(ctx, bus, c); err != nil {
		log.Fatal(err)
	}
	if !bus.Stats().Running {
		return
	}
	if err := bus.Flush(ctx); err != nil {
		log.Fatal(err)
	}
}

func shutdown(bus *eventbus.Bus) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := bus.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}

// plain is code without its indentation.
func plain(code string) string {
	lines := strings.Split(strings.TrimSpace(code), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}

func TestGuideShowsTheCodeThatRunsHere(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	var code strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		code.WriteString(plain(string(text)) + "\n")
	}
	guide, err := os.ReadFile("../../docs/guide.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(guide), -1)
	require.Greater(t, len(blocks), 12)
	for _, block := range blocks {
		require.Contains(t, code.String(), plain(block[1]))
	}
}
